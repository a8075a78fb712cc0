//! Upgrades of a connection, after which a gateway passes on bytes and asks no more.

use http::HeaderMap;
use http::header::UPGRADE;

use crate::problem::Problem;

/// Whether a request may be passed on with its upgrade. Some gateways pass on each upgrade that
/// a client asks for; by one to `h2c`, the client would then talk to the service without any
/// further question. Only WebSocket may pass.
///
/// # Errors
/// If the request asks for any other upgrade.
pub(crate) fn check(headers: &HeaderMap) -> Result<(), Problem> {
    let is_harmless = |value: &[u8]| value.is_empty() || value.eq_ignore_ascii_case(b"websocket");
    let mut values = headers.get_all(UPGRADE).iter();
    match values.all(|value| is_harmless(value.as_bytes())) {
        true => Ok(()),
        false => Err(Problem::malformed(
            "The header Upgrade must be websocket; no other upgrade is passed on.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_websocket_may_pass() {
        let is_passed = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(UPGRADE, value.parse().unwrap());
            }
            check(&headers).is_ok()
        };
        for values in [&[][..], &[""], &["websocket"], &["WebSocket"]] {
            assert!(is_passed(values), "{values:?}");
        }
        for values in [
            &["h2c"][..],
            &["websocket", "h2c"],
            &["websocket, h2c"],
            &["TLS/1.0"],
            &["web socket"],
        ] {
            assert!(!is_passed(values), "{values:?}");
        }
    }
}
