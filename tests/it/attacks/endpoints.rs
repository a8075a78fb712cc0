//! More attacks on paths and endpoints, A16 to A31. Each test answers a flaw that was
//! found elsewhere and has its number.

use crate::common::restricted::{refusal, refused_as_not_canonical};
use crate::common::service::{Service, at, client};
use keystile::{
    CredentialExtractor, CredentialSources, Denial, DenialCode, EndpointRules, Millis, RateLimit,
    Request, Usage,
};

#[test]
fn a16_cve_2026_45692_segments_are_compared_byte_by_byte() {
    for path in ["/v/01", "/v/1.0", "/v/+1", "/v/1e0", "/v/0x1", "/v/1/"] {
        let code = refusal(&["/v/1"], "GET", path);
        assert_eq!(code, Some(DenialCode::EndpointNotAllowed), "{path}");
    }
    assert_eq!(refusal(&["/v/1"], "GET", "/v/1"), None);
}

#[test]
fn a17_cve_2025_71399_empty_segments_bypass_neither_rules_nor_limits() {
    refused_as_not_canonical(&["/sign-in"], ["//sign-in", "/sign-in//", "///", "/a//b"]);
    // The limit belongs to the lineage: another spelling of a path does not have another
    // limit.
    let mut service = Service::structured();
    let limit = RateLimit::new(2, Millis::from_hours(1)).unwrap();
    let issued = service.issue(&client().rate_limit(limit));
    let mut usage = Usage::of(&issued.record);
    let answers = ["/a", "//a", "/a/", "/b", "//b"].map(|path| {
        let request = Request::new().endpoint("GET", path);
        let key = issued.key.expose().as_bytes();
        let decision = service.ask(key, Some(&issued.record), &request, &mut usage, at(1));
        decision.denial().map(Denial::code)
    });
    let (odd, spent) = (
        Some(DenialCode::PathNotCanonical),
        Some(DenialCode::RateLimited),
    );
    assert_eq!(answers, [None, odd, None, spent, odd]);
}

#[test]
fn a18_aw_server_rust_588_nothing_is_exempt_from_the_check() {
    refused_as_not_canonical(&["/api/*"], ["//api/0/x", "/./api/0/x", "/api/0/../x"]);
    // No path turns a missing credential into a present one.
    let none = CredentialExtractor::any_text(CredentialSources::new())
        .extract([(&b":path"[..], &b"//api/0/x"[..])]);
    assert_eq!(none.unwrap_err().code(), DenialCode::MissingCredential);
}

#[test]
fn a19_ghsa_wc8c_qw6v_h7f6_an_encoded_slash_does_not_hide_a_static_file() {
    let paths = [
        "/static%2Fsecret",
        "/static/%2Fsecret",
        "/static%2f..%2fsecret",
    ];
    refused_as_not_canonical(&["/static/*"], paths);
}

#[test]
fn a20_ai_triad_research_264_encoded_dots_are_dots() {
    let dots = ["%2e", "%2E", ".%2e", "%2e.", "%2E%2e", "%2e%2E"];
    refused_as_not_canonical(
        &["/api/*"],
        dots.map(|dots| format!("/api/public/{dots}/admin")),
    );
    refused_as_not_canonical(&["/api/*"], dots.map(|dots| format!("/api/{dots}")));
}

#[test]
fn a21_cve_2020_1957_and_cve_2020_1757_matrix_parameters_are_refused() {
    let paths = [
        "/admin;x=1/y",
        "/a/..;/b",
        "/a/..;x=y/b",
        "/;/a",
        "/a;",
        "/a/b;c",
        "/a%3Bb",
    ];
    refused_as_not_canonical(&["/a/*", "/admin/*"], paths);
}

#[test]
fn a22_cve_2022_22978_the_last_wildcard_takes_every_legal_byte_and_no_control() {
    let controls = (0..0x20).chain([0x7F]);
    let spelled = controls.flat_map(|byte: u8| {
        [
            format!("/r/a{}b", char::from(byte)),
            format!("/r/a%{byte:02X}b"),
            format!("/r/%{byte:02x}"),
        ]
    });
    refused_as_not_canonical(&["/r/*"], spelled);
    let legal = "-._~!$&'()*+,=:@0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for character in legal.chars() {
        assert_eq!(
            refusal(&["/r/*"], "GET", &format!("/r/x{character}y/z")),
            None
        );
    }
}

#[test]
fn a23_cve_2023_20860_a_pattern_without_a_slash_is_an_error_and_no_silent_nothing() {
    for rule in [
        "*", "**", "api/*", "", " ", "GET", "GET *", "GET api", "./a", "\\a",
    ] {
        assert!(EndpointRules::new([rule]).is_err(), "{rule:?}");
    }
}

#[test]
fn a24_cve_2022_1996_rules_are_anchored_and_have_no_expressions_in_them() {
    let rules = ["/a.b+", "/c(d)", "/e$"];
    for path in [
        "/axb", "/a.b", "/a.bb", "/a.b+c", "/x/a.b+", "/cd", "/e", "/ef",
    ] {
        let code = refusal(&rules, "GET", path);
        assert_eq!(code, Some(DenialCode::EndpointNotAllowed), "{path}");
    }
    for path in rules {
        assert_eq!(refusal(&rules, "GET", path), None, "{path}");
    }
    for rule in ["/a[bc]", "/a|b", "/^a", "/a{2}", "/a\\d", "/a?"] {
        assert!(EndpointRules::new([rule]).is_err(), "{rule}");
    }
}

#[test]
fn a25_express_folds_case_and_trailing_slashes_and_gains_nothing_by_it() {
    // Rules list only what is allowed: a spelling that such a router treats as the same
    // path is another path to the rules, and is refused.
    let rules = ["/api/data/*", "/me"];
    for path in ["/API/data/x", "/api/DATA/x", "/ME", "/me/", "/api/data"] {
        let code = refusal(&rules, "GET", path);
        assert_eq!(code, Some(DenialCode::EndpointNotAllowed), "{path}");
    }
}

#[test]
fn a26_express_decodes_parameters_after_routing() {
    let paths = [
        "/api/data/..%2fx",
        "/api/data/%2e%2e",
        "/api/data/%2e%2e%2f%2e%2e",
    ];
    refused_as_not_canonical(&["/api/data/*"], paths);
}

#[test]
fn a27_cve_2026_45339_the_restriction_holds_whichever_header_brought_the_key() {
    let mut service = Service::structured();
    let issued = service.issue(&client().endpoints(["/api/chat/*"]).unwrap());
    let key = issued.key.expose();
    let bearer = format!("Bearer {key}");
    let rules =
        CredentialExtractor::any_text(CredentialSources::new().with_header("X-Token").unwrap());
    for (name, value) in [
        ("x-api-key", key),
        ("authorization", &bearer),
        ("x-token", key),
    ] {
        let header = [(name.as_bytes(), value.as_bytes())];
        let credential = rules.extract(header).unwrap();
        let text = core::str::from_utf8(credential.as_bytes()).unwrap();
        for (path, expected) in [
            ("/api/chat/x", None),
            ("/api/users", Some(DenialCode::EndpointNotAllowed)),
        ] {
            let request = Request::new().endpoint("GET", path);
            let decision = service.ask_once(text, &issued.record, &request);
            assert_eq!(decision.denial().map(Denial::code), expected, "{name}");
        }
    }
}

#[test]
fn a28_cve_2026_27761_a_sibling_route_is_not_covered_by_its_neighbour() {
    let rules = ["GET /repo/a", "GET /repo/a/*"];
    for path in [
        "/repo/a.rss",
        "/repo/a.atom",
        "/repo/a.zip",
        "/rss/repo/a",
        "/repo/ab",
    ] {
        let code = refusal(&rules, "GET", path);
        assert_eq!(code, Some(DenialCode::EndpointNotAllowed), "{path}");
    }
    // A forgotten route names no endpoint at all, so a restricted key is refused.
    let mut service = Service::structured();
    let issued = service.issue(&client().endpoints(rules).unwrap());
    let decision = service.ask_once(issued.key.expose(), &issued.record, &Request::new());
    let code = decision.denial().map(Denial::code);
    assert_eq!(code, Some(DenialCode::EndpointNotAllowed));
}

#[test]
fn a29_cve_2026_41894_double_encoding_of_any_depth_is_refused() {
    let mut escape = String::from("%2e%2e");
    let mut spelled = Vec::new();
    for _ in 0..5 {
        spelled.push(format!("/api/{escape}/x"));
        escape = escape.replace('%', "%25");
    }
    refused_as_not_canonical(&["/api/*"], spelled);
}

#[test]
fn a30_cve_2026_30914_no_spelling_of_a_traversal_is_canonical() {
    let paths = [
        "/a/b/../../etc",
        "/..",
        "/.",
        "/a/.",
        "/a/..",
        "/a/../",
        "/./a",
        "/../a",
        "/a/./",
    ];
    refused_as_not_canonical(&["/a/*"], paths);
    // Three dots are an ordinary name.
    assert_eq!(refusal(&["/a/*"], "GET", "/a/.../..a/.b"), None);
}

#[test]
fn a31_cve_2026_40189_a_rule_for_reading_does_not_let_one_write() {
    let rules = ["GET,HEAD /files/*"];
    for method in ["GET", "HEAD"] {
        assert_eq!(refusal(&rules, method, "/files/x"), None);
    }
    for method in [
        "POST", "PUT", "PATCH", "DELETE", "get", "GET ", "", "PROPFIND", "X", "GETHEAD",
    ] {
        let code = refusal(&rules, method, "/files/x");
        assert_eq!(code, Some(DenialCode::EndpointNotAllowed), "{method:?}");
    }
}
