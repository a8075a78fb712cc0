//! What a key grants and what a request asks, as plain strings, and which of the two is refused.

use keystile::Cause;

/// Permissions that keys are granted.
pub(crate) const GRANTS: [&str; 7] = [
    "read",
    "write",
    "invoices:read",
    "invoices:*",
    "a:*:c",
    "admin",
    "*",
];
/// What requests require: any of these lists, and all of a list. `READ` is granted only by `*`.
pub(crate) const REQUIREMENTS: [(&str, &[&[&str]]); 8] = [
    ("read", &[&["read"]]),
    ("READ", &[&["READ"]]),
    ("invoices:read", &[&["invoices:read"]]),
    ("invoices:pay:now", &[&["invoices:pay:now"]]),
    ("a:b:c", &[&["a:b:c"]]),
    ("read AND write", &[&["read", "write"]]),
    ("read OR write", &[&["read"], &["write"]]),
    (
        "admin OR read AND invoices:x",
        &[&["admin"], &["read", "invoices:x"]],
    ),
];
pub(crate) const RULES: [&str; 5] = [
    "/api/data/*",
    "GET,HEAD /api/metrics/*",
    "/api/*/items",
    "POST /hook",
    "/*",
];
/// Paths, and whether they are canonical.
pub(crate) const PATHS: [(&str, bool); 10] = [
    ("/api/data/x/y", true),
    ("/api/data/", true),
    ("/api/data", true),
    ("/api/metrics/cpu", true),
    ("/api/7/items", true),
    ("/hook", true),
    ("/api//data/x", false),
    ("/api/data/../x", false),
    ("/api/data/a%2fb", false),
    ("/api/data/a;b", false),
];
pub(crate) const METHODS: [&str; 3] = ["GET", "HEAD", "POST"];
pub(crate) const ENVIRONMENTS: [&str; 2] = ["live", "test"];
/// Networks: their text, their address and how many bits of it count.
pub(crate) const NETWORKS: [(&str, u32, u32); 3] = [
    ("192.0.2.0/24", 0xC000_0200, 24),
    ("198.51.100.7", 0xC633_6407, 32),
    ("10.0.0.0/8", 0x0A00_0000, 8),
];
pub(crate) const ADDRESSES: [u32; 5] = [
    0xC000_0201,
    0xC000_0301,
    0xC633_6407,
    0xC633_6408,
    0x0AFF_FFFF,
];

/// What the record of a key restricts it to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rights {
    pub(crate) environment: Option<&'static str>,
    pub(crate) permissions: Vec<&'static str>,
    pub(crate) endpoints: Option<Vec<&'static str>>,
    pub(crate) networks: Option<Vec<usize>>,
}

/// What a request asks. The numbers are places in the lists above.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) environment: Option<&'static str>,
    pub(crate) address: Option<u32>,
    pub(crate) endpoint: Option<(&'static str, usize)>,
    pub(crate) requirement: Option<usize>,
}

impl Rights {
    /// Why the request is refused, in the order environment, network, endpoint, permission.
    pub(crate) fn refusal(&self, asked: &Asked) -> Option<Cause> {
        if asked.environment.is_some() && asked.environment != self.environment {
            return Some(Cause::Environment);
        }
        if let Some(networks) = &self.networks {
            let within = |address: u32| {
                networks
                    .iter()
                    .map(|at| NETWORKS[*at])
                    .any(|(_, base, bits)| (address ^ base) >> (32 - bits) == 0)
            };
            if !asked.address.is_some_and(within) {
                return Some(Cause::Network);
            }
        }
        let path = asked.endpoint.map(|(method, path)| (method, PATHS[path]));
        if path.is_some_and(|(_, (_, is_canonical))| !is_canonical) {
            return Some(Cause::PathNotCanonical);
        }
        if let Some(rules) = &self.endpoints {
            let allows = |(method, (path, _))| rules.iter().any(|rule| allows(rule, method, path));
            if !path.is_some_and(allows) {
                return Some(Cause::Endpoint);
            }
        }
        let required = asked.requirement.map(|at| REQUIREMENTS[at].1);
        let is_met =
            required.is_none_or(|any| any.iter().any(|all| all.iter().all(|one| self.grants(one))));
        (!is_met).then_some(Cause::Permission)
    }

    fn grants(&self, required: &str) -> bool {
        let required: Vec<&str> = required.split(':').collect();
        self.permissions.iter().any(|granted| {
            let granted: Vec<&str> = granted.split(':').collect();
            covers(&granted, &required, 1)
        })
    }
}

fn allows(rule: &str, method: &str, path: &str) -> bool {
    let (methods, pattern) = rule.split_once(' ').unwrap_or(("", rule));
    let pattern: Vec<&str> = pattern.split('/').collect();
    let path: Vec<&str> = path.split('/').collect();
    // The last segment is empty after a trailing slash, and is one segment all the same.
    (methods.is_empty() || methods.split(',').any(|own| own == method))
        && covers(&pattern, &path, 1)
}

/// Whether whole segments match: `*` in the middle is one that is not empty, `*` at the end is
/// at least `rest` of any kind.
fn covers(pattern: &[&str], text: &[&str], rest: usize) -> bool {
    match (pattern, text) {
        ([], []) => true,
        (["*"], text) => text.len() >= rest,
        (["*", pattern @ ..], [one, text @ ..]) => !one.is_empty() && covers(pattern, text, rest),
        ([own, pattern @ ..], [one, text @ ..]) => own == one && covers(pattern, text, rest),
        _ => false,
    }
}
