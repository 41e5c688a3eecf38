//! What was asked for on the command line of `cargo xtask vm`.

use super::Flavour;
use std::path::PathBuf;

#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    pub flavours: Vec<Flavour>,
    pub json: Option<PathBuf>,
    pub list: bool,
    /// Parts of names; none selects all.
    pub names: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            flavours: Flavour::ALL.to_vec(),
            json: None,
            list: false,
            names: Vec::new(),
        }
    }
}

impl Options {
    /// `None` for what makes no sense.
    pub fn parse(mut words: &[&str]) -> Option<Self> {
        let mut options = Self::default();
        loop {
            words = match words {
                [] => return Some(options),
                ["--list", rest @ ..] => {
                    options.list = true;
                    rest
                }
                ["--json", file, rest @ ..] if !file.starts_with('-') => {
                    options.json = Some(PathBuf::from(file));
                    rest
                }
                ["--kernel", "both", rest @ ..] => rest,
                ["--kernel", name, rest @ ..] => {
                    options.flavours.retain(|flavour| flavour.name() == *name);
                    if options.flavours.is_empty() {
                        return None;
                    }
                    rest
                }
                [name, rest @ ..] if !name.starts_with('-') => {
                    options.names.push((*name).to_owned());
                    rest
                }
                _ => return None,
            }
        }
    }

    pub fn selects(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|part| name.contains(part.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_sense_is_understood() {
        let everything = Options::parse(&[]).unwrap();
        assert_eq!(everything, Options::parse(&["--kernel", "both"]).unwrap());
        assert_eq!(everything.flavours, Flavour::ALL);
        let words = ["--kernel", "realtime", "--json", "a.json", "can", "--list"];
        let options = Options::parse(&words).unwrap();
        assert_eq!(options.flavours, [Flavour::Realtime]);
        assert_eq!(options.json, Some(PathBuf::from("a.json")));
        assert!(options.list && options.selects("vcan_passes") && !options.selects("vivid"));
    }

    #[test]
    fn what_makes_none_is_refused() {
        for words in [
            &["--kernel"][..],
            &["--kernel", "fast"],
            &["--json"],
            &["--json", "--list"],
            &["--fast"],
        ] {
            assert_eq!(Options::parse(words), None, "{words:?}");
        }
    }
}
