//! Random calls of the admin API.

use std::collections::BTreeMap;

use keystile::{KeyId, KeyRecord, Status};
use serde_json::{Value, json};

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Issue,
    Change,
    Rotate,
    Suspend,
    Resume,
    Revoke,
    Template,
    Apply,
    ChangeMany,
    RevokeMany,
    SuspendMany,
    /// With an idempotency key.
    IssueOnce,
    /// The last of these again.
    Repeat,
}

impl Kind {
    pub(crate) const ALL: [Self; 13] = [
        Self::Issue,
        Self::Change,
        Self::Rotate,
        Self::Suspend,
        Self::Resume,
        Self::Revoke,
        Self::Template,
        Self::Apply,
        Self::ChangeMany,
        Self::RevokeMany,
        Self::SuspendMany,
        Self::IssueOnce,
        Self::Repeat,
    ];

    pub(crate) fn is_bulk(self) -> bool {
        matches!(
            self,
            Self::Apply | Self::ChangeMany | Self::RevokeMany | Self::SuspendMany
        )
    }
}

/// A call, and the key that it names.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) kind: Kind,
    pub(crate) path: String,
    pub(crate) body: Option<Value>,
    pub(crate) target: Option<KeyId>,
    /// Its idempotency key.
    pub(crate) once: Option<String>,
    /// Whether its idempotency key was sent with another body before.
    pub(crate) is_another: bool,
}

impl Call {
    pub(crate) fn line(&self) -> String {
        let method = match self.kind {
            Kind::Change => "PATCH",
            Kind::Template => "PUT",
            _ => "POST",
        };
        format!("{method} {}", self.path)
    }

    /// Whether it asks that derived keys keep what their source loses.
    pub(crate) fn keeps(&self) -> bool {
        let body = self.body.as_ref();
        body.is_some_and(|body| body["derived"] == "keep" || body["change"]["derived"] == "keep")
    }
}

pub(super) const TEMPLATES: [&str; 3] = ["gold", "silver", "monitoring"];

/// Numbers from a seed: xorshift64*.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        random.below(2);
        random
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % limit
    }

    pub(super) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(super) fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    pub(super) fn some(&mut self, all: &[&str], most: usize) -> Value {
        let count = self.below(most + 1);
        let some: Vec<&str> = (0..count).map(|_| self.of(all)).collect();
        json!(some)
    }

    /// A caller: mostly one whose key is active and may write.
    pub(crate) fn caller(
        &mut self,
        callers: &[(String, KeyId)],
        keys: &BTreeMap<KeyId, KeyRecord>,
    ) -> (String, KeyId) {
        let mut chosen = &callers[self.below(callers.len())];
        for _ in 0..20 {
            let key = &keys[&chosen.1];
            let writes = key.permissions.grants("keystile:keys:write");
            if key.status == Status::Active && writes && key.overlap_until.is_none() {
                break;
            }
            chosen = &callers[self.below(callers.len())];
        }
        chosen.clone()
    }

    pub(crate) fn call(
        &mut self,
        caller: &KeyRecord,
        keys: &BTreeMap<KeyId, KeyRecord>,
        order: &[KeyId],
    ) -> Call {
        let kind = match self.below(145) {
            100..104 | 140.. => Kind::RevokeMany,
            104..112 => Kind::SuspendMany,
            112..116 => Kind::IssueOnce,
            116..120 => Kind::Repeat,
            120..130 => Kind::Apply,
            130..140 => Kind::Template,
            0..28 => Kind::Issue,
            28..52 => Kind::Change,
            52..56 => Kind::Revoke,
            56..70 => Kind::Rotate,
            70..75 => Kind::Suspend,
            75..82 => Kind::Resume,
            82..87 => Kind::Template,
            87..94 => Kind::Apply,
            _ => Kind::ChangeMany,
        };
        // Nearly all of the others are refused.
        let is_wide = caller.permissions.grants("keystile:owners:any");
        let kind = match kind {
            Kind::Template if !is_wide && self.chance(80) => Kind::Apply,
            Kind::Issue | Kind::Rotate if is_wide && self.chance(30) => Kind::Template,
            kind => kind,
        };
        let id = self.target(kind, caller, keys, order);
        let named = |verb: &str| format!("/v1/keys/{id}{verb}");
        let (path, body) = match kind {
            Kind::Issue | Kind::IssueOnce | Kind::Repeat => {
                ("/v1/keys".to_owned(), Some(self.issue(caller)))
            }
            Kind::RevokeMany | Kind::SuspendMany => {
                let verb = if kind == Kind::RevokeMany {
                    "revoke"
                } else {
                    "suspend"
                };
                // The first keys have another name, and go on.
                let mut body = json!({ "client_name": "job", "limit": 2 });
                if self.chance(50) {
                    body["owner"] = json!(self.of(&["acme", "globex", "ops"]));
                }
                (format!("/v1/keys/{verb}"), Some(body))
            }
            Kind::Change => (named(""), Some(self.change(caller, &keys[&id]))),
            Kind::Rotate => (named("/rotate"), Some(self.rotate())),
            Kind::Suspend => (named("/suspend"), None),
            Kind::Resume => (named("/resume"), None),
            Kind::Revoke => {
                let body = json!({ "derived": self.chance(50) });
                (named("/revoke"), Some(body))
            }
            Kind::Template => {
                let name = self.of(&TEMPLATES[..2]);
                (format!("/v1/templates/{name}"), Some(self.template()))
            }
            Kind::Apply => {
                let name = self.of(&TEMPLATES[..2]);
                let mut body = json!({ "all": self.chance(70), "limit": 50 });
                self.of_derived(&mut body);
                (format!("/v1/templates/{name}/apply"), Some(body))
            }
            Kind::ChangeMany => {
                let change = self.change(caller, caller);
                let owner = caller.owner.as_deref().unwrap_or("acme");
                let owner = if self.chance(80) { owner } else { "globex" };
                let mut body = json!({ "change": change, "limit": 5 });
                match self.chance(50) {
                    true => body["owner"] = json!(owner),
                    false => body["client_name"] = json!(self.of(&["shop", "job"])),
                }
                ("/v1/keys/change".to_owned(), Some(body))
            }
        };
        let has_target = matches!(
            kind,
            Kind::Change | Kind::Rotate | Kind::Suspend | Kind::Resume | Kind::Revoke
        );
        let target = has_target.then_some(id);
        Call {
            kind,
            path,
            body,
            target,
            once: (kind == Kind::IssueOnce).then(|| format!("request-{}", order.len())),
            is_another: false,
        }
    }

    /// A key: often the caller's own, or one of its owner, or one that derives from it.
    fn target(
        &mut self,
        kind: Kind,
        caller: &KeyRecord,
        keys: &BTreeMap<KeyId, KeyRecord>,
        order: &[KeyId],
    ) -> KeyId {
        let is_suspended = |key: &KeyRecord| key.status == Status::Suspended;
        let fits = |key: &&KeyRecord| match kind {
            Kind::Resume => is_suspended(key),
            // The first keys go on.
            Kind::Suspend | Kind::Revoke => key.derived_from.is_some(),
            // Also one whose successor was revoked.
            Kind::Rotate => !is_suspended(key) && !has_live_successor(key, keys),
            _ => !is_suspended(key) && key.replaced_by.is_none(),
        };
        if matches!(kind, Kind::Change | Kind::Rotate) && self.chance(20) {
            return caller.id;
        }
        let only_derived = self.chance(60);
        let near = |key: &&KeyRecord| match key.derived_from {
            Some(from) if only_derived => from.lineage == caller.lineage,
            _ => !only_derived && key.owner == caller.owner,
        };
        let all: Vec<_> = order.iter().map(|id| &keys[id]).filter(fits).collect();
        let own: Vec<_> = all.iter().copied().filter(near).collect();
        let from = if own.is_empty() || self.chance(15) {
            all
        } else {
            own
        };
        match from.is_empty() {
            true => caller.id,
            false => from[self.below(from.len())].id,
        }
    }
}

fn has_live_successor(key: &KeyRecord, keys: &BTreeMap<KeyId, KeyRecord>) -> bool {
    let next = key.replaced_by.and_then(|next| keys.get(&next));
    next.is_some_and(|next| !matches!(next.status, Status::Revoked { .. }))
}
