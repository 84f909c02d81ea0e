//! Text shared by the encodings: UTF-8, JSON strings, numbers.

use crate::thrift::error::ThriftError;
use crate::thrift::value::Read;

/// The text in `bytes`, which begin at `offset`.
pub fn utf8(offset: usize, bytes: &[u8]) -> Read<String> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => {
            let offset = offset + error.valid_up_to();
            Err(ThriftError::new(offset, "string is not UTF-8"))
        }
    }
}

/// Writes `text` as a JSON string.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// Writes `value` so that reading gives the same bits; what JSON has no number for is a string.
pub fn write_double(out: &mut Vec<u8>, value: f64) {
    let text = if value.is_nan() {
        "\"NaN\"".to_owned()
    } else if value.is_infinite() {
        let sign = if value < 0.0 { "-" } else { "" };
        format!("\"{sign}Infinity\"")
    } else {
        format!("{value:?}")
    };
    out.extend_from_slice(text.as_bytes());
}
