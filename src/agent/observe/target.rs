//! What a request asks for: path parts and query, decoded.

/// A decoded request target.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The parts between slashes, without empty ones.
    pub(super) parts: Vec<String>,
    query: Vec<(String, String)>,
}

impl Target {
    /// `None` if something is not percent-encoded UTF-8.
    pub(super) fn parse(path: &str, query: Option<&str>) -> Option<Self> {
        let parts = path.split('/').filter(|p| !p.is_empty());
        let parts: Option<Vec<String>> = parts.map(|p| decode(p, false)).collect();
        let pairs = query
            .unwrap_or_default()
            .split('&')
            .filter(|p| !p.is_empty());
        let query: Option<Vec<_>> = pairs
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Some((decode(name, true)?, decode(value, true)?))
            })
            .collect();
        Some(Self {
            parts: parts?,
            query: query?,
        })
    }

    /// The first value under `name`.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }
}

fn decode(text: &str, plus_is_space: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? << 4 | digit()?).ok()?
            }
            b'+' if plus_is_space => b' ',
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Encodes `text` as one part of a path.
pub(super) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_query_are_decoded() {
        let target = Target::parse("//task/a%20b%2Fc/", Some("offset=-1&x=a+b&flag")).unwrap();
        assert_eq!(target.parts, ["task", "a b/c"]);
        assert_eq!(target.query("offset"), Some("-1"));
        assert_eq!(target.query("x"), Some("a b"));
        assert_eq!(target.query("flag"), Some(""));
        assert_eq!(target.query("none"), None);
        for bad in ["/%", "/%2", "/%zz", "/%ff"] {
            assert_eq!(Target::parse(bad, None), None, "{bad}");
        }
        assert_eq!(
            decode(&encode("a b/%\u{e4}"), false).unwrap(),
            "a b/%\u{e4}"
        );
    }
}
