//! A user's token of each size, beside the key, in each place where keys are read from.

use serde_json::{Value, json};

use crate::shapes::Shape;

/// In bytes. Tokens with the groups and roles of a user get this long. No line of nginx's is
/// longer than 8 KiB by default, which the largest of these exceeds.
pub(crate) const SIZES: [usize; 7] = [60, 500, 3_000, 4_000, 6_000, 8_000, 12_000];

/// More than any of the gateways reads: nginx 16 KiB, Envoy 60 KiB, Caddy 64 KB, Traefik 1 MiB.
pub(crate) const TOO_LARGE: usize = 1_200_000;

/// A token in the shape of a JWT, of this many bytes.
pub(crate) fn jwt(bytes: usize) -> String {
    const AROUND: usize = 44;
    let payload = "e".repeat(bytes.checked_sub(AROUND).expect("room for a payload"));
    format!("eyJhbGciOiJIUzI1NiJ9.{payload}.{}", "s".repeat(22))
}

/// The shapes: with each size, what passes without the token passes with it, and what is
/// refused is refused.
pub(crate) fn shapes() -> Vec<Shape> {
    let mut all: Vec<Value> = SIZES.into_iter().flat_map(of_size).collect();
    all.extend([
        json!({ "name": "token, too large", "request": "GET /things", "expect": "refuse",
            "headers": [format!("Authorization: Bearer {{jwt:{TOO_LARGE}}}")] }),
        json!({ "name": "token, too large for nginx", "request": "GET /things",
            "headers": ["Authorization: Bearer {jwt:20000}"], "refused_by": ["nginx"] }),
    ]);
    let shapes = all.into_iter().map(serde_json::from_value);
    shapes.map(|shape| shape.expect("a shape")).collect()
}

fn of_size(size: usize) -> Vec<Value> {
    let jwt = format!("{{jwt:{size}}}");
    let name = |what: &str| format!("token of {size} bytes {what}");
    let pass = |what: &str, header: &str, before: &str| {
        json!({ "name": name(what), "request": "GET /things", "expect": "pass",
            "headers": [format!("{header}: {before}{jwt}")],
            "keeps": format!("{}: {before}{jwt}", header.to_lowercase()) })
    };
    let mut in_authorization = pass("in X-API-Key, the key as Bearer", "X-API-Key", "");
    in_authorization["bare"] = json!(true);
    in_authorization["headers"] = json!([
        format!("X-API-Key: {jwt}"),
        "Authorization: Bearer {reader}"
    ]);
    let mut h2 = pass("as Bearer, HTTP/2", "authorization", "Bearer ");
    h2["h2"] = json!(true);
    vec![
        pass("as Bearer", "Authorization", "Bearer "),
        pass("of a scheme that is not read", "Authorization", "Token "),
        pass("without a scheme", "Authorization", ""),
        in_authorization,
        h2,
        // The header that carries the key stays at the gateway.
        json!({ "name": name("in another line of X-API-Key"), "request": "GET /things",
            "headers": [format!("X-API-Key: {jwt}")], "expect": "pass",
            // It joins the lines to one value, which is no key.
            "refused_by": ["Envoy"] }),
        json!({ "name": name("beside a key for other paths"), "request": "GET /things",
            "headers": [format!("Authorization: Bearer {jwt}")], "key": "metrics",
            "expect": "refuse" }),
        json!({ "name": name("alone"), "request": "GET /things", "key": "none",
            "headers": [format!("Authorization: Bearer {jwt}")], "expect": "refuse" }),
    ]
}
