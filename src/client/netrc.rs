//! Names and passwords for schedulers that ask for them: the file that other clients use as well.

use super::world::Settings;

/// The login for `host` as the value of a Basic authorization, if the file has one.
pub fn login(settings: &Settings, host: &str) -> Option<String> {
    let text = std::fs::read_to_string(settings.netrc.as_ref()?).ok()?;
    let (user, password) = find(&text, host)?;
    Some(base64(format!("{user}:{password}").as_bytes()))
}

/// The entry for `host`, or else the default one.
fn find(text: &str, host: &str) -> Option<(String, String)> {
    let mut words = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(str::split_whitespace);
    let mut here = false;
    let (mut user, mut password) = (None, None);
    while let Some(word) = words.next() {
        match word {
            "machine" | "default" => {
                if here && password.is_some() {
                    break;
                }
                here = word == "default" || words.next() == Some(host);
                (user, password) = (None, None);
            }
            "login" | "account" | "password" => {
                let value = words.next()?;
                match word {
                    "login" if here => user = Some(value.to_owned()),
                    "password" if here => password = Some(value.to_owned()),
                    _ => {}
                }
            }
            _ => {}
        }
    }
    here.then_some(())?;
    Some((user.unwrap_or_default(), password?))
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let at = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for i in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * i)) as usize & 63];
            out.push(if i <= chunk.len() {
                letter as char
            } else {
                '='
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_are_found_by_host() {
        let text = "# mine\nmachine a login one password p1\nmachine b\n login two\n password p2\n\
                    default login any password p3";
        let found =
            |host: &str| find(text, host).map(|(user, password)| format!("{user}:{password}"));
        assert_eq!(found("a").as_deref(), Some("one:p1"));
        assert_eq!(found("b").as_deref(), Some("two:p2"));
        assert_eq!(found("c").as_deref(), Some("any:p3"));
        assert_eq!(find("machine a login x password y", "b"), None);
    }

    #[test]
    fn base64_is_padded() {
        for (text, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("a:b?", "YTpiPw=="),
        ] {
            assert_eq!(base64(text.as_bytes()), expected);
        }
    }
}
