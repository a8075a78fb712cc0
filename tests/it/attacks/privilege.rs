//! Attacks on permissions, row J. Each test answers a flaw that was found elsewhere and
//! has its number. Tests that read JSON are in `serde_strict.rs`.

use crate::common::service::{Service, at, client};
use keystile::{
    Denial, DenialCode, EndpointRules, ErrorKind, IssueRequest, KeyChange, KeyRecord, Millis,
    PepperRing, PermissionSet, RateLimit, Request, Requirement, ScopeTemplate, TemplateName,
    change, delegate, revoke, suspend,
};

fn set(permissions: &[&str]) -> PermissionSet {
    PermissionSet::new(permissions).unwrap()
}

fn blank() -> IssueRequest {
    IssueRequest::new("Acme Ltd").unwrap()
}

#[test]
fn j2_ghsa_wcr3_9x4c_f5gj_owner_and_rights_of_a_derived_key_are_not_the_asker_s_to_choose() {
    let mut service = Service::structured();
    let limit = |count| RateLimit::new(count, Millis::from_hours(1)).unwrap();
    let source = client()
        .owner("tenant-1")
        .and_then(|request| request.endpoints(["GET /api/data/*"]))
        .and_then(|request| request.uses(10))
        .unwrap()
        .rate_limit(limit(10));
    let source = service.issue(&source).record;
    let asked = [
        blank().owner("tenant-2"),
        blank().environment("test"),
        blank().permissions(["admin"]),
        blank().permissions(["read", "invoices"]),
        blank().endpoints(["/api/data/*"]),
        blank().endpoints(["GET,POST /api/data/x"]),
        blank().uses(11),
        blank().expires_in(Millis::from_days(91)),
        Ok(blank().never_expires()),
        Ok(blank().rate_limit(limit(11))),
    ];
    let (format, none) = (service.format.clone(), PepperRing::none());
    let mut derive = |source: &KeyRecord, request: &IssueRequest| {
        delegate(source, &format, &none, request, &mut service.rng, at(1))
    };
    for request in asked {
        let refused = derive(&source, &request.unwrap());
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Exceeds);
    }
    let derived = derive(&source, &blank()).unwrap().record;
    assert_eq!(derived.owner, source.owner);
    assert_eq!(derived.environment, source.environment);
    assert!(derived.permissions.is_empty());
    for dead in [revoke(&source, "", at(0)), suspend(&source, at(0))] {
        let refused = derive(&dead.unwrap().record, &blank());
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::State);
    }
}

#[test]
fn j3_solana_433_a_subset_is_judged_after_everything_is_expanded() {
    let mut service = Service::structured();
    let source = service
        .issue(&blank().permissions(["invoices:*", "read"]).unwrap())
        .record;
    let role = |permissions: &[&str]| {
        let name = TemplateName::new("role").unwrap();
        blank().template(ScopeTemplate::new(name, set(permissions)))
    };
    let (format, none) = (service.format.clone(), PepperRing::none());
    for (permissions, within) in [
        (&["*"][..], false),
        (&["*:*"], false),
        (&["*:read"], false),
        (&["invoices"], false),
        (&["read", "write"], false),
        (&["invoices:*"], true),
        (&["invoices:*:read", "read"], true),
        (&[], true),
    ] {
        let role = role(permissions);
        let derived = delegate(&source, &format, &none, &role, &mut service.rng, at(1));
        assert_eq!(derived.is_ok(), within, "{permissions:?}");
    }
}

#[test]
fn j4_wildbox_134_nothing_that_was_asked_for_is_dropped_in_silence() {
    let mut service = Service::structured();
    let asked = ["read", "invoices:*", "org:*:audit"];
    let rules = ["GET /a/*", "/b"];
    let request = blank()
        .permissions(asked)
        .and_then(|request| request.endpoints(rules));
    let record = service.issue(&request.unwrap()).record;
    assert!(record.permissions.iter().eq(asked));
    assert!(record.allowed_endpoints.unwrap().iter().eq(rules));
    // One invalid permission makes the whole list invalid.
    for odd in ["wri te", "", "admin*", "a::b", ":", "a:", "é"] {
        assert!(blank().permissions(["read", odd]).is_err(), "{odd:?}");
    }
    assert!(blank().endpoints(["/a", "b"]).is_err());
    let too_many = (0..65).map(|at| format!("p{at}"));
    assert!(
        blank().permissions(too_many).is_err(),
        "no list is cut at its bound"
    );
}

#[test]
fn j5_outline_8186_an_empty_list_is_nothing_and_all_is_said() {
    let mut service = Service::structured();
    let empty = service.issue(&blank().permissions([""; 0]).unwrap());
    let all = service.issue(&blank().permissions(["*"]).unwrap());
    for asked in ["read", "a:b:c", "x OR y"] {
        let requirement = Requirement::parse(asked).unwrap();
        let request = Request::new().requires(&requirement);
        let refused = service.ask_once(empty.key.expose(), &empty.record, &request);
        assert_eq!(
            refused.denial().map(Denial::code),
            Some(DenialCode::PermissionMissing)
        );
        assert!(
            service
                .ask_once(all.key.expose(), &all.record, &request)
                .is_allow()
        );
    }
    // No list of endpoints and an empty list are different.
    let request = Request::new().endpoint("GET", "/a");
    assert!(
        service
            .ask_once(all.key.expose(), &all.record, &request)
            .is_allow()
    );
    let nowhere = service.issue(&blank().endpoints([""; 0]).unwrap());
    assert_eq!(
        nowhere.record.allowed_endpoints,
        Some(EndpointRules::default())
    );
    let refused = service.ask_once(nowhere.key.expose(), &nowhere.record, &request);
    assert_eq!(
        refused.denial().map(Denial::code),
        Some(DenialCode::EndpointNotAllowed)
    );
}

#[test]
fn j6_no_permission_matches_by_a_part_of_its_name() {
    let names = [
        "read",
        "read_write",
        "rea",
        "READ",
        "read-",
        "read.",
        "reads",
        "r",
        "read:x",
        "x:read",
    ];
    for granted in names {
        for wanted in names {
            let expected = granted == wanted;
            assert_eq!(
                set(&[granted]).grants(wanted),
                expected,
                "{granted} and {wanted}"
            );
        }
    }
    let below = set(&["read:*"]);
    for (wanted, expected) in [
        ("read:x", true),
        ("read:x:y", true),
        ("read", false),
        ("read_write", false),
        ("read_write:x", false),
        ("READ:x", false),
        ("x:read", false),
        ("reads:x", false),
    ] {
        assert_eq!(below.grants(wanted), expected, "{wanted}");
    }
    for text in ["read ", " read", "read\t", "re ad", "read\n"] {
        assert!(
            PermissionSet::new([text]).is_err() && !set(&["*"]).grants(text),
            "{text:?}"
        );
    }
}

#[test]
fn j7_cve_2026_55502_reading_is_not_writing() {
    let mut service = Service::structured();
    let issued = service.issue(&blank().permissions(["files:read", "*:list"]).unwrap());
    for (asked, allowed) in [
        ("files:read", true),
        ("users:list", true),
        ("files:read OR files:write", true),
        ("files:write", false),
        ("files:read AND files:write", false),
        ("files", false),
        ("files:read:write", false),
        ("users:list:write", false),
    ] {
        let requirement = Requirement::parse(asked).unwrap();
        let request = Request::new().requires(&requirement);
        let decision = service.ask_once(issued.key.expose(), &issued.record, &request);
        assert_eq!(decision.is_allow(), allowed, "{asked}");
    }
}

#[test]
fn j8_cve_2022_21646_what_is_listed_and_what_is_granted_agree() {
    let sets = [
        set(&["read"]),
        set(&["read", "a:*", "*:b:*"]),
        set(&["*"]),
        set(&["a:*:c", "a:b:c:d", "x"]),
        set(&[]),
    ];
    let wanted = [
        "read", "a:b", "a:b:c", "a:b:c:d", "x", "b", "q:b:z", "b:b", "a",
    ];
    for held in &sets {
        let listed: Vec<&str> = held.iter().collect();
        for wanted in wanted {
            // One by one, all at once, and in reverse order.
            let single = listed.iter().any(|one| set(&[one]).grants(wanted));
            let reversed: Vec<&str> = listed.iter().rev().copied().collect();
            assert_eq!(held.grants(wanted), single, "{held:?} and {wanted}");
            assert_eq!(set(&reversed).grants(wanted), single);
            // Another permission never takes one away.
            let more = [&listed[..], &["zzz"]].concat();
            assert!(!single || set(&more).grants(wanted));
            let requirement = Requirement::parse(wanted).unwrap();
            assert_eq!(requirement.is_satisfied_by(held), single);
        }
    }
}

#[test]
fn j13_thmenu_560_a_wildcard_is_a_whole_word_or_an_error() {
    for text in [
        "inv*", "*inv", "i*v", "**", "a:**", "a:b*", "*a:b", "a*:b", "a:*b:c", "* ",
    ] {
        assert!(PermissionSet::new([text]).is_err(), "{text:?}");
    }
    for text in ["*", "*:*", "a:*", "*:a", "a:*:b"] {
        assert!(PermissionSet::new([text]).is_ok(), "{text:?}");
        assert!(Requirement::parse(text).is_err(), "asked for: {text:?}");
    }
}

/// P4: the template of a key is a limit that a change of other fields does not lift.
#[test]
fn j3_a_key_of_a_template_gets_no_more_by_a_change() {
    let mut service = Service::structured();
    let monitoring = || ScopeTemplate::preset("monitoring").unwrap();
    let record = service.issue(&blank().template(monitoring())).record;
    let limit = |count| RateLimit::new(count, Millis::from_hours(1)).unwrap();
    let new = KeyChange::new;
    let more = [
        new().permissions(set(&["*"])),
        new().add_permissions(set(&["write"])),
        new().endpoints(None),
        new().endpoints(EndpointRules::new(["/*"]).unwrap()),
        new().rate_limit(None),
        new().rate_limit(limit(101)),
    ];
    for asked in more {
        for asked in [asked.clone(), asked.clone().template(monitoring())] {
            let refused = change(&record, &asked, at(1)).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Exceeds, "{asked:?}");
        }
        // To clear the name in the same change says that the template no longer holds.
        assert!(change(&record, &asked.template(None), at(1)).is_ok());
    }
    for less in [
        new().permissions(set(&[])),
        new().endpoints(EndpointRules::new(["GET /api/metrics/x"]).unwrap()),
        new().rate_limit(limit(99)),
    ] {
        assert!(change(&record, &less.clone(), at(1)).is_ok());
        let again = less.client_name("x").unwrap().template(monitoring());
        assert!(change(&record, &again, at(1)).is_ok());
    }
}
