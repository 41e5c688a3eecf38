//! Files as the rules see them: their text, and their code without comments, literals and test items.

use std::path::Path;
use std::process::Command;

/// One file; `path` starts at the repository's root.
#[derive(Debug)]
pub struct File {
    pub path: String,
    /// As it is; empty when it is not text.
    pub text: String,
    /// The text with comments, string and character literals and `#[cfg(test)]` items blanked, line breaks kept.
    pub code: String,
    /// Lines outside `#[cfg(test)]` items.
    pub lines: usize,
    /// Whether git knows it; a new file may not be added yet.
    pub tracked: bool,
}

impl File {
    pub fn new(path: &str, text: &str, tracked: bool) -> Self {
        let (mut code, mut lines) = (String::new(), text.lines().count());
        if path.ends_with(".rs") {
            let blanked = without_comments_and_literals(text);
            let tests = test_items(&blanked);
            lines -= tests
                .iter()
                .map(|t| blanked[t.clone()].lines().count())
                .sum::<usize>();
            code = blank(&blanked, &tests);
        }
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code,
            lines,
            tracked,
        }
    }

    /// Lines of the code, counted from 1, that contain the pattern not as a part of a longer word.
    pub fn lines_with(&self, pattern: &str) -> Vec<usize> {
        lines_with(&self.code, pattern)
    }
}

/// Lines, counted from 1, that contain the pattern not as a part of a longer word.
pub fn lines_with(text: &str, pattern: &str) -> Vec<usize> {
    let in_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let holds = |line: &str| {
        line.match_indices(pattern).any(|(start, _)| {
            let (before, after) = (&line[..start], &line[start + pattern.len()..]);
            let starts = !in_word(pattern.chars().next()) || !in_word(before.chars().next_back());
            let ends = !in_word(pattern.chars().next_back()) || !in_word(after.chars().next());
            starts && ends
        })
    };
    let numbered = text.lines().zip(1..);
    numbered
        .filter(|(line, _)| holds(line))
        .map(|(_, number)| number)
        .collect()
}

#[derive(Debug)]
pub struct Tree {
    pub files: Vec<File>,
}

impl Tree {
    /// A made-up tree of (path, text).
    pub fn of(files: &[(&str, &str)]) -> Self {
        Self {
            files: files
                .iter()
                .map(|(path, text)| File::new(path, text, true))
                .collect(),
        }
    }

    /// Every file of this checkout that git does not ignore; `None` outside a checkout.
    pub fn of_repository() -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
        if !root.join(".git").exists() {
            return None;
        }
        let mut files = Vec::new();
        for (kind, tracked) in [("--cached", true), ("--others", false)] {
            let mut git = Command::new("git");
            git.arg("-C")
                .arg(root)
                .args(["ls-files", "-z", "--exclude-standard", kind]);
            let output = git.output().expect("git runs");
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            let paths = String::from_utf8(output.stdout).expect("paths are UTF-8");
            for path in paths.split_terminator('\0') {
                // A deleted file stays in git's list until it is committed.
                if let Ok(bytes) = std::fs::read(root.join(path)) {
                    let text = String::from_utf8(bytes).unwrap_or_default();
                    files.push(File::new(path, &text, tracked));
                }
            }
        }
        Some(Self { files })
    }

    pub fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }

    /// Rust files below one of these folders, tests of their own excepted.
    pub fn sources<'a>(&'a self, folders: &'a [&str]) -> impl Iterator<Item = &'a File> {
        self.rust().filter(move |file| {
            folders.iter().any(|folder| file.path.starts_with(folder))
                && !file.path.contains("/tests/")
                && !file.path.ends_with("tests.rs")
        })
    }
}

type Span = std::ops::Range<usize>;

/// Spaces in place of every byte of the spans but line breaks.
fn blank(text: &str, spans: &[Span]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for byte in spans.iter().flat_map(|span| span.clone()) {
        if bytes[byte] != b'\n' {
            bytes[byte] = b' ';
        }
    }
    String::from_utf8(bytes).expect("spans end at character boundaries")
}

fn without_comments_and_literals(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut spans = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let length = match &bytes[at..] {
            [b'/', b'/', rest @ ..] => 2 + find(rest, b"\n"),
            [b'/', b'*', ..] => block_comment(&bytes[at..]),
            [b'"', rest @ ..] => 1 + string_end(rest, b'"'),
            [b'\'', rest @ ..] => {
                character(&text[at + 1..]).map_or(0, |c| c + 1 + usize::from(!rest.is_empty()))
            }
            [b'r', ..] if !continues_word(&bytes[..at]) => raw_string(&bytes[at..]),
            _ => 0,
        };
        let end = bytes.len().min(at + length);
        if length > 0 {
            spans.push(at..end);
        }
        at = end.max(at + 1);
    }
    blank(text, &spans)
}

/// Offset of the first needle, or the end.
fn find(bytes: &[u8], needle: &[u8]) -> usize {
    let found = bytes
        .windows(needle.len())
        .position(|window| window == needle);
    found.unwrap_or(bytes.len())
}

/// Length up to and with the closing quote that no backslash escapes.
fn string_end(bytes: &[u8], quote: u8) -> usize {
    let mut at = 0;
    while at < bytes.len() && bytes[at] != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

/// Length of a nested block comment.
fn block_comment(bytes: &[u8]) -> usize {
    let (mut at, mut depth) = (2, 1);
    while at < bytes.len() && depth > 0 {
        let step = match &bytes[at..] {
            [b'*', b'/', ..] => {
                depth -= 1;
                2
            }
            [b'/', b'*', ..] => {
                depth += 1;
                2
            }
            _ => 1,
        };
        at += step;
    }
    at
}

/// Length of a character literal's inside, after its opening quote; `None` for a lifetime.
fn character(inside: &str) -> Option<usize> {
    let first = inside.chars().next()?;
    if first == '\\' {
        return Some(string_end(inside.as_bytes(), b'\'') - 1);
    }
    inside[first.len_utf8()..]
        .starts_with('\'')
        .then(|| first.len_utf8())
}

/// Whether a word is being continued, `b` and `c` of `br"…"` and `cr"…"` aside.
fn continues_word(before: &[u8]) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    match before {
        [.., earlier, b'b' | b'c'] => is_word(earlier),
        [b'b' | b'c'] | [] => false,
        [.., last] => is_word(last),
    }
}

/// Length of a raw string, or 0 when `r` begins something else.
fn raw_string(bytes: &[u8]) -> usize {
    let hashes = bytes[1..].iter().take_while(|byte| **byte == b'#').count();
    let inside = 2 + hashes;
    if bytes.get(1 + hashes) != Some(&b'"') {
        return 0;
    }
    let closing = [b"\"", "#".repeat(hashes).as_bytes()].concat();
    inside + find(&bytes[inside..], &closing) + closing.len()
}

/// Where the `#[cfg(test)]` items are, in code without comments and literals.
fn test_items(code: &str) -> Vec<Span> {
    const ATTRIBUTE: &str = "#[cfg(test)]";
    let mut spans: Vec<Span> = Vec::new();
    for (start, _) in code.match_indices(ATTRIBUTE) {
        if spans.last().is_none_or(|last| last.end <= start) {
            spans.push(start..item_end(code, start + ATTRIBUTE.len()));
        }
    }
    spans
}

/// End of the item that begins here: its `;`, or the brace that closes its body.
fn item_end(code: &str, start: usize) -> usize {
    let mut depth = 0;
    for (offset, byte) in code.bytes().enumerate().skip(start) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' => depth -= 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return offset + 1;
                }
            }
            b';' if depth == 0 => return offset + 1,
            _ => {}
        }
    }
    code.len()
}

#[test]
fn comments_and_literals_are_blanked() {
    for (text, expected) in [
        ("a // b\nc", "a     \nc"),
        ("a /* b /* c */ d */ e", "a                   e"),
        (r#"a("b\"c")"#, r"a(      )"),
        (r##"r#"a"b"# c"##, "         c"),
        (r#"br"a" c"#, "b     c"),
        ("for_r\"a\"", "for_r   "),
        (
            "'a' 'b: &'c d '\\'' '\\n' e '€' f",
            "    'b: &'c d           e       f",
        ),
        ("r#type x", "r#type x"),
        ("\"open", "     "),
    ] {
        assert_eq!(without_comments_and_literals(text), expected, "{text}");
    }
}

#[test]
fn test_items_are_blanked_and_not_counted() {
    let text = "\
fn a() {}
#[cfg(test)]
use b::c;
#[cfg(test)]
fn d(e: [u8; 3]) {
    f();
}
#[cfg(test)]
mod tests {
    fn g() { \"}\" }
}
fn h() {}
";
    let file = File::new("x.rs", text, true);
    assert_eq!(
        file.code.split_whitespace().collect::<Vec<_>>(),
        ["fn", "a()", "{}", "fn", "h()", "{}"]
    );
    assert_eq!((file.lines, file.lines_with("h")), (2, vec![12]));
}

#[test]
fn patterns_match_whole_words() {
    for (text, pattern, expected) in [
        ("an unsafe b", "unsafe", true),
        ("an unsafely b", "unsafe", false),
        ("my_unsafe b", "unsafe", false),
        ("a.unwrap() b", ".unwrap()", true),
        ("a.unwrap_or(b)", ".unwrap()", false),
        ("unsafely unsafe", "unsafe", true),
    ] {
        assert_eq!(!lines_with(text, pattern).is_empty(), expected, "{text}");
    }
}
