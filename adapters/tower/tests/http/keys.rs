//! Keys of every kind, in a store.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use keystile::{
    IssueRequest, Issued, KeyFormat, Millis, PepperRing, RateLimit, RotationPolicy, SysRng,
    UnixMillis, Verifier, issue,
};
use keystile_store::{Store, revoke, rotate, save_issued, suspend};

pub(crate) fn format() -> KeyFormat {
    KeyFormat::structured("acme").unwrap()
}

pub(crate) fn verifier() -> Verifier {
    Verifier::new(format())
}

pub(crate) fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    UnixMillis::new(since.as_millis() as u64).unwrap()
}

/// A month and a day ago.
fn long_ago() -> UnixMillis {
    UnixMillis::new(now().get() - Millis::from_days(32).get()).unwrap()
}

pub(crate) fn request(name: &str) -> IssueRequest {
    let request = IssueRequest::new(name).unwrap();
    request.permissions(["read", "write"]).unwrap()
}

pub(crate) async fn issued<S: Store>(store: &S, request: &IssueRequest, at: UnixMillis) -> Issued {
    let issued = issue(&format(), &PepperRing::none(), request, &mut SysRng, at).unwrap();
    save_issued(store, &issued).await.unwrap();
    issued
}

/// A key of each kind that the shapes name.
pub(crate) async fn of_every_kind<S: Store>(store: &S) -> HashMap<&'static str, String> {
    let mut keys = HashMap::new();
    let requests = [
        ("key", request("Acme")),
        ("other", request("Bolt")),
        ("revoked", request("Acme")),
        ("suspended", request("Acme")),
        ("replaced", request("Acme")),
        ("reader", request("Acme").permissions(["read"]).unwrap()),
        (
            "metrics",
            request("Acme").endpoints(["GET /api/metrics/*"]).unwrap(),
        ),
        (
            "elsewhere",
            request("Acme").networks(["192.0.2.0/24"]).unwrap(),
        ),
        (
            "limited",
            request("Acme").rate_limit(RateLimit::new(1, Millis::from_hours(1)).unwrap()),
        ),
        ("once", request("Acme").uses(1).unwrap()),
    ];
    for (name, request) in requests {
        let issued = issued(store, &request, now()).await;
        let id = issued.record.id;
        match name {
            "revoked" => drop(revoke(store, &id, "leaked", now()).await.unwrap()),
            "suspended" => drop(suspend(store, &id, now()).await.unwrap()),
            "replaced" => {
                let policy = RotationPolicy::default()
                    .with_overlap(Millis::ZERO)
                    .unwrap();
                let peppers = PepperRing::none();
                let at = now();
                rotate(store, &id, &policy, None, &peppers, &mut SysRng, at)
                    .await
                    .unwrap();
            }
            _ => {}
        }
        keys.insert(name, issued.key.expose().to_owned());
    }
    let expiring = request("Acme").expires_in(Millis::from_days(30)).unwrap();
    let expired = issued(store, &expiring, long_ago()).await;
    keys.insert("expired", expired.key.expose().to_owned());
    let elsewhere = issue(
        &format(),
        &PepperRing::none(),
        &request("Nobody"),
        &mut SysRng,
        now(),
    );
    keys.insert("unknown", elsewhere.unwrap().key.expose().to_owned());
    keys.insert("forged", forged(&keys["revoked"], &keys["unknown"]));
    keys
}

/// A key with one key's id and another one's secret, and the check that belongs to both.
pub(crate) fn forged(id_of: &str, secret_of: &str) -> String {
    let secret = id_of.len() - 49;
    let text = format!("{}{}", &id_of[..secret], &secret_of[secret..secret + 43]);
    let check = check_of(&text);
    format!("{text}{check}")
}

/// The 6 base62 digits of a text's CRC-32, as the default format has them.
fn check_of(text: &str) -> String {
    let digits = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut crc = u32::MAX;
    for byte in text.bytes() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
    }
    let mut rest = !crc;
    let mut check = [b'0'; 6];
    for place in check.iter_mut().rev() {
        *place = digits[(rest % 62) as usize];
        rest /= 62;
    }
    check.map(char::from).iter().collect()
}
