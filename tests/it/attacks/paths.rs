//! Attacks on paths and endpoints, A1 to A15. Each test answers a flaw that was found
//! elsewhere and has its number.

use crate::common::restricted::{paths, refusal, refused_as_not_canonical};
use crate::common::routers::{ROUTERS, decoded_once};
use crate::common::service::{Service, client};
use keystile::{DenialCode, EndpointRules, Request, is_canonical_path};

#[test]
fn a1_cve_2019_9901_a_dot_segment_does_not_climb_out_of_a_prefix() {
    let paths = [
        "/info/../private",
        "/info/./../private",
        "/info/..",
        "/info/./x",
        "/info/.",
    ];
    refused_as_not_canonical(&["/info/*"], paths);
    assert_eq!(refusal(&["/info/*"], "GET", "/info/private"), None);
}

#[test]
fn a2_cve_2021_29492_an_encoded_slash_is_no_separator_to_anybody() {
    let escapes = ["%2F", "%2f", "%5C", "%5c"];
    let places = ["/a?b", "/?", "/?a", "/a/?", "/a/b?", "/a/..?b"];
    let paths = places
        .iter()
        .flat_map(|place| escapes.map(|e| place.replace('?', e)));
    refused_as_not_canonical(&["/a/*"], paths);
}

#[test]
fn a3_cve_2021_27306_every_door_gives_the_same_answer() {
    let mut service = Service::structured();
    let rules = ["/public/*"];
    let issued = service.issue(&client().endpoints(rules).unwrap());
    let list = EndpointRules::new(rules).unwrap();
    for path in paths(&["/", "public", "..", "a", "%2e", "%2F", "é", "%C3%A9"], 4) {
        let whole = list.allows("GET", &path);
        for request in [
            Request::new().endpoint("GET", &path),
            Request::new().endpoint_bytes(b"GET", path.as_bytes()),
        ] {
            let decision = service.ask_once(issued.key.expose(), &issued.record, &request);
            assert_eq!(decision.is_allow(), whole, "{path:?}");
        }
        let by_parts = is_canonical_path(path.as_bytes()) && path.starts_with("/public/");
        assert_eq!(whole, by_parts, "{path:?}");
    }
}

#[test]
fn a4_cve_2021_43557_a_doubled_slash_does_not_slip_past_a_rule() {
    let paths = [
        "//internal/x",
        "///internal",
        "//",
        "/internal//x",
        "/internal/x//",
    ];
    refused_as_not_canonical(&["/internal/*"], paths);
}

#[test]
fn a5_cve_2025_66490_no_escape_means_more_to_the_backend_than_to_the_matcher() {
    let rules = EndpointRules::new(["/a/*"]).unwrap();
    let mut allowed = 0;
    for byte in 0..=u8::MAX {
        for escape in [format!("%{byte:02X}"), format!("%{byte:02x}")] {
            for place in [
                "/?/b/c", "/a/?/c", "/a/b/?", "/a?/b/c", "/a/b?/c", "/a/?b/c",
            ] {
                let path = place.replace('?', &escape);
                if rules.allows("GET", &path) {
                    allowed += 1;
                    // Decoded, it is data in the same segment to every parser.
                    assert!(place.starts_with("/a/"));
                    let unreserved = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
                    let structure = byte.is_ascii_control() || b"/\\%;?#".contains(&byte);
                    assert!(!unreserved && !structure, "{path:?}");
                }
            }
        }
    }
    assert!(allowed > 100, "{allowed} data escapes pass");
}

#[test]
fn a6_cve_2026_48020_a_prefix_ends_at_a_segment() {
    for path in ["/api../admin", "/api..", "/api.", "/apix", "/api"] {
        assert_eq!(
            refusal(&["/api/*"], "GET", path),
            Some(DenialCode::EndpointNotAllowed)
        );
    }
    refused_as_not_canonical(&["/api/*"], ["/api%2e%2e/admin", "/api/../admin"]);
}

#[test]
fn a7_cve_2026_40912_what_matches_is_already_normal() {
    let rules = EndpointRules::new(["/*", "/a/*/a"]).unwrap();
    let mut matched = 0;
    for path in paths(&["/", "a", ".", "%2e", "%2E", "%61", "%C3%A9"], 6) {
        if rules.allows("GET", &path) {
            matched += 1;
            let normal: Vec<&str> = path.split('/').collect();
            assert!(!normal.contains(&".") && !normal.contains(&".."));
            let inner = &normal[1..normal.len() - 1];
            assert!(inner.iter().all(|segment| !segment.is_empty()), "{path:?}");
            assert!(!path.contains("%2") && !path.contains("%61"), "{path:?}");
        }
    }
    assert!(matched > 1_000, "{matched}");
}

#[test]
fn a8_cve_2023_47106_a_fragment_is_no_part_of_a_path() {
    let paths = [
        "/public#/../admin",
        "/x#",
        "/x%23y",
        "/#",
        "/x?y",
        "/x%3Fy",
        "/x?key=1#y",
    ];
    refused_as_not_canonical(&["/public/*"], paths);
}

#[test]
fn a9_cve_2026_67309_the_dispatched_path_is_judged_and_not_the_one_before_a_rewrite() {
    // A proxy strips `/public`: the path that the handler sees is the path to check.
    let rules = ["/public/*", "/docs/*"];
    let rewritten = |path: &str| path.strip_prefix("/public").unwrap().to_string();
    assert_eq!(refusal(&rules, "GET", "/public/admin"), None);
    let dispatched = rewritten("/public/admin");
    assert_eq!(
        refusal(&rules, "GET", &dispatched),
        Some(DenialCode::EndpointNotAllowed)
    );
    assert_eq!(refusal(&rules, "GET", &rewritten("/public/docs/x")), None);
    refused_as_not_canonical(
        &rules,
        [rewritten("/public/docs/../admin"), rewritten("/public")],
    );
}

#[test]
fn a10_go_2026_4950_nothing_is_decoded_twice() {
    let paths = ["/%2561dmin", "/%25", "/%25%32%65", "/a%252fb", "/%25252e"];
    refused_as_not_canonical(&["/a/*"], paths);
    // Whatever passes decodes to something that decodes to itself.
    for path in paths_of_escapes() {
        if is_canonical_path(path.as_bytes()) {
            let once = decoded_once(path.as_bytes());
            assert_eq!(decoded_once(&once), once, "{path:?}");
        }
    }
}

fn paths_of_escapes() -> Vec<String> {
    paths(&["%25", "%2", "5", "e", "%C3", "%A9", "/"], 5)
}

#[test]
fn a11_cve_2026_33186_a_path_without_its_leading_slash_is_refused() {
    let paths = [
        "pkg.Service/Method",
        "",
        "*",
        "a",
        "http://host/a",
        "%2Fa",
        " /a",
        "\\a",
    ];
    refused_as_not_canonical(&["/pkg.Service/*"], paths);
}

#[test]
fn a12_cve_2026_42274_no_router_is_led_to_a_place_that_the_rules_do_not_allow() {
    let rules = EndpointRules::new(["/pub/*", "/*/me"]).unwrap();
    let parts = [
        "/", "pub", "adm", "me", "..", ".", "%2e", "%2F", ";x", "\\", "%5C", "%41",
    ];
    let (mut allowed, mut led_elsewhere) = (0u32, 0u32);
    for path in paths(&parts, 5) {
        let ours = rules.allows("GET", &path);
        allowed += u32::from(ours);
        for (name, router) in ROUTERS {
            let dispatched = router(&path);
            assert!(
                !ours || rules.allows("GET", &dispatched),
                "{name}: {path:?}"
            );
            // The control: comparing the raw text would have been misled.
            let elsewhere = !dispatched.starts_with("/pub/");
            led_elsewhere += u32::from(path.starts_with("/pub/") && elsewhere);
        }
    }
    assert!(
        allowed > 100 && led_elsewhere > 100,
        "{allowed} and {led_elsewhere}"
    );
}

#[test]
fn a14_cve_2026_52844_a_backslash_is_no_separator_and_no_data() {
    refused_as_not_canonical(
        &["/a/*"],
        ["/a\\..\\b", "/a/\\", "/a%5cb", "/a%5C..%5Cb", "\\a"],
    );
}

#[test]
fn a15_ghsa_gx7w_56w6_g48x_a_wildcard_is_a_whole_segment() {
    for rule in [
        "/api/data*",
        "/pki*",
        "/a*b",
        "/*a",
        "/**",
        "/a/**/b",
        "/a/*.json",
        "/a/b*/c",
    ] {
        assert!(EndpointRules::new([rule]).is_err(), "{rule}");
    }
    let denied = Some(DenialCode::EndpointNotAllowed);
    assert_eq!(refusal(&["/pki"], "GET", "/pkix"), denied);
    assert_eq!(refusal(&["/pki/*"], "GET", "/pkix/y"), denied);
    assert_eq!(refusal(&["/dashboard/*"], "GET", "/dashboard../x"), denied);
    assert_eq!(refusal(&["/pki/*"], "GET", "/pki/x"), None);
}
