//! Answers in gzip for clients that take it.

use crate::net::http1::{Body, Response};
use crate::rt;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::borrow::Cow;
use std::io::Write;

/// Smaller answers are sent as they are.
const BYTES_MIN: usize = 1024;

/// Larger ones take long enough to delay others: they are packed elsewhere.
const BYTES_AT_ONCE: usize = 64 << 10;

/// Compresses an answer's body, if that is worth it, off the reactor's thread where it takes long.
pub(super) async fn pack(mut response: Response) -> Response {
    match &response.body {
        Body::Bytes(bytes) if bytes.len() > BYTES_AT_ONCE => {
            rt::unblock(move || {
                compress(&mut response);
                response
            })
            .await
        }
        Body::Bytes(_) | Body::Stream(_) => {
            compress(&mut response);
            response
        }
    }
}

/// Whether a client's `Accept-Encoding` takes gzip.
pub(super) fn is_accepted(header: Option<&str>) -> bool {
    let refuses = |parameters: &str| {
        let mut parameters = parameters.split(';').map(str::trim);
        parameters.any(|p| {
            p.strip_prefix("q=")
                .and_then(|q| q.parse::<f32>().ok())
                .is_some_and(|q| q <= 0.0)
        })
    };
    header.unwrap_or_default().split(',').any(|coding| {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
        name.trim().eq_ignore_ascii_case("gzip") && !refuses(parameters)
    })
}

fn compress(response: &mut Response) {
    let has_coding = response
        .headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("content-encoding"));
    let Body::Bytes(plain) = &response.body else {
        return;
    };
    if has_coding || plain.len() < BYTES_MIN {
        return;
    }
    // Lists of tasks shrink to a tenth even so; more effort would cost more than the network.
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::fast());
    let packed = encoder.write_all(plain).and_then(|()| encoder.finish());
    let packed = packed.expect("writing to memory does not fail");
    if packed.len() < plain.len() {
        response.body = Body::Bytes(packed);
        let mut put = |name: &'static str, value: &'static str| {
            response
                .headers
                .push((Cow::Borrowed(name), Cow::Borrowed(value)));
        };
        put("content-encoding", "gzip");
        put("vary", "accept-encoding");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn gzip_is_taken_by_whoever_says_so() {
        for good in ["gzip", "deflate, gzip;q=1.0, *;q=0.5", "GZIP"] {
            assert!(is_accepted(Some(good)), "{good}");
        }
        for bad in ["", "deflate", "gzip;q=0", "gzip; q=0.0", "xgzip"] {
            assert!(!is_accepted(Some(bad)), "{bad}");
        }
        assert!(!is_accepted(None));
    }

    #[test]
    fn what_is_packed_can_be_unpacked_and_short_answers_stay() {
        let text = "task ".repeat(1000);
        let mut response = Response::text(200, text.clone());
        compress(&mut response);
        let Body::Bytes(packed) = &response.body else {
            panic!("a stream");
        };
        assert!(packed.len() < 200);
        let mut plain = String::new();
        flate2::read::GzDecoder::new(&packed[..])
            .read_to_string(&mut plain)
            .unwrap();
        assert_eq!(plain, text);
        let mut short = Response::text(200, "OK\n");
        compress(&mut short);
        assert!(matches!(&short.body, Body::Bytes(b) if b == b"OK\n"));
    }
}
