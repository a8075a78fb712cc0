//! Requests that are sent again, and keys that end many at a time.

use keystile::{KeyId, KeyRecord, Status};
use serde_json::{Value, json};

use super::random::{Call, Kind, Random};
use super::{Keys, named, reach};

/// A request with an idempotency key that has issued a key.
pub(super) struct Once {
    text: String,
    caller: KeyId,
    call: Call,
    key_id: String,
}

impl Once {
    /// What has issued a key, if it can be sent again.
    pub(super) fn of(call: &Call, (text, caller): (&str, KeyId), answer: &Value) -> Option<Self> {
        let is_first = call.kind == Kind::IssueOnce;
        let key_id = answer["key_id"].as_str().filter(|_| is_first)?;
        Some(Self {
            text: text.to_owned(),
            caller,
            call: call.clone(),
            key_id: key_id.to_owned(),
        })
    }

    /// The same request by the same caller; sometimes with another body.
    pub(super) fn again(&self, random: &mut Random) -> (String, KeyId, Call) {
        let mut call = self.call.clone();
        call.kind = Kind::Repeat;
        if let Some(body) = call.body.as_mut().filter(|_| random.chance(30)) {
            body["metadata"] = json!({ "another": true });
            call.is_another = true;
        }
        (self.text.clone(), self.caller, call)
    }
}

/// A request that is sent again gives no second key, and its answer has no text of one. With another
/// body it is refused.
pub(super) fn repeated(
    once: Option<&Once>,
    call: &Call,
    is_done: bool,
    answer: &Value,
    (before, after): (&Keys, &Keys),
) -> Option<String> {
    let once = once.filter(|_| call.kind == Kind::Repeat)?;
    // Without what the use of the caller's own key changes.
    let versions =
        |keys: &Keys| -> Vec<_> { keys.values().map(|key| (key.id, key.version)).collect() };
    if versions(before) != versions(after) {
        return Some("a request that was sent again changes a key".to_owned());
    }
    if !is_done {
        return None;
    }
    if call.is_another {
        return Some("another request has the same idempotency key".to_owned());
    }
    let is_first = answer["key_id"] == once.key_id.as_str() && answer.get("key").is_none();
    (!is_first).then(|| format!("the first answer was about {}", once.key_id))
}

/// Who ends many keys ends those of its owner, or of any if it may see all; and not its own key or
/// one that it derives from, so that it can go on.
pub(super) fn ended_many(
    caller: &KeyRecord,
    call: &Call,
    answer: &Value,
    (before, after): (&Keys, &Keys),
) -> Option<String> {
    if !matches!(call.kind, Kind::RevokeMany | Kind::SuspendMany) {
        return None;
    }
    for id in named(call, answer) {
        let (old, new) = (&before[&id], &after[&id]);
        if old.owner != reach(caller, old).owner {
            return Some(format!("{old:?} is not the caller's"));
        }
        let is_ended = match call.kind {
            Kind::RevokeMany => matches!(new.status, Status::Revoked { .. }),
            _ => new.status == Status::Suspended,
        };
        if !is_ended {
            return Some(format!("{new:?} has not ended"));
        }
    }
    let is_other = before[&caller.id].status != after[&caller.id].status;
    let others = after.values().filter(|key| {
        before[&key.id].status != key.status && reach(caller, key).owner != key.owner
    });
    // Those that derive from an ended key end with it, and have its owner.
    let mut others = others.map(|key| format!("{key:?} is of another owner"));
    others
        .next()
        .or_else(|| is_other.then(|| "the caller has ended its own key".to_owned()))
}

#[test]
fn what_ends_or_gives_too_much_is_found() {
    let key = super::controls::key;
    let keys = super::controls::keys;
    let of = |number: u64, owner: &str| {
        let mut key = key(number, &["keystile:keys:write"]);
        key.owner = Some(owner.into());
        key
    };
    let (caller, own, other) = (of(1, "acme"), of(2, "acme"), of(3, "globex"));
    let before = keys(&[&caller, &own, &other]);
    let many = super::controls::call(Kind::RevokeMany, None);
    let ends = |ended: &KeyRecord| {
        let mut after = before.clone();
        after.insert(ended.id, super::controls::revoked(ended.clone()));
        let answer = json!({ "key_ids": [ended.id.as_str()] });
        ended_many(&caller, &many, &answer, (&before, &after)).is_some()
    };
    assert!(!ends(&own) && ends(&other) && ends(&caller));
    let answer = json!({ "key_ids": [own.id.as_str()] });
    assert!(ended_many(&caller, &many, &answer, (&before, &before)).is_some());

    let issue = super::controls::call(Kind::IssueOnce, None);
    let first = json!({ "key_id": "1a", "key": "ks_1a" });
    let once = Once::of(&issue, ("text", caller.id), &first).unwrap();
    let mut again = super::controls::call(Kind::Repeat, None);
    let found = |call: &Call, answer: &Value, after: &Keys| {
        repeated(Some(&once), call, true, answer, (&before, after)).is_some()
    };
    assert!(!found(&again, &json!({ "key_id": "1a" }), &before));
    assert!(found(&again, &json!({ "key_id": "1b" }), &before));
    assert!(found(&again, &first, &before), "with the text of the key");
    assert!(found(&again, &json!({ "key_id": "1a" }), &keys(&[&caller])));
    again.is_another = true;
    assert!(found(&again, &json!({ "key_id": "1a" }), &before));
}
