//! Arrays in configuration files: as many values as the code expects, no fewer and no more.
//!
//! An array that serde reads by itself takes the first values and drops the rest, so that a value in the wrong place would
//! go unseen.

use serde::de::{Deserialize, Deserializer, Error};

/// For `#[serde(deserialize_with)]`.
///
/// # Errors
/// When there are fewer or more than `K` values, or one of them is not a `T`.
pub fn exactly<'de, D: Deserializer<'de>, T: Deserialize<'de>, const K: usize>(
    deserializer: D,
) -> Result<[T; K], D::Error> {
    let values = Vec::<T>::deserialize(deserializer)?;
    let found = values.len();
    let wrong = |_| D::Error::custom(format!("{found} values where {K} are expected"));
    values.try_into().map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Table {
        #[serde(deserialize_with = "exactly")]
        size_m: [f64; 3],
    }

    #[test]
    fn neither_fewer_nor_more_values_are_taken() {
        let read = |text: &str| toml::from_str::<Table>(text);
        let table = read("size_m = [1.0, 2.0, 3.0]").expect("three values");
        assert_eq!(table.size_m, [1.0, 2.0, 3.0]);
        for (text, found) in [
            ("size_m = [1.0, 2.0]", "2 values where 3 are expected"),
            ("size_m = [1, 2, 3, 4]", "4 values where 3 are expected"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.message().contains(found), "{error}");
            assert!(error.span().is_some(), "{error}");
        }
    }
}
