//! A text file that a person wrote, and errors that point into it: file, line, column and the line itself.
//!
//! Not responsible for what the file means ([`crate::config`]).

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

#[derive(Clone, Debug)]
pub struct Source {
    pub path: PathBuf,
    pub text: String,
}

/// Bad input. Displays as `file:line:column: message`, followed by the line where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputError {
    pub path: PathBuf,
    pub place: Option<Place>,
    pub message: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Counted from 1, in characters.
    pub line: usize,
    pub column: usize,
    /// Characters to underline, at least 1.
    pub width: usize,
    pub text: String,
}

impl std::error::Error for InputError {}

impl InputError {
    /// An error about a whole file.
    pub fn file(path: &Path, message: impl fmt::Display) -> Self {
        Self {
            path: path.to_owned(),
            place: None,
            message: message.to_string(),
        }
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        let message = self.message.trim_end();
        let Some(place) = &self.place else {
            return write!(f, "{path}: {message}");
        };
        let Place {
            line,
            column,
            width,
            text,
        } = place;
        writeln!(f, "{path}:{line}:{column}: {message}")?;
        let margin = " ".repeat(line.to_string().len());
        writeln!(f, "{margin} |")?;
        writeln!(f, "{line} | {text}")?;
        write!(
            f,
            "{margin} | {}{}",
            " ".repeat(column - 1),
            "^".repeat(*width)
        )
    }
}

/// No file that a person writes is longer; a device may never end.
const BYTES_MAX: u64 = 16 << 20;

impl Source {
    pub fn read(path: &Path) -> Result<Self, InputError> {
        let mut text = String::new();
        let read = File::open(path)
            .and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text))
            .and_then(|bytes| match bytes as u64 {
                BYTES_MAX => Err(io::Error::other("it has 16 MiB or more")),
                _ => Ok(()),
            });
        read.map_err(|error| InputError::file(path, format!("cannot be read: {error}")))?;
        Ok(Self {
            path: path.to_owned(),
            text,
        })
    }

    /// An error at a byte range of the text.
    pub fn error_at(&self, span: Option<Range<usize>>, message: impl fmt::Display) -> InputError {
        let place = span.map(|span| self.place(span));
        InputError {
            path: self.path.clone(),
            place,
            message: message.to_string(),
        }
    }

    /// An error about the value of a dotted key such as `scene.camera.position_m[2]`. Where the file does not have the
    /// key, it points to the table where it would stand.
    pub fn error_in(&self, key: &str, message: impl fmt::Display) -> InputError {
        self.error_at(
            self.locate(key).map(|(span, _)| span),
            format!("{key}: {message}"),
        )
    }

    /// Whether the file itself gives a value to this dotted key.
    pub fn has(&self, key: &str) -> bool {
        self.locate(key).is_some_and(|(_, whole)| whole)
    }

    fn place(&self, span: Range<usize>) -> Place {
        let mut start = span.start.min(self.text.len());
        while !self.text.is_char_boundary(start) {
            start -= 1;
        }
        let before = &self.text[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let text = self.text[line_start..]
            .lines()
            .next()
            .unwrap_or("")
            .replace('\t', " ");
        let column = before[line_start..].chars().count() + 1;
        let marked = self
            .text
            .get(start..span.end.min(self.text.len()))
            .unwrap_or("");
        let in_line = marked.lines().next().map_or(0, |part| part.chars().count());
        Place {
            line: before.matches('\n').count() + 1,
            column,
            width: in_line.max(1),
            text,
        }
    }

    /// The span of the longest part of the key that the file has, and whether that is the whole key.
    fn locate(&self, key: &str) -> Option<(Range<usize>, bool)> {
        let (table, _) = DeTable::parse_recoverable(&self.text);
        let mut found: Option<&Spanned<DeValue<'_>>> = None;
        for part in key.split(['.', '[']) {
            let next = match found.map(Spanned::get_ref) {
                None => table.get_ref().get(part),
                Some(value) => match part.strip_suffix(']') {
                    Some(index) => index.parse().ok().and_then(|i: usize| value.get(i)),
                    None => value.get(part),
                },
            };
            match (next, found) {
                (Some(next), _) => found = Some(next),
                (None, found) => return found.map(|value| (value.span(), false)),
            }
        }
        found.map(|value| (value.span(), true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source {
            path: "a.toml".into(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_file_without_an_end_is_refused() {
        let refused = Source::read(Path::new("/dev/zero")).expect_err("refused");
        assert!(refused.to_string().contains("16 MiB"), "{refused}");
    }

    const TEXT: &str =
        "x = 1\n[scene]\nname = \"é\"\ncamera = { at = [1, 22, 3] }\n[[part]]\nk = 7\n";

    #[test]
    fn keys_are_found_where_they_stand() {
        for (key, line, column, width) in [
            ("x", 1, 5, 1),
            ("scene.name", 3, 8, 3),
            ("scene.camera.at[1]", 4, 21, 2),
            ("scene.camera.missing", 4, 10, 19),
            ("scene.missing", 2, 1, 7),
            ("part[0].k", 6, 5, 1),
        ] {
            let place = source(TEXT).error_in(key, "bad").place.expect(key);
            assert_eq!(
                (place.line, place.column, place.width),
                (line, column, width),
                "{key}"
            );
        }
        assert_eq!(source(TEXT).error_in("absent", "bad").place, None);
    }

    #[test]
    fn error_shows_the_line() {
        let shown = source(TEXT)
            .error_in("scene.camera.at[1]", "too far")
            .to_string();
        let expected = [
            "a.toml:4:21: scene.camera.at[1]: too far",
            "  |",
            "4 | camera = { at = [1, 22, 3] }",
            "  |                     ^^",
        ];
        assert_eq!(shown, expected.join("\n"));
    }

    #[test]
    fn any_span_of_any_text_has_a_place() {
        for text in ["", "é", "\n\n", "a\r\n\tb"] {
            for start in 0..6 {
                for end in 0..6 {
                    let shown = source(text).error_at(Some(start..end), "m").to_string();
                    assert!(shown.starts_with("a.toml:"), "{shown}");
                }
            }
        }
    }
}
