//! Random bodies of calls.

use keystile::{
    EndpointRules, IssueRequest, KeyRecord, Millis, Networks, PermissionSet, RateLimit,
};
use serde_json::{Map, Value, json};

use super::random::{Random, TEMPLATES};

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
impl Random {
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

    pub(super) fn issue(&mut self, caller: &KeyRecord) -> Value {
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
    pub(super) fn change(&mut self, caller: &KeyRecord, key: &KeyRecord) -> Value {
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

    pub(super) fn of_derived(&mut self, body: &mut Value) {
        match self.below(10) {
            0..4 => body["derived"] = json!("suspend"),
            4 => body["derived"] = json!("revoke"),
            5 => body["derived"] = json!("keep"),
            _ => {}
        }
    }

    pub(super) fn rotate(&mut self) -> Value {
        let mut body = json!({});
        if self.chance(50) {
            body["max_age_seconds"] = self.seconds();
        }
        if self.chance(50) {
            body["overlap_seconds"] = json!(self.of(&[0, 3_600, 86_400]));
        }
        body
    }

    pub(super) fn template(&mut self) -> Value {
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

/// Who calls at first.
pub(super) fn callers_at_first() -> Vec<IssueRequest> {
    let request = |owner: &str, permissions: &[&str], days| {
        let request = IssueRequest::new("a client").unwrap().owner(owner).unwrap();
        let request = request.permissions(permissions).unwrap();
        request.expires_in(Millis::from_days(days)).unwrap()
    };
    let fast = RateLimit::new(400_000, Millis::from_hours(1)).unwrap();
    let mut inside = request("acme", &["keystile:keys:*", "a:*", "b:x"], 20);
    inside.endpoints = Some(EndpointRules::new(["/v1/*", "/api/a/*"]).unwrap());
    inside.networks = Some(Networks::new(["127.0.0.0/8", "10.1.0.0/16"]).unwrap());
    vec![
        request("ops", &["keystile:*", "a:*", "b:*"], 60),
        request(
            "acme",
            &["keystile:keys:read", "keystile:keys:write", "a:*", "b:x"],
            30,
        ),
        request("acme", &["*"], 10)
            .uses(5_000)
            .unwrap()
            .rate_limit(fast),
        request(
            "acme",
            &["keystile:keys:write", "keystile:keys:renew", "a:x"],
            2,
        ),
        request("globex", &["keystile:keys:*", "*:x"], 5)
            .environment("live")
            .unwrap(),
        inside,
    ]
}
