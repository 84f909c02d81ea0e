//! Which encoding a body has and which one an answer gets.

use crate::thrift::Protocol;

/// The media type of the binary protocol.
pub const BINARY: &str = "application/vnd.apache.thrift.binary";
/// The media type of the compact protocol.
pub const COMPACT: &str = "application/vnd.apache.thrift.compact";
/// The media type of Thrift's JSON.
pub const JSON: &str = "application/vnd.apache.thrift.json";

/// The protocol of a body of this Content-Type; `None` if there is none.
///
/// Parameters count: only Thrift's JSON may have one, `charset=utf-8`.
pub(super) fn incoming(content_type: Option<&str>) -> Option<Protocol> {
    let Some(content_type) = content_type else {
        return Some(Protocol::Json);
    };
    let text = content_type.to_ascii_lowercase();
    let mut parts = text.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default();
    let parameters: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    match (media, parameters.as_slice()) {
        (BINARY, []) => Some(Protocol::Binary),
        (COMPACT, []) => Some(Protocol::Compact),
        ("application/x-thrift" | "application/json", []) => Some(Protocol::Json),
        (JSON, [] | ["charset=utf-8" | "charset=\"utf-8\""]) => Some(Protocol::Json),
        _ => None,
    }
}

/// The protocol of an answer for this Accept: what is not known gets Thrift's JSON.
pub(super) fn outgoing(accept: Option<&str>) -> Protocol {
    let accept = accept.unwrap_or_default().trim().to_ascii_lowercase();
    match accept.as_str() {
        BINARY => Protocol::Binary,
        COMPACT => Protocol::Compact,
        _ => Protocol::Json,
    }
}

/// The media type of a protocol.
pub(super) fn name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Binary => BINARY,
        Protocol::Compact => COMPACT,
        Protocol::Json => JSON,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_read_by_their_exact_type() {
        for json in [
            None,
            Some("application/x-thrift"),
            Some("application/json"),
            Some("Application/JSON"),
            Some("application/vnd.apache.thrift.json"),
            Some("application/vnd.apache.thrift.json; charset=utf-8"),
            Some("application/vnd.apache.thrift.json;charset=UTF-8"),
        ] {
            assert_eq!(incoming(json), Some(Protocol::Json), "{json:?}");
        }
        assert_eq!(incoming(Some(BINARY)), Some(Protocol::Binary));
        assert_eq!(incoming(Some(COMPACT)), Some(Protocol::Compact));
        for other in [
            "application/json; charset=utf-8",
            "application/vnd.apache.thrift.binary; charset=utf-8",
            "application/vnd.apache.thrift.json; charset=latin1",
            "text/plain",
            "",
        ] {
            assert_eq!(incoming(Some(other)), None, "{other}");
        }
    }

    #[test]
    fn answers_are_json_unless_one_other_type_is_asked_for() {
        assert_eq!(outgoing(Some(BINARY)), Protocol::Binary);
        assert_eq!(outgoing(Some(COMPACT)), Protocol::Compact);
        for json in [
            None,
            Some("*/*"),
            Some("x"),
            Some("text/html, application/json"),
        ] {
            assert_eq!(outgoing(json), Protocol::Json, "{json:?}");
        }
        let several = format!("{BINARY}, {JSON}");
        assert_eq!(outgoing(Some(&several)), Protocol::Json);
    }
}
