//! Random calls of the admin API.

use std::collections::BTreeMap;

use keystile::{EndpointRules, KeyId, KeyRecord, Millis, PermissionSet, RateLimit, Status};
use serde_json::{Map, Value, json};

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Issue,
    Change,
    Rotate,
    Suspend,
    Resume,
    Template,
    Apply,
    ChangeMany,
}

impl Kind {
    pub(crate) const ALL: [Self; 8] = [
        Self::Issue,
        Self::Change,
        Self::Rotate,
        Self::Suspend,
        Self::Resume,
        Self::Template,
        Self::Apply,
        Self::ChangeMany,
    ];

    pub(crate) fn is_bulk(self) -> bool {
        matches!(self, Self::Apply | Self::ChangeMany)
    }
}

/// A call, and the key that it names.
pub(crate) struct Call {
    pub(crate) kind: Kind,
    pub(crate) path: String,
    pub(crate) body: Option<Value>,
    pub(crate) target: Option<KeyId>,
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

const PERMISSIONS: [&str; 12] = [
    "a:x",
    "a:y",
    "a:*",
    "b:x",
    "b:*",
    "*:x",
    "*",
    "keystile:keys:read",
    "keystile:keys:write",
    "keystile:keys:renew",
    "keystile:owners:any",
    "keystile:*",
];
const RULES: [&str; 7] = [
    "/api/*",
    "GET /api/*",
    "GET,POST /api/a/*",
    "/api/a",
    "/api/*/x",
    "/v1/*",
    "/*",
];
const NETWORKS: [&str; 5] = [
    "127.0.0.0/8",
    "127.0.0.1/32",
    "10.1.0.0/16",
    "10.0.0.0/8",
    "0.0.0.0/0",
];
const TEMPLATES: [&str; 3] = ["gold", "silver", "monitoring"];

/// Numbers from a seed: xorshift64*.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        random.below(2);
        random
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % limit
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    fn some(&mut self, all: &[&str], most: usize) -> Value {
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
        let kind = match self.below(100) {
            0..28 => Kind::Issue,
            28..56 => Kind::Change,
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
            Kind::Issue => ("/v1/keys".to_owned(), Some(self.issue(caller))),
            Kind::Change => (named(""), Some(self.change(caller, &keys[&id]))),
            Kind::Rotate => (named("/rotate"), Some(self.rotate())),
            Kind::Suspend => (named("/suspend"), None),
            Kind::Resume => (named("/resume"), None),
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
            Kind::Change | Kind::Rotate | Kind::Suspend | Kind::Resume
        );
        let target = has_target.then_some(id);
        Call {
            kind,
            path,
            body,
            target,
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
            Kind::Suspend => key.derived_from.is_some(),
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

    fn rate(&mut self) -> Value {
        let limits = [
            json!({ "limit": 400_000, "window_ms": 3_600_000 }),
            json!({ "limit": 800_000, "window_ms": 7_200_000 }),
            json!({ "limit": 200_000, "window_ms": 3_600_000 }),
            json!({ "limit": 300_000, "window_ms": 3_600_000, "burst": 500 }),
            json!({ "limit": 500_000, "window_ms": 3_600_000, "burst": 400 }),
        ];
        limits[self.below(limits.len())].clone()
    }

    fn permissions(&mut self, caller: &KeyRecord) -> Value {
        if self.chance(50) {
            // Those that the caller has.
            let held: Vec<String> = caller.permissions.iter().map(str::to_owned).collect();
            return json!(held);
        }
        self.some(&PERMISSIONS, 4)
    }

    fn rules(&mut self) -> Value {
        let mut rules = self.some(&RULES, 2);
        if self.chance(70) {
            rules.as_array_mut().unwrap().push(json!("/v1/*"));
        }
        rules
    }

    fn networks(&mut self) -> Value {
        let mut networks = self.some(&NETWORKS, 1);
        networks.as_array_mut().unwrap().push(json!("127.0.0.1/32"));
        networks
    }

    fn seconds(&mut self) -> Value {
        const DAY: u64 = 86_400;
        json!(self.of(&[3_600, DAY, 3 * DAY, 9 * DAY, 25 * DAY, 50 * DAY, 89 * DAY]))
    }

    fn issue(&mut self, caller: &KeyRecord) -> Value {
        if self.chance(25) {
            // With all that the template gives, so that it can be applied again.
            let name = self.of(&TEMPLATES[..2]);
            return json!({ "client_name": "shop", "template": name, "expires_in_seconds": 3_600 });
        }
        let mut body = Map::new();
        let client = self.of(&["shop", "job"]);
        let _ = body.insert("client_name".to_owned(), json!(client));
        let mut set = |name: &str, value: Value| drop(body.insert(name.to_owned(), value));
        if self.chance(85) {
            set("permissions", self.permissions(caller));
        }
        if self.chance(25) {
            set("owner", json!(self.of(&["acme", "globex", "ops"])));
        }
        if self.chance(15) {
            set("environment", json!(self.of(&["live", "test"])));
        }
        if self.chance(20) {
            set("template", json!(self.of(&TEMPLATES)));
        }
        if self.chance(25) {
            set("allowed_endpoints", self.rules());
        }
        if self.chance(25) {
            set("allowed_networks", self.networks());
        }
        if self.chance(25) {
            set("rate_limit", self.rate());
        }
        if self.chance(30) {
            set("uses", json!(self.of(&[20, 100, 900])));
        }
        match self.below(10) {
            0 => set("never_expires", json!(true)),
            1..7 => set("expires_in_seconds", self.seconds()),
            _ => {}
        }
        Value::Object(body)
    }

    /// Mostly one or two fields, so that some of them are allowed.
    fn change(&mut self, caller: &KeyRecord, key: &KeyRecord) -> Value {
        let mut body = json!({});
        for _ in 0..=self.below(2) {
            match self.below(11) {
                0 => body["permissions"] = self.permissions(caller),
                1 => body["add_permissions"] = json!([self.of(&PERMISSIONS)]),
                2 => {
                    let held: Vec<&str> = key.permissions.iter().collect();
                    let one = if held.is_empty() {
                        "a:x"
                    } else {
                        self.of(&held)
                    };
                    body["remove_permissions"] = json!([one]);
                }
                3 => body["allowed_endpoints"] = self.nullable(Self::rules),
                4 => body["allowed_networks"] = self.nullable(Self::networks),
                5 => body["rate_limit"] = self.nullable(Self::rate),
                6 => body["uses"] = self.nullable(|random| json!(random.of(&[20, 100, 1_500]))),
                7 | 8 => body["expires_in_seconds"] = self.nullable(Self::seconds),
                9 => body["owner"] = json!(self.of(&["acme", "globex", "ops"])),
                _ => body["template"] = json!(self.of(&TEMPLATES)),
            }
        }
        self.of_derived(&mut body);
        body
    }

    fn nullable(&mut self, value: fn(&mut Self) -> Value) -> Value {
        match self.chance(25) {
            true => Value::Null,
            false => value(self),
        }
    }

    fn of_derived(&mut self, body: &mut Value) {
        match self.below(10) {
            0..4 => body["derived"] = json!("suspend"),
            4 => body["derived"] = json!("revoke"),
            5 => body["derived"] = json!("keep"),
            _ => {}
        }
    }

    fn rotate(&mut self) -> Value {
        let mut body = json!({});
        if self.chance(50) {
            body["max_age_seconds"] = self.seconds();
        }
        if self.chance(50) {
            body["overlap_seconds"] = json!(self.of(&[0, 3_600, 86_400]));
        }
        body
    }

    fn template(&mut self) -> Value {
        let mut body = json!({ "permissions": self.some(&PERMISSIONS[..6], 3) });
        if self.chance(20) {
            body["allowed_endpoints"] = self.rules();
        }
        if self.chance(20) {
            body["rate_limit"] = self.rate();
        }
        body
    }
}

/// A key with the rights of a template.
pub(crate) fn as_key(caller: &KeyRecord, template: &Value) -> KeyRecord {
    let texts = |name: &str| -> Option<Vec<String>> {
        let all = template[name].as_array()?.iter();
        Some(all.map(|one| one.as_str().unwrap().to_owned()).collect())
    };
    let mut key = caller.clone();
    key.permissions = PermissionSet::new(texts("permissions").unwrap_or_default()).unwrap();
    let rules = texts("allowed_endpoints");
    key.allowed_endpoints = rules.map(|rules| EndpointRules::new(rules).unwrap());
    let number = |name: &str| template["rate_limit"][name].as_u64();
    key.rate_limit = number("limit").map(|limit| {
        let limit = u32::try_from(limit).unwrap();
        let window = Millis::new(number("window_ms").unwrap());
        let burst = number("burst").map_or(limit, |burst| u32::try_from(burst).unwrap());
        RateLimit::with_burst(limit, window, burst).unwrap()
    });
    key
}
