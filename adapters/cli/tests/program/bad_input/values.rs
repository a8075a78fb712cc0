//! Wrong values of what a key is issued with, or changed to.

use super::Row;

pub(super) const VALUES: &[Row] = &[
    (&["issue"], "--client <NAME>"),
    (&["issue", "--client"], "expects a value"),
    (&["issue", "--client", ""], "1 to 255 bytes"),
    (&["issue", "--client", " "], "1 to 255 bytes"),
    (
        &["issue", "--client", "a\nb"],
        "without control or invisible characters",
    ),
    (
        &["issue", "--client", "a\u{1b}[31mb"],
        "without control or invisible characters",
    ),
    (
        &["issue", "--client", "a\u{202e}b"],
        "or invisible characters",
    ),
    (
        &["issue", "--client", "a\u{200b}b"],
        "or invisible characters",
    ),
    (
        &["issue", "--client", "a", "--owner", "\u{feff}a"],
        "--owner",
    ),
    (&["issue", "--client", "a", "--client", "b"], "only once"),
    (&["issue", "--client", "a", "b"], "unknown argument"),
    (
        &["issue", "--client", "a", "--email", "nobody"],
        "name@host",
    ),
    (&["issue", "--client", "a", "--owner", ""], "1 to 255 bytes"),
    (&["issue", "--client", "a", "--env", "Live"], "a-z or 0-9"),
    (
        &["issue", "--client", "a", "--env", "verylongname1"],
        "1 to 12",
    ),
    (
        &["issue", "--client", "a", "--permission", "inv*"],
        "whole segment",
    ),
    (&["issue", "--client", "a", "--permission", ""], "segments"),
    (
        &["issue", "--client", "a", "--permission", "read write"],
        "segments",
    ),
    (
        &["issue", "--client", "a", "--endpoint", "api/x"],
        "/segments",
    ),
    (
        &["issue", "--client", "a", "--endpoint", "get /x"],
        "upper-case",
    ),
    (
        &["issue", "--client", "a", "--endpoint", "/a/../b"],
        "/segments",
    ),
    (
        &["issue", "--client", "a", "--endpoint", "/data*"],
        "/segments",
    ),
    (
        &["issue", "--client", "a", "--template", "root"],
        "monitoring, integration, admin",
    ),
    (
        &["issue", "--client", "a", "--template", "R o"],
        "template name",
    ),
    (
        &[
            "issue",
            "--client",
            "a",
            "--template",
            "monitoring",
            "--permission",
            "write",
        ],
        "must not exceed its template",
    ),
    (
        &["issue", "--client", "a", "--network", "10.0.0.1/8"],
        "CIDR",
    ),
    (
        &["issue", "--client", "a", "--network", "10.0.0.0/33"],
        "CIDR",
    ),
    (
        &["issue", "--client", "a", "--network", "example.com"],
        "CIDR",
    ),
    (
        &["issue", "--client", "a", "--rate-limit", "1000"],
        "1000/1h",
    ),
    (
        &["issue", "--client", "a", "--rate-limit", "1000/month"],
        "1000/1h",
    ),
    (&["issue", "--client", "a", "--burst", "5"], "--rate-limit"),
    (
        &[
            "issue",
            "--client",
            "a",
            "--rate-limit",
            "5/h",
            "--burst",
            "0",
        ],
        "--burst <N>: must be a whole number",
    ),
    (
        &[
            "issue",
            "--client",
            "a",
            "--rate-limit",
            "1/365d",
            "--burst",
            "11",
        ],
        "--burst: a rate limit's burst must be free again",
    ),
    (
        &["issue", "--client", "a", "--expires-at", "2020-01-01"],
        "--expires-at: must be in the future",
    ),
    (
        &["issue", "--client", "a", "--expires-at", "1.1.2027"],
        "RFC 3339",
    ),
    (
        &[
            "issue",
            "--client",
            "a",
            "--expires-at",
            "2099-01-01",
            "--expires-in",
            "1d",
        ],
        "cannot be combined",
    ),
    (
        &[
            "issue",
            "--client",
            "a",
            "--expires-at",
            "2099-01-01",
            "--max-lifetime",
            "1y",
        ],
        "not be longer than the longest",
    ),
    (
        &["change", "1AbCdEfGhIjKlMnO", "--expires-at", "2020-01-01"],
        "--expires-at: must be in the future",
    ),
    (
        &["change", "1AbCdEfGhIjKlMnO", "--burst", "5"],
        "--rate-limit",
    ),
    (
        &["issue", "--client", "a", "--rate-limit", "-1/1h"],
        "1000/1h",
    ),
    (
        &["issue", "--client", "a", "--rate-limit", "5/0s"],
        "1 ms to 366 days",
    ),
    (
        &["issue", "--client", "a", "--rate-limit", "5/367d"],
        "1 ms to 366 days",
    ),
    (&["issue", "--client", "a", "--uses", "0"], "1 or more"),
    (&["issue", "--client", "a", "--uses", "-1"], "1 or more"),
    (
        &["issue", "--client", "a", "--uses", "9223372036854775808"],
        "1 or more",
    ),
    (
        &["issue", "--client", "a", "--expires-in", "0d"],
        "greater than zero",
    ),
    (
        &["issue", "--client", "a", "--expires-in", "90"],
        "such as 90d",
    ),
    (
        &["issue", "--client", "a", "--expires-in", "1month"],
        "such as 90d",
    ),
    (
        &["issue", "--client", "a", "--expires-in", "9999999d"],
        "9999",
    ),
    (
        &[
            "issue",
            "--client",
            "a",
            "--expires-in",
            "99999999999999999999d",
        ],
        "such as 90d",
    ),
    (&["issue", "--client", "a", "--metadata", "{a:1}"], "JSON"),
    (&["issue", "--client", "a", "--metadata", ""], "JSON"),
    (
        &["issue", "--client", "a", "--format", "jwt"],
        "structured, opaque",
    ),
    (&["issue", "--client", "a", "--prefix", "Acme"], "a-z"),
    (&["issue", "--client", "a", "--prefix", "acme_"], "a-z"),
];
