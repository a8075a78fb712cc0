//! Unknown commands, and wrong arguments of the others.

use super::Row;

pub(super) const COMMANDS: &[Row] = &[
    (&[], "expected a command: issue, verify, list"),
    (
        &["isue"],
        "unknown command (did you mean issue, inspect, suspend?); expected one of: issue, verify, list",
    ),
    (&["create"], "unknown command (did you mean issue?)"),
    (&["ls"], "unknown command (did you mean list?)"),
    (&["update"], "unknown command (did you mean change?)"),
    (&["delete"], "unknown command (did you mean revoke?)"),
    (
        &["template", "ls"],
        "template: unknown command (did you mean list?)",
    ),
    (
        &["frob"],
        "keystile: unknown command; expected one of: issue, verify, list",
    ),
    (
        &["frob", "template"],
        "keystile: unknown command; expected one of: issue, verify, list",
    ),
    (&["--jsn", "list"], "did you mean --json?"),
    (&["verify", "key"], "standard input or KEYSTILE_KEY"),
    (
        &["verify", "--requires", "read and write"],
        "AND, OR and parentheses",
    ),
    (
        &["verify", "--requires", "(read"],
        "AND, OR and parentheses",
    ),
    (&["verify", "--requires", ""], "AND, OR and parentheses"),
    (&["verify", "--requires", "read:*"], "without a wildcard"),
    (&["verify", "--method", "GET"], "--path <P>"),
    (&["verify", "--method", "get", "--path", "/x"], "upper-case"),
    (&["verify", "--path", ""], "must be the path of a request"),
    (&["verify", "--ip", "localhost"], "IPv4 or IPv6"),
    (&["verify", "--ip", "10.0.0.0/8"], "IPv4 or IPv6"),
    (&["verify", "--env", "-"], "a-z or 0-9"),
    (&["inspect", "key"], "standard input or KEYSTILE_KEY"),
    (&["list", "--limit", "0"], "1 or more"),
    (&["list", "--limit", "many"], "1 or more"),
    (&["list", "extra"], "unknown argument"),
    (&["list", "--status", "Active"], "must be active, retiring"),
    (&["list", "--id-prefix", "1_"], "characters of an id"),
    (&["list", "--id-prefix", ""], "characters of an id"),
    (&["list", "--expires-within", "soon"], "duration"),
    (&["list", "--unused-for", "-1d"], "unknown argument"),
    (&["list", "--issued-since", "yesterday"], "RFC 3339"),
    (
        &["list", "--issued-until", "2026-09-21T14:13:20"],
        "RFC 3339",
    ),
    (&["list", "--count", "--wide"], "cannot be combined"),
    (&["show"], "<ID>"),
    (&["show", "1"], "a key id must be 16"),
    (&["show", "2AbCdEfGhIjKlMnO"], "the first of them 1"),
    (&["show", "1AbCdEfGhIjKlMn_"], "a key id must be 16"),
    (
        &["show", "1AbCdEfGhIjKlMnO", "1AbCdEfGhIjKlMnO"],
        "unknown argument",
    ),
    (&["revoke"], "<ID>"),
    (
        &["revoke", "1AbCdEfGhIjKlMnO", "--reason", ""],
        "1 to 255 bytes",
    ),
    (
        &["revoke", "1AbCdEfGhIjKlMnO", "--reason", "a\tb"],
        "without control or invisible characters",
    ),
    (
        &["rotate", "1AbCdEfGhIjKlMnO", "--overlap", "never"],
        "must be a duration",
    ),
    (
        &["rotate", "1AbCdEfGhIjKlMnO", "--overlap", "91d"],
        "at most 90 days",
    ),
    (
        &["rotate", "1AbCdEfGhIjKlMnO", "--expires-in", "0s"],
        "must be greater than zero",
    ),
    (
        &[
            "rotate",
            "1AbCdEfGhIjKlMnO",
            "--expires-in",
            "2d",
            "--max-lifetime",
            "1d",
        ],
        "not be longer than the longest",
    ),
    (
        &[
            "rotate",
            "1AbCdEfGhIjKlMnO",
            "--expires-in",
            "never",
            "--max-lifetime",
            "1d",
        ],
        "must expire",
    ),
    (
        &[
            "change",
            "1AbCdEfGhIjKlMnO",
            "--expires-in",
            "never",
            "--max-lifetime",
            "1d",
        ],
        "must expire",
    ),
    (
        &["change", "1AbCdEfGhIjKlMnO", "--derived", "delete"],
        "must be suspend, revoke or keep",
    ),
    (
        &[
            "issue",
            "--client",
            "x",
            "--expires-in",
            "never",
            "--max-lifetime",
            "1d",
        ],
        "must expire",
    ),
    (
        &["serve", "--default-lifetime", "2d", "--max-lifetime", "1d"],
        "not be longer than the longest",
    ),
    (
        &["serve", "--key-header", "Cookie"],
        "--key-header: a key header must be 1 to 64 token characters, and not Authorization or Cookie",
    ),
    (
        &["serve", "--scheme", "Basic"],
        "--scheme: a scheme of Authorization must be 1 to 64 token characters, and not Basic",
    ),
    (
        &["serve", "--no-default-sources"],
        "must name another source",
    ),
    (&["plan", "--within", "soon"], "must be a duration"),
    (&["events", "all"], "a key id must be 16"),
    (&["events", "--after", "-"], "1 or more"),
    (
        &["template"],
        "template: expected a command: list, show, add, change, apply, remove",
    ),
    (&["template", "add"], "template: <NAME> is required"),
    (&["template", "add", "Pro"], "must be 1 to 32 characters"),
    (&["template", "add", "admin"], "are presets"),
    (
        &["template", "add", "pro", "--permission", "inv*"],
        "--permission",
    ),
    (
        &["template", "add", "pro", "--expires-in", "0d"],
        "greater than zero",
    ),
    (&["template", "add", "pro", "--burst", "5"], "--rate-limit"),
    (
        &["template", "show", "monitorin"],
        "did you mean monitoring?",
    ),
    (
        &["issue", "--client", "a", "--template", "adimn"],
        "--template: must be one of monitoring, integration, admin (did you mean admin?)",
    ),
    (
        &["change", "--of-owner", "", "--rate-limit", "1/1h"],
        "--of-owner",
    ),
    (&["change", "--rate-limit", "1/1h"], "<ID> is required"),
    (
        &["template", "lst"],
        "template: unknown command (did you mean list?); expected one of: list, show, add, change, apply, remove",
    ),
    (&["--store", "keys.db", "list"], "must be sqlite:PATH"),
    (
        &["--store", "mysql://localhost/keys", "list"],
        "not supported",
    ),
    (&["--store", "sqlite:", "list"], "sqlite:PATH"),
    (
        &["--store", "sqlite:k.db?mode=ro", "list"],
        "without parameters",
    ),
    (&["--store", "", "list"], "must be sqlite:PATH"),
    (&["list", "--json=yes"], "unknown argument"),
];
