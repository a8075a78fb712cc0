//! What must hold for every answer that a client gets, in both versions of HTTP.

use serde_json::Value;

use crate::client::{Answer, CUT};
use crate::shapes::{Shape, Words};
use crate::upstream::{Seen, folded};

/// What is said between keystile and a gateway, or to the service.
const INTERNAL: [&str; 3] = ["keystile", "x-auth-", "x-envoy-auth-"];

/// What is wrong with an answer.
pub(crate) fn problems(
    shape: &Shape,
    answer: &Answer,
    seen: &[Seen],
    words: &Words,
) -> Vec<&'static str> {
    let mut problems = Vec::new();
    let mut check = |holds: bool, what| {
        if !holds {
            problems.push(what);
        }
    };
    for name in ["reader", "bare", "metrics", "admin", "basic"] {
        let is_in = |text: &str| text.contains(&words[name]);
        check(
            !is_in(&answer.head) && !is_in(&answer.body),
            "the text of a key in the answer",
        );
    }
    let mut names = answer.head.lines().filter_map(|line| line.split_once(':'));
    let is_internal = |name: &str| {
        let name = folded(name);
        INTERNAL.iter().any(|own| name.contains(own))
    };
    check(
        !names.any(|(name, _)| is_internal(name)),
        "an internal header in the answer",
    );
    let body: Option<Value> = serde_json::from_str(&answer.body).ok();
    let member = |name: &str| body.as_ref().and_then(|body| body[name].as_str());
    if let [one] = seen
        && answer.status == 200
        && one.method != "HEAD"
        // Envoy sends no body if the service does not open the WebSocket.
        && one.values("upgrade").concat().is_empty()
    {
        let is_same = member("method") == Some(&one.method);
        let is_same = is_same && member("target").is_some_and(|own| own == one.target);
        let is_json = answer.values("content-type") == ["application/json"];
        check(is_same && is_json, "an answer that is not the service's");
    }
    // Only keystile answers so.
    if answer.status == 401 && shape.line().0 != "HEAD" {
        let challenges = answer.values("www-authenticate").len();
        check(
            member("code").is_some() && challenges == 1,
            "a 401 without its code or challenge",
        );
    }
    problems
}

/// Whether the client was told that the fault is its own, or in HTTP/2 that its request is
/// none.
pub(crate) fn is_refusal(shape: &Shape, answer: Option<&Answer>) -> bool {
    answer.is_some_and(|answer| {
        (400..500).contains(&answer.status) || (shape.h2 && answer.status == CUT)
    })
}
