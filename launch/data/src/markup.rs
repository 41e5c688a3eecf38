//! Text and numbers that are safe in HTML, XML and SVG, in content as well as in quoted attributes.
//!
//! Not responsible for what is written.

use std::fmt::{self, Write};

/// Shows any text as text: nothing in it becomes a tag, ends an attribute, or is a character that XML does not have.
pub struct Text<T>(pub T);

impl<T: fmt::Display> fmt::Display for Text<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escape(f), "{}", self.0)
    }
}

struct Escape<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Escape<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match character {
                '<' => self.0.write_str("&lt;")?,
                '>' => self.0.write_str("&gt;")?,
                '&' => self.0.write_str("&amp;")?,
                '"' => self.0.write_str("&quot;")?,
                '\'' => self.0.write_str("&#39;")?,
                '\t' | '\n' => self.0.write_char(character)?,
                // XML 1.0, production 2; and what turns the direction of writing, so that a name can pass for another one.
                c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {
                    self.0.write_char('\u{fffd}')?;
                }
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                    self.0.write_char('\u{fffd}')?
                }
                c => self.0.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// A coordinate: finite whatever comes, at most two decimals, as short as it can be.
pub struct Coordinate(pub f64);

impl fmt::Display for Coordinate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let x = if self.0.is_finite() {
            self.0.clamp(-1e6, 1e6)
        } else {
            0.0
        };
        let hundredths = (x * 100.0).round() as i64;
        let (whole, part) = (hundredths.abs() / 100, hundredths.abs() % 100);
        f.write_str(if hundredths < 0 { "-" } else { "" })?;
        match part {
            0 => write!(f, "{whole}"),
            tenths if tenths % 10 == 0 => write!(f, "{whole}.{}", tenths / 10),
            _ => write!(f, "{whole}.{part:02}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_hostile_is_left() {
        let shown = Text("<script>alert('1' & \"2\")</script>\0\x1b\u{202e}").to_string();
        let expected = "&lt;script&gt;alert(&#39;1&#39; &amp; &quot;2&quot;)&lt;/script&gt;\u{fffd}\u{fffd}\u{fffd}";
        assert_eq!(shown, expected);
    }

    #[test]
    fn coordinates_are_short() {
        for (x, text) in [
            (0.0, "0"),
            (-0.001, "0"),
            (-0.25, "-0.25"),
            (12.3, "12.3"),
            (3.999, "4"),
            (0.05, "0.05"),
            (f64::NAN, "0"),
            (f64::NEG_INFINITY, "0"),
            (1e300, "1000000"),
        ] {
            assert_eq!(Coordinate(x).to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn any_text_comes_back_from_content_and_attribute(text: String) {
            let page = format!("<a b=\"{0}\">{0}</a>", Text(&text));
            let document = roxmltree::Document::parse(&page).unwrap();
            let root = document.root_element();
            let got = root.text().unwrap_or("");
            let same = |(a, b): (char, char)| a == b || b == '\u{fffd}';
            prop_assert_eq!(got.chars().count(), text.chars().count());
            prop_assert!(text.chars().zip(got.chars()).all(same));
            prop_assert!(root.attribute("b").is_some());
            prop_assert_eq!(root.children().filter(|node| node.is_element()).count(), 0);
        }

        #[test]
        fn any_number_is_a_coordinate(x: f64) {
            let shown: f64 = Coordinate(x).to_string().parse().unwrap();
            prop_assert!(shown.is_finite());
            prop_assert!(x.is_nan() || x.abs() > 1e6 || (shown - x).abs() <= 0.005_000_1);
        }
    }
}
