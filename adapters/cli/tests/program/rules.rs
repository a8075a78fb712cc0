//! Endpoint rules that never match, and paths with an encoded slash.

use crate::keystile::Keystile;

#[test]
fn a_rule_that_never_matches_is_accepted_with_a_warning() {
    let program = Keystile::new();
    let (_, id) = program.issue(&["--endpoint", "/api/data"]);
    for (rule, warning) in [
        (
            "ANY /api/data",
            "no client sends this method; leave the method out",
        ),
        (
            "/api/users/:id",
            "a parameter of a router stands for itself here; write *",
        ),
    ] {
        for arguments in [
            &["issue", "--client", "Acme", "--endpoint", rule][..],
            &["change", &id, "--endpoint", rule],
            &[
                "template",
                "add",
                "plan",
                "--permission",
                "read",
                "--endpoint",
                rule,
            ],
            &["template", "change", "plan", "--endpoint", rule],
        ] {
            let ran = program.run(arguments);
            assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.errors);
            let expected =
                format!("keystile: warning: --endpoint '{rule}' never matches: {warning}");
            assert!(
                ran.errors.contains(&expected),
                "{arguments:?}: {}",
                ran.errors
            );
        }
        assert_eq!(program.run(&["template", "remove", "plan"]).code, 0);
    }
    let ran = program.run(&["issue", "--client", "Acme", "--endpoint", "GET /api/*/:"]);
    assert!(!ran.errors.contains("warning"), "{}", ran.errors);
}

#[test]
fn an_encoded_slash_is_data_only_with_its_profile() {
    let program = Keystile::new();
    let (key, _) = program.issue(&["--endpoint", "/*"]);
    let lenient = ["--path-profile", "encoded-slash-is-data"];
    for (path, strict, with_slash) in [
        ("/@scope%2Fpackage", "path_not_canonical", "allow"),
        ("/a%2F..%2Fb", "path_not_canonical", "path_not_canonical"),
        ("/caf%C3%A9", "allow", "allow"),
        ("/a%C0%AFb", "path_not_canonical", "path_not_canonical"),
    ] {
        let asked = ["--path", path];
        assert_eq!(program.decision(&key, &asked), strict, "{path}");
        let asked = [&asked[..], &lenient].concat();
        assert_eq!(program.decision(&key, &asked), with_slash, "{path}");
    }
}
