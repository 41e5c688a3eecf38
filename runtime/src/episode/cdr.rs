//! OMG CDR, the binary form of ROS 2 messages: little-endian, plain (XCDR version 1).
//!
//! Responsible for the bytes of one message body and for the name that each type has in a `.msg` file. Not responsible
//! for any particular message: those are in [`super::messages`].
//!
//! Source: OMG DDS-XTypes 1.3, clause 7.4 (encapsulation header 00 01 00 00; a primitive of n bytes is aligned to n,
//! counted from the first byte after that header; strings and sequences are led by a u32 length).

const ENCAPSULATION: [u8; 4] = [0, 1, 0, 0];

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CdrError {
    #[error("the message does not begin with the header of little-endian CDR")]
    Encapsulation,
    #[error("{wanted} bytes are wanted at byte {at} and {left} are left")]
    TooShort {
        at: usize,
        wanted: usize,
        left: usize,
    },
    #[error("{left} bytes are left over")]
    TooLong { left: usize },
    #[error("the value {value} at byte {at} is no bool")]
    Bool { at: usize, value: u8 },
    #[error("the string that ends at byte {at} is not UTF-8 with one zero at its end")]
    String { at: usize },
}

/// One field of a message: its type's name in a `.msg` file and its bytes.
pub trait Field: Sized {
    fn ros_type() -> String;

    fn encode(&self, out: &mut Encoder<'_>);

    fn decode(input: &mut Decoder<'_>) -> Result<Self, CdrError>;

    /// Adds the definition of every message that this type contains, itself included, each once.
    fn definitions(_into: &mut Vec<Definition>) {}

    /// The elements of a sequence or array, without a length.
    fn encode_elements(elements: &[Self], out: &mut Encoder<'_>) {
        for element in elements {
            element.encode(out);
        }
    }
}

/// The text of one message definition, as `ros2msg` schemas have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// Such as `std_msgs/Header`.
    pub name: String,
    pub text: String,
}

/// Replaces the content of `buffer` by the message with its encapsulation header.
pub fn encode<M: Field>(message: &M, buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.extend_from_slice(&ENCAPSULATION);
    message.encode(&mut Encoder { buffer });
}

/// A field more at the end of a message.
pub fn append<F: Field>(field: &F, message: &mut Vec<u8>) {
    field.encode(&mut Encoder { buffer: message });
}

pub fn decode<M: Field>(bytes: &[u8]) -> Result<M, CdrError> {
    let body = bytes
        .strip_prefix(&ENCAPSULATION)
        .ok_or(CdrError::Encapsulation)?;
    let mut input = Decoder { body, at: 0 };
    let message = M::decode(&mut input)?;
    match body.len() - input.at {
        0 => Ok(message),
        left => Err(CdrError::TooLong { left }),
    }
}

#[derive(Debug)]
pub struct Encoder<'a> {
    buffer: &'a mut Vec<u8>,
}

impl Encoder<'_> {
    fn primitive<const SIZE: usize>(&mut self, bytes: [u8; SIZE]) {
        let body = self.buffer.len() - ENCAPSULATION.len();
        self.buffer
            .resize(ENCAPSULATION.len() + body.next_multiple_of(SIZE), 0);
        self.buffer.extend_from_slice(&bytes);
    }

    /// # Panics
    /// If `length` does not fit 32 bits, which is the format's limit.
    fn length(&mut self, length: usize) {
        assert!(
            length <= u32::MAX as usize,
            "CDR lengths have 32 bits, this one is {length}"
        );
        self.primitive((length as u32).to_le_bytes());
    }
}

#[derive(Debug)]
pub struct Decoder<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> Decoder<'a> {
    fn take(&mut self, wanted: usize) -> Result<&'a [u8], CdrError> {
        let left = &self.body[self.at..];
        let error = CdrError::TooShort {
            at: self.at,
            wanted,
            left: left.len(),
        };
        let taken = left.get(..wanted).ok_or(error)?;
        self.at += wanted;
        Ok(taken)
    }

    fn primitive<const SIZE: usize>(&mut self) -> Result<[u8; SIZE], CdrError> {
        self.take(self.at.next_multiple_of(SIZE) - self.at)?;
        let mut bytes = [0; SIZE];
        bytes.copy_from_slice(self.take(SIZE)?);
        Ok(bytes)
    }

    fn length(&mut self) -> Result<usize, CdrError> {
        Ok(u32::from_le_bytes(self.primitive()?) as usize)
    }
}

macro_rules! primitive {
    ($($rust:ty = $ros:literal),*) => {$(
        impl Field for $rust {
            fn ros_type() -> String {
                $ros.into()
            }

            fn encode(&self, out: &mut Encoder<'_>) {
                out.primitive(self.to_le_bytes());
            }

            fn decode(input: &mut Decoder<'_>) -> Result<Self, CdrError> {
                Ok(<$rust>::from_le_bytes(input.primitive()?))
            }
        }
    )*};
}

primitive!(
    u16 = "uint16",
    u32 = "uint32",
    i32 = "int32",
    i64 = "int64",
    u64 = "uint64",
    f64 = "float64"
);

impl Field for u8 {
    fn ros_type() -> String {
        "uint8".into()
    }

    fn encode(&self, out: &mut Encoder<'_>) {
        out.buffer.push(*self);
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, CdrError> {
        Ok(input.take(1)?[0])
    }

    fn encode_elements(elements: &[Self], out: &mut Encoder<'_>) {
        out.buffer.extend_from_slice(elements);
    }
}

impl Field for bool {
    fn ros_type() -> String {
        "bool".into()
    }

    fn encode(&self, out: &mut Encoder<'_>) {
        out.buffer.push(u8::from(*self));
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, CdrError> {
        let at = input.at;
        match u8::decode(input)? {
            0 => Ok(false),
            1 => Ok(true),
            value => Err(CdrError::Bool { at, value }),
        }
    }
}

impl Field for String {
    fn ros_type() -> String {
        "string".into()
    }

    fn encode(&self, out: &mut Encoder<'_>) {
        out.length(self.len() + 1);
        out.buffer.extend_from_slice(self.as_bytes());
        out.buffer.push(0);
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, CdrError> {
        let length = input.length()?;
        let bytes = input.take(length)?;
        let text = bytes
            .strip_suffix(&[0])
            .and_then(|text| std::str::from_utf8(text).ok());
        text.map(str::to_owned)
            .ok_or(CdrError::String { at: input.at })
    }
}

impl<T: Field> Field for Vec<T> {
    fn ros_type() -> String {
        format!("{}[]", T::ros_type())
    }

    fn encode(&self, out: &mut Encoder<'_>) {
        out.length(self.len());
        T::encode_elements(self, out);
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, CdrError> {
        let length = input.length()?;
        // Every element has at least one byte, so a corrupt length cannot ask for more memory than the message has.
        let mut elements = Vec::with_capacity(length.min(input.body.len() - input.at));
        for _ in 0..length {
            elements.push(T::decode(input)?);
        }
        Ok(elements)
    }

    fn definitions(into: &mut Vec<Definition>) {
        T::definitions(into);
    }
}

impl<T: Field + Copy + Default, const LEN: usize> Field for [T; LEN] {
    fn ros_type() -> String {
        format!("{}[{LEN}]", T::ros_type())
    }

    fn encode(&self, out: &mut Encoder<'_>) {
        T::encode_elements(self, out);
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Self, CdrError> {
        let mut elements = [T::default(); LEN];
        for element in &mut elements {
            *element = T::decode(input)?;
        }
        Ok(elements)
    }

    fn definitions(into: &mut Vec<Definition>) {
        T::definitions(into);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::episode::messages::{Fault, Header, JointState, Time};
    use proptest::prelude::*;

    fn bytes<M: Field>(message: &M) -> Vec<u8> {
        let mut buffer = vec![9; 3];
        encode(message, &mut buffer);
        buffer
    }

    #[test]
    fn strings_and_sequences_are_padded_as_the_standard_says() {
        let message = JointState {
            header: Header {
                stamp: Time { sec: 1, nanosec: 2 },
                frame_id: "ab".into(),
            },
            name: vec!["j".into(), String::new()],
            position: vec![1.0],
            velocity: vec![],
            effort: vec![-2.0],
        };
        #[rustfmt::skip]
        let expected = [
            0, 1, 0, 0,
            1, 0, 0, 0,  2, 0, 0, 0,                // stamp
            3, 0, 0, 0,  b'a', b'b', 0,  0,         // frame_id; padding to 4
            2, 0, 0, 0,                             // two names
            2, 0, 0, 0,  b'j', 0,  0, 0,            // padding to 4
            1, 0, 0, 0,  0,  0, 0, 0,               // the empty string is its zero
            1, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0xf0, 0x3f, // body is at 48 after the length: no padding
            0, 0, 0, 0,                             // no velocity, hence no padding to 8
            1, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0xc0,
        ];
        assert_eq!(bytes(&message), expected);
        assert_eq!(decode::<JointState>(&expected), Ok(message));
    }

    #[test]
    fn numbers_are_aligned_to_their_size_and_arrays_have_no_length() {
        let message = Fault {
            code: 0x0102,
            number: 0x0304_0506,
            values: [1.0, 0.5, -0.0],
        };
        #[rustfmt::skip]
        let expected = [
            0, 1, 0, 0,
            2, 1,  0, 0,  6, 5, 4, 3,
            0, 0, 0, 0, 0, 0, 0xf0, 0x3f,
            0, 0, 0, 0, 0, 0, 0xe0, 0x3f,
            0, 0, 0, 0, 0, 0, 0, 0x80,
        ];
        assert_eq!(bytes(&message), expected);
        assert_eq!(decode::<Fault>(&expected), Ok(message));
    }

    #[test]
    fn bad_bytes_are_errors() {
        type Bools = Vec<bool>;
        let cases: [(&[u8], CdrError); 4] = [
            (&[0, 0, 0, 0], CdrError::Encapsulation),
            (
                &[0, 1, 0, 0, 1, 0, 0, 0],
                CdrError::TooShort {
                    at: 4,
                    wanted: 1,
                    left: 0,
                },
            ),
            (
                &[0, 1, 0, 0, 1, 0, 0, 0, 2],
                CdrError::Bool { at: 4, value: 2 },
            ),
            (&[0, 1, 0, 0, 0, 0, 0, 0, 7], CdrError::TooLong { left: 1 }),
        ];
        for (bytes, error) in cases {
            assert_eq!(decode::<Bools>(bytes), Err(error));
        }
        for text in [
            &[0, 1, 0, 0, 1, 0, 0, 0, b'a'][..],
            &[0, 1, 0, 0, 2, 0, 0, 0, 0xff, 0],
        ] {
            assert!(matches!(
                decode::<String>(text),
                Err(CdrError::String { .. })
            ));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_bytes_decode_or_fail(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let message = [&ENCAPSULATION[..], &body].concat();
            let _ = decode::<JointState>(&message);
            let _ = decode::<crate::episode::messages::Step>(&message);
        }
    }
}
