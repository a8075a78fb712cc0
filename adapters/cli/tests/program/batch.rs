//! Several keys on standard input: one line of output per key, in the same order.

use crate::keystile::Keystile;

fn decisions(output: &str) -> Vec<&str> {
    output
        .lines()
        .map(|line| line.split_whitespace().nth(1).unwrap_or(""))
        .collect()
}

#[test]
fn answers_stand_in_the_order_of_the_keys() {
    let program = Keystile::new();
    let (good, good_id) = program.issue(&[]);
    let (bad, bad_id) = program.issue(&[]);
    assert_eq!(program.run(&["revoke", &bad_id, "--reason", "x"]).code, 0);
    let typo = good.replace(&good_id, "1AAAAAAAAAAAAAAA");

    let ran = program.feed(&["verify"], format!("{good}\n{good}\n").as_bytes());
    assert_eq!((ran.code, ran.errors.as_str()), (0, ""));
    assert_eq!(decisions(&ran.output), [&good_id, &good_id]);

    let lines = [&good, &bad, "", &typo, "nonsense", &good].join("\n");
    let ran = program.feed(&["verify"], lines.as_bytes());
    assert_eq!((ran.code, ran.errors.as_str()), (1, ""));
    let expected = [
        "",
        "key_revoked",
        "missing_credential",
        "invalid_key",
        "invalid_key",
        "",
    ];
    let found = decisions(&ran.output);
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(
            *found,
            if expected.is_empty() {
                good_id.as_str()
            } else {
                expected
            }
        );
    }
    let ran = program.feed(&["verify", "--json"], lines.as_bytes());
    assert_eq!((ran.code, ran.output.lines().count()), (1, 6));
}

#[test]
fn a_row_that_cannot_be_read_takes_no_answer_from_the_others() {
    let program = Keystile::new();
    let keys = [program.issue(&[]), program.issue(&[]), program.issue(&[])];
    let raw = rusqlite::Connection::open(program.folder().join("keystile.db")).unwrap();
    let sql = "UPDATE api_keys SET permissions = 'x' WHERE key_id = ?1";
    assert_eq!(raw.execute(sql, [&keys[1].1]).unwrap(), 1);
    let lines = keys.each_ref().map(|(key, _)| key.as_str()).join("\n");
    let ran = program.feed(&["verify"], lines.as_bytes());
    assert_eq!(ran.code, 1);
    assert_eq!(
        decisions(&ran.output),
        [&keys[0].1, "record_damaged", &keys[2].1]
    );
    assert!(ran.errors.contains("damaged"), "{}", ran.errors);
}

#[test]
fn no_key_at_all_is_a_denial() {
    let program = Keystile::new();
    program.issue(&[]);
    for input in ["", "\n", "\r\n"] {
        let ran = program.feed(&["verify"], input.as_bytes());
        assert_eq!(
            (ran.code, decisions(&ran.output)),
            (1, vec!["missing_credential"])
        );
    }
}

#[test]
fn line_ends_belong_to_no_key_and_spaces_do() {
    let program = Keystile::new();
    let (key, _) = program.issue(&[]);
    for (input, code) in [
        (key.clone(), 0),
        (format!("{key}\n"), 0),
        (format!("{key}\r\n"), 0),
        (format!("{key} \n"), 1),
        (format!(" {key}\n"), 1),
        (format!("Bearer {key}\n"), 1),
        (format!("{key}\0\n"), 1),
    ] {
        assert_eq!(
            program.feed(&["verify"], input.as_bytes()).code,
            code,
            "{:?}",
            input.replace(&key, "K")
        );
    }
}

#[test]
fn the_variable_takes_the_place_of_standard_input() {
    let program = Keystile::new();
    let (key, _) = program.issue(&[]);
    let program = program.with("KEYSTILE_KEY", &key);
    let ran = program.feed(&["verify"], b"nonsense\nnonsense\n");
    assert_eq!((ran.code, ran.output.lines().count()), (0, 1));
    assert_eq!(program.run(&["inspect"]).code, 0);
    let program = program.with("KEYSTILE_KEY", "");
    assert_eq!(program.feed(&["verify"], b"nonsense\n").code, 1);
}

#[test]
fn bytes_of_any_kind_and_length_are_answered() {
    let program = Keystile::new();
    let (key, _) = program.issue(&[]);
    let mut input: Vec<u8> = (0..=255u8).filter(|&byte| byte != b'\n').collect();
    input.push(b'\n');
    input.extend([0xFF, 0xFE, b'\n']);
    // More than fits into any buffer in between.
    input.extend(core::iter::repeat_n(b'k', 3 << 20));
    input.push(b'\n');
    input.extend(key.as_bytes());
    input.extend(core::iter::repeat_n(b'k', 300));
    input.push(b'\n');
    input.extend(key.as_bytes());
    let ran = program.feed(&["verify"], &input);
    assert_eq!((ran.code, ran.errors.as_str()), (1, ""));
    let found = decisions(&ran.output);
    assert_eq!(found.len(), 5);
    assert!(
        found.iter().take(4).all(|code| *code == "invalid_key"),
        "{found:?}"
    );
    assert!(ran.output.lines().last().unwrap().starts_with("allow"));
}

#[test]
fn inspect_knows_whole_cut_and_mistyped_keys() {
    let program = Keystile::new();
    let (key, id) = program.issue(&["--prefix", "acme", "--env", "live"]);
    let last = if key.ends_with('0') { "1" } else { "0" };
    let (body, _) = key.split_at(key.len() - 1);
    let typo = format!("{body}{last}");
    let input = [
        &key,
        &typo,
        &format!("\"{key}\""),
        body,
        "acme_live_é",
        "ghp_x",
        "",
    ]
    .join("\n")
        + "\n";
    let ran = program.feed(&["inspect", "--prefix", "acme"], input.as_bytes());
    let decisions: Vec<&str> = ran
        .output
        .lines()
        .map(|line| line.split(':').next().unwrap_or(""))
        .collect();
    let expected = [
        "well formed",
        "wrong checksum",
        "wrapped",
        "wrong length",
        "wrong character",
        "foreign",
        "empty",
    ];
    assert_eq!((ran.code, decisions), (1, expected.to_vec()));
    assert!(
        ran.output
            .lines()
            .next()
            .unwrap()
            .ends_with(&format!("{id}  live"))
    );
    assert_eq!(
        program.feed(&["inspect"], key.as_bytes()).code,
        0,
        "of any prefix"
    );
    assert_eq!(
        program
            .feed(&["inspect", "--prefix", "ks"], key.as_bytes())
            .code,
        1
    );
    assert_eq!(
        program.files().len(),
        1 + program
            .files()
            .iter()
            .filter(|name| name.contains('-'))
            .count()
    );
}

/// What other code wrote is printed with who did it and what was changed.
#[test]
fn a_change_by_other_code_is_an_event() {
    let program = Keystile::new().with("KEYSTILE_ACTOR", "ana");
    let (_, id) = program.issue(&["--permission", "read"]);
    let raw = rusqlite::Connection::open(program.folder().join("keystile.db")).unwrap();
    raw.execute_batch(
        "UPDATE api_keys SET permissions = '[]', client_name = 'Other Ltd';
         DELETE FROM api_keys",
    )
    .unwrap();
    let events = program.objects(&["events", "--json"]);
    let told: Vec<_> = events
        .iter()
        .map(|event| {
            let (kind, key, who) = (&event["kind"], &event["key_id"], &event["actor"]);
            (
                kind.clone(),
                key == &id,
                who.clone(),
                event["changes"].clone(),
            )
        })
        .collect();
    let changes = serde_json::json!([{ "field": "client_name" }, { "field": "permissions" }]);
    assert_eq!(
        told,
        [
            ("issued".into(), true, "ana".into(), serde_json::json!([])),
            ("changed".into(), true, "sqlite".into(), changes),
            (
                "deleted".into(),
                true,
                "sqlite".into(),
                serde_json::json!([])
            ),
        ]
    );
    let printed = program.run(&["events"]).output;
    assert!(
        printed.contains("client_name, permissions; by sqlite\n"),
        "{printed}"
    );
}

/// What comes along with a key is named, whatever the prefix and format, and never taken off.
#[test]
fn a_wrapped_key_is_named_and_denied() {
    let program = Keystile::new();
    for options in [
        &["--prefix", "acme", "--env", "live"][..],
        &["--format", "opaque", "--prefix", "other"],
    ] {
        let (key, _) = program.issue(options);
        for text in [
            format!(" {key}"),
            format!("\"{key}\""),
            format!("\u{feff}{key}"),
            format!("{key}\u{a0}"),
            format!("Authorization: Bearer {key}"),
            format!("X-API-Key: {key}"),
            format!("export API_KEY='{key}'"),
        ] {
            let inspected = program.feed(&["inspect"], text.as_bytes());
            assert!(inspected.output.starts_with("wrapped: "), "{inspected:?}");
            let ran = program.feed(&["verify"], text.as_bytes());
            assert_eq!(ran.code, 1, "{text}");
            assert!(ran.output.starts_with("deny  invalid_key"), "{ran:?}");
            assert!(
                ran.errors.starts_with("keystile: key 1 is wrapped: take "),
                "{ran:?}"
            );
            assert_eq!(ran.errors.lines().count(), 1);
            assert!(!ran.errors.contains(&key[20..]));
        }
        let ran = program.feed(&["verify"], format!("{key}\n{key}\t\n").as_bytes());
        assert!(
            ran.errors.starts_with("keystile: key 2 is wrapped"),
            "{ran:?}"
        );
        assert!(ran.output.starts_with("allow"), "{ran:?}");
    }
}
