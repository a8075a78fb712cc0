//! The table of steps that `cargo xtask test` runs, in order.

use crate::need::Need;
use crate::tests_run::run_tests;
use crate::workspace::{TaskResult, Workspace, run};
use crate::{
    book, capi, dependencies, fuzz, golang, msrv, no_std, openapi_client, postgres, publish, redis,
    serve, together,
};

/// One check. If the machine lacks something that it needs, it is skipped and reported.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) needs: &'static [Need],
    /// An earlier step that runs the same tests, and skips none of them if the needs of this
    /// one are met. If that step has passed, this one has nothing left to run.
    pub(crate) included_in: Option<&'static str>,
    pub(crate) run: fn(&Workspace) -> TaskResult,
}

const GCC: Need = Need::Program("gcc", "gcc");
const BINUTILS: Need = Need::Program("objcopy", "binutils");
const PKG_CONFIG: Need = Need::Program("pkg-config", "pkg-config");
const JANSSON: Need = Need::Library("jansson", "libjansson-dev");
const C_TESTS: &[Need] = &[
    GCC,
    Need::Program("g++", "g++"),
    Need::Program("clang", "clang"),
    BINUTILS,
    PKG_CONFIG,
    JANSSON,
];

pub(crate) const STEPS: &[Step] = &[
    Step {
        name: "fmt",
        about: "every file is formatted",
        needs: &[Need::Cargo("fmt", "rustup component add rustfmt")],
        included_in: None,
        run: |workspace| workspace.cargo("fmt --all --check"),
    },
    Step {
        name: "clippy",
        about: "no compiler or clippy warnings",
        needs: &[Need::Cargo("clippy", "rustup component add clippy")],
        included_in: None,
        run: |workspace| {
            workspace.cargo("clippy --workspace --all-targets --all-features -- -D warnings")
        },
    },
    Step {
        name: "tests",
        about: "unit and integration tests; examples are built, each benchmark runs once",
        needs: &[],
        included_in: None,
        run: |workspace| {
            let line = "test --workspace --all-features --all-targets --no-fail-fast";
            let mut cargo = workspace.command("cargo");
            run_tests(
                cargo
                    .args(line.split_whitespace())
                    .envs(postgres::required())
                    .envs(redis::required())
                    .envs(serve::required(workspace)),
            )
        },
    },
    Step {
        name: "tests-no-default",
        about: "the core's tests without its default features",
        needs: &[],
        included_in: None,
        run: |workspace| {
            workspace.cargo_tests("test --package keystile --no-default-features --lib --tests")
        },
    },
    Step {
        name: "postgres",
        about: "the store and the CLI on a PostgreSQL server, which is killed 50 times",
        needs: &[Need::Postgres],
        included_in: Some("tests"),
        run: postgres::tests,
    },
    Step {
        name: "redis",
        about: "limits that processes share, on Redis servers that are killed, paused and flushed",
        needs: &[Need::Redis],
        included_in: Some("tests"),
        run: redis::tests,
    },
    Step {
        name: "redis-cluster",
        about: "the same limits on a Redis Cluster and with sentinels, while a server is killed",
        needs: &[Need::Redis],
        included_in: None,
        run: redis::clusters,
    },
    Step {
        name: "gateways",
        about: "the examples for nginx, Caddy, Traefik and Envoy, in front of three services",
        needs: &[Need::Gateways, Need::Go],
        included_in: Some("tests"),
        run: serve::gateways,
    },
    Step {
        name: "schemathesis",
        about: "the OpenAPI document is valid, and keystile serve answers as it specifies",
        needs: &[
            Need::Tool("schemathesis", "pipx install schemathesis"),
            Need::Tool(
                "openapi-spec-validator",
                "pipx install openapi-spec-validator",
            ),
            Need::Program("curl", "curl"),
        ],
        included_in: None,
        run: serve::schemathesis,
    },
    Step {
        name: "openapi-client",
        about: "a Go client that is generated from the OpenAPI document, by a generator that go downloads",
        needs: &[Need::Go, Need::Program("curl", "curl")],
        included_in: None,
        run: openapi_client::run_client,
    },
    Step {
        name: "vectors",
        about: "the second implementation derives the same shared vectors",
        needs: &[Need::Program("python3", "python3")],
        included_in: None,
        run: |workspace| {
            let derive = ["tests/vectors/derive/derive.py", "--check"];
            run(workspace.command("python3").args(derive))
        },
    },
    Step {
        name: "loom",
        about: "every interleaving of two threads in the keyring, under loom",
        needs: &[],
        included_in: None,
        run: |workspace| {
            let line = "test --package keystile --features keyring --release --test keyring_loom";
            let mut command = workspace.command("cargo");
            // A separate folder: with other flags in the same one, this step and the others
            // would rebuild everything in turn.
            let command = command
                .args(line.split_whitespace())
                .env("CARGO_TARGET_DIR", workspace.target_path("loom"))
                .env("CARGO_PROFILE_RELEASE_LTO", "off")
                .env("RUSTFLAGS", "--cfg keystile_loom");
            run_tests(command)
        },
    },
    Step {
        name: "doc-tests",
        about: "the examples in the documentation",
        needs: &[],
        included_in: None,
        run: |workspace| workspace.cargo_tests("test --workspace --all-features --doc"),
    },
    Step {
        name: "docs",
        about: "the documentation builds without warnings",
        needs: &[],
        included_in: None,
        run: |workspace| {
            let line = "doc --workspace --all-features --no-deps";
            let mut command = workspace.command("cargo");
            run(command
                .args(line.split_whitespace())
                .env("RUSTDOCFLAGS", "-D warnings"))
        },
    },
    Step {
        name: "book",
        about: "the book builds; the links of all pages lead somewhere; their wording is plain",
        needs: &[Need::Tool(
            "mdbook",
            "cargo install --locked --no-default-features mdbook",
        )],
        included_in: None,
        run: book::check,
    },
    Step {
        name: "quickstarts",
        about: "the blocks of the README and of the quickstarts do what the pages show",
        needs: &[
            GCC,
            PKG_CONFIG,
            Need::Program("curl", "curl"),
            Need::Program("node", "nodejs"),
            Need::Program("npm", "npm"),
            Need::Program("java", "default-jdk-headless"),
            Need::Program("python3", "python3"),
            Need::Go,
            Need::Postgres,
        ],
        included_in: None,
        run: book::quickstarts,
    },
    Step {
        name: "no-std",
        about: "the core builds without the standard library",
        needs: &[],
        included_in: None,
        run: no_std::run,
    },
    Step {
        name: "msrv",
        about: "the oldest supported Rust version compiles the workspace",
        needs: &[Need::OldestRust],
        included_in: None,
        run: msrv::run,
    },
    Step {
        name: "licences",
        about: "the licences and sources of all dependencies are allowed, and none is banned",
        needs: &[Need::Cargo("deny", "cargo install --locked cargo-deny")],
        included_in: None,
        run: |workspace| {
            // Those of other platforms too, which no build downloads.
            workspace.cargo("fetch --locked")?;
            workspace.cargo(
                "deny --offline --workspace check --hide-inclusion-graph licenses bans sources",
            )
        },
    },
    Step {
        name: "dependencies",
        about: "the core has few dependencies, and none of them compiles C",
        needs: &[],
        included_in: None,
        run: dependencies::run,
    },
    Step {
        name: "together",
        about: "keystile-store can be in one program with what its users have beside it",
        needs: &[],
        included_in: None,
        run: together::run,
    },
    Step {
        name: "publish",
        about: "each crate's package is complete, and builds from what is in it",
        // Earlier ones cannot package crates that depend on each other.
        needs: &[Need::CargoVersion(90)],
        included_in: None,
        run: publish::run,
    },
    Step {
        name: "c-tests",
        about: "the C ABI from C99 and C++11: a tour of the API, and every shared vector",
        needs: C_TESTS,
        included_in: None,
        run: capi::tests,
    },
    Step {
        name: "c-misuse",
        about: "every pointer NULL, every length too long, and a panic in every function",
        needs: &[GCC, BINUTILS],
        included_in: None,
        run: capi::misuse,
    },
    Step {
        name: "c-sanitizers",
        about: "the tour, vectors and misuse under the address and undefined-behaviour sanitizers",
        needs: C_TESTS,
        included_in: None,
        run: capi::sanitizers,
    },
    Step {
        name: "c-valgrind",
        about: "memory and constant time under valgrind, with a control that must fail",
        needs: &[
            GCC,
            BINUTILS,
            PKG_CONFIG,
            JANSSON,
            Need::Program("valgrind", "valgrind"),
        ],
        included_in: None,
        run: capi::valgrind,
    },
    Step {
        name: "c-threads",
        about: "many threads on one keyring under ThreadSanitizer, with a control that must fail",
        needs: &[
            GCC,
            Need::Program("g++", "g++"),
            Need::Program("setarch", "util-linux"),
            Need::RustSource,
        ],
        included_in: None,
        run: capi::threads,
    },
    Step {
        name: "c-memory",
        about: "constant memory over ten million keys that are issued, checked and freed",
        needs: &[GCC, BINUTILS],
        included_in: None,
        run: capi::memory,
    },
    Step {
        name: "c-examples",
        about: "the C examples; curl calls the one that is an HTTP service",
        needs: &[
            GCC,
            BINUTILS,
            PKG_CONFIG,
            Need::Library("libmicrohttpd", "libmicrohttpd-dev"),
            Need::Library("sqlite3", "libsqlite3-dev"),
            Need::Program("curl", "curl"),
        ],
        included_in: None,
        run: capi::examples,
    },
    Step {
        name: "c-store",
        about: "the C store for SQLite: its rules, under the sanitizers and valgrind too",
        needs: &[
            GCC,
            BINUTILS,
            PKG_CONFIG,
            Need::Program("clang", "clang"),
            Need::Library("sqlite3", "libsqlite3-dev"),
            Need::Program("valgrind", "valgrind"),
            Need::Program("setarch", "util-linux"),
        ],
        included_in: None,
        run: capi::store,
    },
    Step {
        name: "one-database",
        about: "one SQLite file used by keystile and services in C, Go and Rust; prints how long each change takes to be in force elsewhere, and fails after 15 s",
        needs: &[
            GCC,
            BINUTILS,
            PKG_CONFIG,
            Need::Library("libmicrohttpd", "libmicrohttpd-dev"),
            Need::Library("sqlite3", "libsqlite3-dev"),
            Need::Program("curl", "curl"),
            Need::Go,
        ],
        included_in: None,
        run: capi::one_database,
    },
    Step {
        name: "c-package",
        about: "a separate project builds on the installed library, by pkg-config and CMake",
        needs: &[GCC, BINUTILS, PKG_CONFIG, Need::Program("cmake", "cmake")],
        included_in: None,
        run: capi::package,
    },
    Step {
        name: "c-abi",
        about: "the library exports what the header declares, and the ABI did not change",
        needs: &[GCC, BINUTILS, Need::Program("abidiff", "abigail-tools")],
        included_in: None,
        run: capi::compare,
    },
    Step {
        name: "go",
        about: "the Go module: its tests, the vectors, both stores, and a separate program",
        needs: &[Need::Go, GCC, BINUTILS, PKG_CONFIG, Need::Postgres],
        included_in: None,
        run: golang::tests,
    },
    Step {
        name: "fuzz",
        about: "each fuzz target is built, and runs for a few seconds",
        needs: &[Need::Cargo("fuzz", "cargo install --locked cargo-fuzz")],
        included_in: None,
        run: fuzz::run,
    },
    Step {
        name: "demo",
        about: "the tour of the book",
        needs: &[],
        included_in: None,
        run: |workspace| workspace.cargo("run --package keystile-cli -- demo"),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_valid_after_only() {
        for (index, step) in STEPS.iter().enumerate() {
            assert!(
                step.name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b == b'-')
            );
            assert!(!step.name.starts_with('-'));
            assert!(
                STEPS
                    .iter()
                    .skip(index + 1)
                    .all(|other| other.name != step.name)
            );
        }
    }

    #[test]
    fn a_step_is_included_in_an_earlier_one() {
        for (index, step) in STEPS.iter().enumerate() {
            let earlier = &STEPS[..index];
            assert!(
                step.included_in
                    .is_none_or(|name| earlier.iter().any(|other| other.name == name)),
                "{}",
                step.name
            );
        }
    }
}
