//! P4: a derived or templated key never has more than its source. This is checked by
//! enumerating small sets instead of by reading patterns.

use crate::common::service::{START, Service, at};
use keystile::{
    EndpointRules, ErrorKind, IssueRequest, Issued, KeyRecord, Millis, Networks, PepperRing,
    PermissionSet, RateLimit, RateState, Request, Requirement, ScopeTemplate, TemplateName, Usage,
    delegate, issue,
};
use proptest::prelude::*;

fn blank() -> IssueRequest {
    IssueRequest::new("Acme Ltd").unwrap()
}

/// Whether a key that was issued with `source` may derive one with `asked`.
fn derives(service: &mut Service, source: &Issued, asked: &IssueRequest) -> Option<Issued> {
    let (format, none) = (&service.format, PepperRing::none());
    let derived = delegate(
        &source.record,
        format,
        &none,
        asked,
        &mut service.rng,
        at(1),
    );
    derived
        .map_err(|refused| assert_eq!(refused.kind(), ErrorKind::Exceeds))
        .ok()
}

/// The extent of a set of patterns, one bit for each candidate.
fn extent<T>(candidates: &[T], within: impl Fn(&T) -> bool) -> Vec<bool> {
    candidates.iter().map(within).collect()
}

fn is_subset(own: &[bool], of: &[bool]) -> bool {
    own.iter().zip(of).all(|(own, of)| *of || !own)
}

/// All texts of up to `longest` of these parts, joined.
fn joined(parts: &[&str], longest: usize, joint: &str) -> Vec<String> {
    let mut all: Vec<String> = parts.iter().map(|part| (*part).to_string()).collect();
    let mut from = 0;
    for _ in 1..longest {
        let to = all.len();
        for at in from..to {
            for part in parts {
                all.push(format!("{}{joint}{part}", all[at]));
            }
        }
        from = to;
    }
    all
}

#[test]
fn p4_derived_permissions_lie_within_the_source_s() {
    let mut service = Service::structured();
    let candidates = joined(&["a", "b", "c"], 4, ":");
    let patterns = joined(&["a", "b", "*"], 3, ":");
    let single = patterns.iter().map(|one| vec![one.clone()]);
    let pairs = patterns.iter().step_by(3).flat_map(|one| {
        let others = patterns.iter().step_by(2);
        others.map(move |other| vec![one.clone(), other.clone()])
    });
    let nothing = core::iter::once(vec![]);
    let sets: Vec<_> = nothing
        .chain(single)
        .chain(pairs)
        .map(|set| {
            let permissions = PermissionSet::new(&set).unwrap();
            let request = blank().permissions(&set).unwrap();
            let bits = extent(&candidates, |wanted| permissions.grants(wanted));
            let issued = service.issue(&request);
            (set, bits, request, issued)
        })
        .collect();
    let (mut allowed, mut refused) = (0, 0);
    for (source, source_bits, source_request, issued) in &sets {
        let name = TemplateName::new("all").unwrap();
        let template = ScopeTemplate::new(name, PermissionSet::new(source).unwrap());
        for (asked, bits, request, _) in &sets {
            let derived = derives(&mut service, issued, request);
            let within = is_subset(bits, source_bits);
            assert!(within || derived.is_none(), "{source:?} gave {asked:?}");
            // One pattern is within another exactly if the other covers its whole extent.
            if source.len() <= 1 && asked.len() <= 1 {
                assert_eq!(derived.is_some(), within, "{source:?} and {asked:?}");
            }
            allowed += u32::from(derived.is_some());
            refused += u32::from(derived.is_none());
            // A template is such a source too; to save time, only some are tried.
            if source.len() <= 1 {
                let request = request.clone().template(template.clone());
                let (format, none) = (&service.format, PepperRing::none());
                let issued = issue(format, &none, &request, &mut service.rng, at(1));
                assert_eq!(
                    issued.is_ok(),
                    derived.is_some(),
                    "{source:?} and {asked:?}"
                );
            }
        }
        // What is not asked for is not granted.
        let silent = derives(&mut service, issued, &blank()).unwrap();
        assert!(silent.record.permissions.is_empty());
        assert!(derives(&mut service, issued, source_request).is_some());
    }
    assert!(
        allowed > 3_000 && refused > 50_000,
        "{allowed} and {refused}"
    );
}

#[test]
fn p4_derived_endpoints_lie_within_the_source_s() {
    let mut service = Service::structured();
    let candidates: Vec<(&str, String)> = joined(&["/", "a", "b", "*"], 7, "")
        .into_iter()
        .filter(|path| keystile::is_canonical_path(path.as_bytes()))
        .flat_map(|path| ["GET", "PUT", "X"].map(|method| (method, path.clone())))
        .collect();
    let mut lists: Vec<Vec<String>> = joined(&["/", "a", "*"], 6, "")
        .into_iter()
        .filter(|pattern| EndpointRules::new([pattern]).is_ok())
        .flat_map(|p| [p.clone(), format!("GET {p}"), format!("GET,PUT {p}")])
        .map(|rule| vec![rule])
        .collect();
    let singles = lists.len();
    lists.push(vec![]);
    for at in 0..singles / 3 {
        let other = (at * 7 + 5) % singles;
        lists.push([&lists[at * 3][..], &lists[other]].concat());
    }
    let lists: Vec<_> = lists
        .into_iter()
        .map(|list| {
            let rules = EndpointRules::new(&list).unwrap();
            let bits = extent(&candidates, |(method, path)| rules.allows(method, path));
            let request = blank().endpoints(&list).unwrap();
            let issued = service.issue(&request);
            (list, bits, request, issued)
        })
        .collect();
    let (mut allowed, mut refused) = (0, 0);
    for (source, source_bits, _, issued) in &lists {
        for (asked, bits, request, _) in &lists {
            let derived = derives(&mut service, issued, request);
            let within = is_subset(bits, source_bits);
            assert!(within || derived.is_none(), "{source:?} gave {asked:?}");
            if source.len() <= 1 && asked.len() <= 1 {
                assert_eq!(derived.is_some(), within, "{source:?} and {asked:?}");
            }
            allowed += u32::from(derived.is_some());
            refused += u32::from(derived.is_none());
        }
        // A request that names none gets those of the source, never all.
        let silent = derives(&mut service, issued, &blank()).unwrap();
        assert_eq!(
            silent.record.allowed_endpoints,
            issued.record.allowed_endpoints
        );
    }
    assert!(
        allowed > 1_000 && refused > 10_000,
        "{allowed} and {refused}"
    );
}

#[test]
fn p4_derived_networks_lie_within_the_source_s() {
    use core::net::IpAddr;
    use keystile::Networks;

    let mut service = Service::structured();
    let candidates: Vec<IpAddr> = [
        "10.0.0.0",
        "10.0.0.1",
        "10.0.0.2",
        "10.0.0.3",
        "10.0.0.4",
        "192.0.2.1",
        "::ffff:10.0.0.1",
        "::ffff:192.0.2.1",
        "2001:db8::",
        "2001:db8::1",
        "2001:db8::2",
        "::1",
    ]
    .map(|address| address.parse().unwrap())
    .to_vec();
    let blocks = [
        "10.0.0.0/30",
        "10.0.0.0/31",
        "10.0.0.2/31",
        "10.0.0.1",
        "10.0.0.3/32",
        "0.0.0.0/0",
        "::ffff:10.0.0.0/126",
        "::ffff:10.0.0.1",
        "::/0",
        "2001:db8::/126",
        "2001:db8::/127",
        "2001:db8::2",
        "192.0.2.0/24",
    ];
    let single = blocks.iter().map(|one| vec![*one]);
    let pairs = blocks
        .iter()
        .flat_map(|one| blocks.iter().map(move |other| vec![*one, *other]));
    let lists: Vec<_> = core::iter::once(vec![])
        .chain(single)
        .chain(pairs)
        .map(|list| {
            let networks = Networks::new(&list).unwrap();
            let bits = extent(&candidates, |address| networks.contains(*address));
            let request = blank().networks(&list).unwrap();
            let issued = service.issue(&request);
            (list, bits, request, issued)
        })
        .collect();
    let mut allowed = 0;
    for (source, source_bits, _, issued) in &lists {
        for (asked, bits, request, _) in &lists {
            let derived = derives(&mut service, issued, request);
            let within = is_subset(bits, source_bits);
            assert!(within || derived.is_none(), "{source:?} gave {asked:?}");
            if source.len() <= 1 && asked.len() <= 1 {
                assert_eq!(derived.is_some(), within, "{source:?} and {asked:?}");
            }
            allowed += u32::from(derived.is_some());
        }
        let silent = derives(&mut service, issued, &blank()).unwrap();
        assert_eq!(
            silent.record.allowed_networks,
            issued.record.allowed_networks
        );
    }
    assert!(allowed > 1_000, "{allowed}");
}

#[test]
fn p4_a_derived_rate_lets_nothing_pass_that_the_source_s_would_not() {
    let mut service = Service::structured();
    let mut limits = vec![RateLimit::new(0, Millis::new(1)).unwrap()];
    for limit in 1..=3 {
        for window in [1, 2, 3, 6] {
            for burst in 1..=3 {
                let made = RateLimit::with_burst(limit, Millis::new(window), burst);
                limits.push(made.unwrap());
            }
        }
    }
    // Every schedule of twelve requests that are zero to two milliseconds apart.
    let schedules: Vec<Vec<u64>> = (0..3u32.pow(7))
        .map(|number| {
            let steps = (0..12).map(|at| u64::from(number / 3u32.pow(at % 7) % 3));
            let moves = steps.scan(START, |now, step| {
                *now += step;
                Some(*now)
            });
            moves.collect()
        })
        .collect();
    let passes = |limit: &RateLimit, times: &[u64]| {
        let mut state = RateState::default();
        let pass = |now: &&u64| {
            let next = limit.admit(state, keystile::UnixMillis::new(**now).unwrap());
            next.map(|next| state = next).is_ok()
        };
        times.iter().filter(pass).copied().collect::<Vec<u64>>()
    };
    let (mut allowed, mut refused) = (0, 0);
    for source in &limits {
        let issued = service.issue(&blank().rate_limit(*source));
        for asked in &limits {
            let request = blank().rate_limit(*asked);
            let exceeds = schedules.iter().any(|times| {
                let own = passes(asked, times);
                passes(source, &own).len() < own.len()
            });
            let derived = derives(&mut service, &issued, &request).is_some();
            assert!(!(derived && exceeds), "{source:?} gave {asked:?}");
            allowed += u32::from(derived);
            refused += u32::from(!derived);
        }
        let silent = derives(&mut service, &issued, &blank()).unwrap();
        assert_eq!(silent.record.rate_limit, Some(*source));
    }
    assert!(allowed > 300 && refused > 300, "{allowed} and {refused}");
}

#[test]
fn p4_a_derived_key_ends_no_later_and_has_no_more_uses_and_no_other_owner() {
    let mut service = Service::structured();
    let hours = |count| blank().expires_in(Millis::from_hours(count)).unwrap();
    let source = service.issue(&hours(10).uses(5).unwrap().owner("one").unwrap());
    let end = source.record.expires_at;
    let derived = |service: &mut Service, asked: &IssueRequest| {
        derives(service, &source, asked).map(|issued| issued.record)
    };
    let silent = derived(&mut service, &blank()).unwrap();
    assert_eq!((silent.expires_at, silent.remaining_uses), (end, Some(5)));
    assert_eq!(silent.owner.as_deref(), Some("one"));
    assert!(derived(&mut service, &hours(9)).unwrap().expires_at < end);
    assert!(
        derived(&mut service, &hours(10)).is_none(),
        "counted from a later instant"
    );
    assert!(derived(&mut service, &blank().never_expires()).is_none());
    assert!(derived(&mut service, &blank().uses(5).unwrap()).is_some());
    assert!(derived(&mut service, &blank().uses(6).unwrap()).is_none());
    assert!(derived(&mut service, &blank().owner("one").unwrap()).is_some());
    assert!(derived(&mut service, &blank().owner("two").unwrap()).is_none());

    // A key without an owner and environment derives no key that has one.
    let source = service.issue(&blank());
    let owned = blank().owner("one").unwrap();
    assert!(derives(&mut service, &source, &owned).is_none());
    let live = blank().environment("live").unwrap();
    assert!(derives(&mut service, &source, &live).is_none());
}

/// A request for a key that is restricted here and there.
#[test]
fn p4_is_within_sees_each_way_to_have_more() {
    let mut service = Service::structured();
    let limit = RateLimit::new(10, Millis::from_hours(1)).unwrap();
    let request = blank()
        .owner("acme")
        .and_then(|request| request.environment("live"))
        .and_then(|request| request.permissions(["a:*"]))
        .and_then(|request| request.endpoints(["GET /a/*"]))
        .and_then(|request| request.networks(["192.0.2.0/24"]))
        .and_then(|request| request.uses(5))
        .unwrap()
        .rate_limit(limit);
    let source = service.issue(&request).record;
    let less: [fn(&mut KeyRecord); 6] = [
        |_| {},
        |key| key.permissions = PermissionSet::new(["a:b"]).unwrap(),
        |key| key.allowed_endpoints = Some(EndpointRules::new(["GET /a/b"]).unwrap()),
        |key| key.allowed_networks = Some(Networks::new(["192.0.2.7"]).unwrap()),
        |key| key.remaining_uses = Some(0),
        |key| key.expires_at = Some(at(1)),
    ];
    let more: [fn(&mut KeyRecord); 12] = [
        |key| key.owner = None,
        |key| key.environment = None,
        |key| key.permissions = PermissionSet::new(["*"]).unwrap(),
        |key| key.allowed_endpoints = None,
        |key| key.allowed_endpoints = Some(EndpointRules::new(["/a/b"]).unwrap()),
        |key| key.allowed_networks = None,
        |key| key.rate_limit = None,
        |key| key.rate_limit = Some(RateLimit::new(11, Millis::from_hours(1)).unwrap()),
        |key| key.remaining_uses = None,
        |key| key.remaining_uses = Some(6),
        |key| key.expires_at = None,
        |key| key.expires_at = Some(key.expires_at.unwrap().plus(Millis::new(1)).unwrap()),
    ];
    let changed = |change: &fn(&mut KeyRecord)| {
        let mut key = source.clone();
        change(&mut key);
        key.is_within(&source)
    };
    assert!(less.iter().all(changed));
    for (at, change) in more.iter().enumerate() {
        assert!(!changed(change), "way {at}");
    }
    // A source in its overlap has no more time than that.
    let mut ending = source.clone();
    ending.overlap_until = Some(at(1));
    assert!(!source.is_within(&ending));
}

fn some_request() -> impl Strategy<Value = IssueRequest> {
    let permissions = proptest::collection::vec("([ab]|[*])(:([ab]|[*])){0,2}", 0..3);
    let rule = "((GET|GET,PUT) )?(/([ab]|[*])){1,3}/?";
    let endpoints = proptest::option::of(proptest::collection::vec(rule, 0..3));
    let limit = proptest::option::of((0u32..4, 1u64..4));
    let uses = proptest::option::of(1u64..4);
    let days = proptest::option::of(1u32..5);
    let parts = (permissions, endpoints, limit, uses, days, any::<bool>());
    parts.prop_map(|(permissions, endpoints, limit, uses, days, live)| {
        let mut request = blank().permissions(permissions).unwrap();
        if let Some(endpoints) = endpoints {
            request = request.endpoints(endpoints).unwrap();
        }
        if let Some((limit, window)) = limit {
            request = request.rate_limit(RateLimit::new(limit, Millis::new(window)).unwrap());
        }
        if let Some(uses) = uses {
            request = request.uses(uses).unwrap();
        }
        if let Some(days) = days {
            request = request.expires_in(Millis::from_days(days)).unwrap();
        }
        if live {
            request = request.environment("live").unwrap();
        }
        request
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Through the whole decision: whatever the child may do, the parent may do.
    #[test]
    fn p4_whatever_a_derived_key_is_allowed_its_source_is_allowed(
        of_source in some_request(),
        of_child in some_request(),
        asks in proptest::collection::vec(
            ("[ab](:[ab]){0,2}", "GET|PUT", "(/[ab]){1,3}/?", 0u64..6, any::<bool>()),
            40,
        ),
    ) {
        let mut service = Service::structured();
        let source = service.issue(&of_source);
        let Some(child) = derives(&mut service, &source, &of_child) else { return Ok(()) };
        let live = keystile::Environment::new("live").unwrap();
        for (asked, method, path, days, in_live) in asks {
            let requirement = Requirement::parse(&asked).unwrap();
            let mut request = Request::new().requires(&requirement).endpoint(&method, &path);
            if in_live {
                request = request.environment(&live);
            }
            let now = at(days * 86_400_000);
            let allows = |issued: &Issued| {
                let key = issued.key.expose().as_bytes();
                let mut usage = Usage::of(&issued.record);
                let (record, usage) = (Some(&issued.record), &mut usage);
                service.ask(key, record, &request, usage, now).is_allow()
            };
            prop_assert!(allows(&source) || !allows(&child), "{asked} {method} {path} {now:?}");
        }
    }
}
