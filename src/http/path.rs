//! Parts of paths and queries, percent-decoded.

use super::state::Shared;
use tide::{Request, StatusCode};

/// A part of the path that a route names, decoded.
///
/// # Errors
///
/// 400 if it is not UTF-8 once decoded.
pub(super) fn parameter(request: &Request<Shared>, name: &str) -> tide::Result<String> {
    let raw = request.param(name)?;
    decode(raw, false).ok_or_else(|| {
        tide::Error::from_str(
            StatusCode::BadRequest,
            "malformed percent-encoding in the path",
        )
    })
}

/// The first value of a query parameter, decoded; `None` if it is absent or malformed.
pub(super) fn query(request: &Request<Shared>, name: &str) -> Option<String> {
    form(request.url().query()?, name)
}

/// The first value under `name` in a form or query, decoded.
pub(super) fn form(text: &str, name: &str) -> Option<String> {
    text.split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .find(|(key, _)| decode(key, true).as_deref() == Some(name))
        .and_then(|(_, value)| decode(value, true))
}

/// Decodes `%XX` (and, in forms, `+`); `None` if that is not UTF-8 or holds control characters.
pub(super) fn decode(text: &str, is_form: bool) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let value = digit()? << 4 | digit()?;
                out.push(u8::try_from(value).ok()?);
            }
            b'+' if is_form => out.push(b' '),
            _ => out.push(byte),
        }
    }
    String::from_utf8(out)
        .ok()
        .filter(|text| !text.chars().any(char::is_control))
}

/// Encodes a text so that it can stand as one part of a path.
pub(super) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for digit in [byte >> 4, byte & 15] {
                out.push(
                    char::from_digit(u32::from(digit), 16).map_or('0', |c| c.to_ascii_uppercase()),
                );
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_decode_once_and_encode_back() {
        assert_eq!(decode("www%2Fdata", false).as_deref(), Some("www/data"));
        assert_eq!(decode("%2525", false).as_deref(), Some("%25"));
        assert_eq!(decode("a+b", false).as_deref(), Some("a+b"));
        assert_eq!(decode("a+b", true).as_deref(), Some("a b"));
        assert_eq!(decode("caf%C3%A9", false).as_deref(), Some("caf\u{e9}"));
        for bad in ["%", "%4", "%zz", "%ff", "%00", "%0a"] {
            assert_eq!(decode(bad, false), None, "{bad}");
        }
        assert_eq!(encode("a/b \u{e9}"), "a%2Fb%20%C3%A9");
    }

    #[test]
    fn forms_give_the_first_value() {
        let form_text = "logger=root&level=DEBUG&level=OFF&x";
        assert_eq!(form(form_text, "level").as_deref(), Some("DEBUG"));
        assert_eq!(form(form_text, "x").as_deref(), Some(""));
        assert_eq!(form(form_text, "y"), None);
    }
}
