//! The little that must be known about an ONNX file before a runtime sees it: that it is whole, and its opset.
//!
//! Walks the top-level fields of `ModelProto` (onnx.proto3) in the protocol buffers' wire format. Not a graph parser.

/// Field numbers of `ModelProto` and `OperatorSetIdProto`.
const OPSET_IMPORT: u64 = 8;
const DOMAIN: u64 = 1;
const VERSION: u64 = 2;

/// The version of the default operator set. `Err` says what is wrong with the file.
pub fn opset(bytes: &[u8]) -> Result<i64, &'static str> {
    let mut opset = None;
    let mut fields = Fields(bytes);
    while let Some((number, value)) = fields.next()? {
        if let (OPSET_IMPORT, Value::Bytes(entry)) = (number, value) {
            let (mut default_domain, mut version) = (true, 0);
            let mut entry = Fields(entry);
            while let Some((number, value)) = entry.next()? {
                match (number, value) {
                    (DOMAIN, Value::Bytes(domain)) => {
                        default_domain = domain.is_empty() || domain == b"ai.onnx"
                    }
                    (VERSION, Value::Varint(v)) => version = v as i64,
                    _ => {}
                }
            }
            if default_domain {
                opset = Some(version);
            }
        }
    }
    opset.ok_or("no opset is named")
}

enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    Fixed,
}

struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, &'static str> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(usize::try_from(length).unwrap_or(usize::MAX))?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return Err("not a protocol buffer"),
        };
        Ok(Some((key >> 3, value)))
    }

    fn varint(&mut self) -> Result<u64, &'static str> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("not a protocol buffer")
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], &'static str> {
        let (head, tail) = self
            .0
            .split_at_checked(length)
            .ok_or("it ends in the middle of a field")?;
        self.0 = tail;
        Ok(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// ir_version 8; opset_import {domain "x", version 3}, {version 17}; an unknown field of each wire type.
    const MODEL: &[u8] = &[
        0x08, 8, 0x42, 5, 0x0a, 1, b'x', 0x10, 3, 0x42, 2, 0x10, 17, 0x79, 1, 2, 3, 4, 5, 6, 7, 8,
        0x7d, 1, 2, 3, 4,
    ];

    #[test]
    fn finds_the_default_opset() {
        assert_eq!(opset(MODEL), Ok(17));
        assert_eq!(opset(&MODEL[..9]), Err("no opset is named"));
        assert_eq!(opset(b""), Err("no opset is named"));
    }

    #[test]
    fn a_cut_file_is_told() {
        assert_eq!(
            opset(&MODEL[..MODEL.len() - 1]),
            Err("it ends in the middle of a field")
        );
        assert_eq!(opset(b"<html>"), Err("not a protocol buffer"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = opset(&bytes);
        }
    }
}
