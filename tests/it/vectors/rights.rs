//! Permissions, requirements, endpoint rules, paths and networks.

use core::net::IpAddr;

use keystile::{
    EndpointRules, Networks, NeverMatches, PathProfile, PermissionSet, Requirement,
    is_canonical_path,
};
use serde::Deserialize;

use crate::vectors::case::replay;
use crate::vectors::form::{Repeat, bytes, error_of, hex, snake};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PermissionInput {
    granted: Vec<String>,
    wanted: String,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct Granted {
    granted: Option<bool>,
    error: Option<String>,
}

#[test]
fn permissions() {
    replay("permissions.json", |_, input: PermissionInput| {
        let granted = PermissionSet::new(&input.granted).map(|set| set.grants(&input.wanted));
        Granted {
            granted: granted.ok(),
            error: error_of(granted),
        }
    });
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequirementInput {
    requirement: String,
    granted: Vec<String>,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct Met {
    met: Option<bool>,
    missing: Option<Vec<String>>,
    error: Option<String>,
}

#[test]
fn requirements() {
    replay("requirements.json", |_, input: RequirementInput| {
        let granted = PermissionSet::new(&input.granted).unwrap();
        let asked = Requirement::parse(&input.requirement);
        let missing = |asked: &Requirement| {
            asked
                .missing(&granted)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        Met {
            met: asked
                .as_ref()
                .ok()
                .map(|asked| asked.is_satisfied_by(&granted)),
            missing: asked.as_ref().ok().map(missing),
            error: error_of(asked),
        }
    });
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NeverInput {
    rules: Vec<String>,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct Never {
    never_matching: Vec<Warning>,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct Warning {
    rule: String,
    why: String,
}

#[test]
fn never_matching() {
    replay("never_matching.json", |_, input: NeverInput| {
        let rules = EndpointRules::new(&input.rules).unwrap();
        let warning = |(rule, why): (&str, NeverMatches)| Warning {
            rule: rule.to_owned(),
            why: snake(why),
        };
        Never {
            never_matching: rules.never_matching().map(warning).collect(),
        }
    });
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EndpointInput {
    rules: Vec<String>,
    method: String,
    path: String,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct EndpointAllowed {
    allowed: Option<bool>,
    error: Option<String>,
}

#[test]
fn endpoints() {
    replay("endpoints.json", |_, input: EndpointInput| {
        let rules = EndpointRules::new(&input.rules);
        let allowed = rules.map(|rules| rules.allows(&input.method, &input.path));
        EndpointAllowed {
            allowed: allowed.as_ref().ok().copied(),
            error: error_of(allowed),
        }
    });
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PathInput {
    path: Option<String>,
    path_hex: Option<String>,
    path_repeat: Option<Repeat>,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct Canonical {
    canonical: bool,
    with_encoded_slash: bool,
}

#[test]
fn paths() {
    let all = EndpointRules::new(["/*"]).unwrap();
    replay("paths.json", |name, input: PathInput| {
        let path = bytes(input.path, input.path_hex, input.path_repeat);
        let canonical = is_canonical_path(&path);
        // P3: a path is canonical or not, whichever function is asked.
        if let Ok(text) = str::from_utf8(&path) {
            assert_eq!(all.allows("GET", text), canonical, "{name}");
        }
        Canonical {
            canonical,
            with_encoded_slash: PathProfile::EncodedSlashIsData.accepts(&path),
        }
    });
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SweepInput {
    before: String,
    fill: String,
    behind: String,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct Swept {
    canonical_hex: String,
}

#[test]
fn a5_a10_path_sweeps() {
    replay("path_sweeps.json", |_, input: SweepInput| {
        let canonical: Vec<u8> = (0..=255)
            .filter(|&byte: &u8| {
                let fill = match input.fill.as_str() {
                    "raw" => vec![byte],
                    "percent_upper" => format!("%{byte:02X}").into_bytes(),
                    "percent_lower" => format!("%{byte:02x}").into_bytes(),
                    "percent_twice" => format!("%25{byte:02X}").into_bytes(),
                    other => panic!("no such fill: {other}"),
                };
                is_canonical_path(
                    &[input.before.as_bytes(), &fill, input.behind.as_bytes()].concat(),
                )
            })
            .collect();
        Swept {
            canonical_hex: hex(&canonical),
        }
    });
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NetworkInput {
    networks: Vec<String>,
    address: IpAddr,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct Contained {
    contained: Option<bool>,
    error: Option<String>,
}

#[test]
fn networks() {
    replay("networks.json", |_, input: NetworkInput| {
        let contained =
            Networks::new(&input.networks).map(|networks| networks.contains(input.address));
        Contained {
            contained: contained.as_ref().ok().copied(),
            error: error_of(contained),
        }
    });
}
