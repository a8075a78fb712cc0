//! The table of steps: what `cargo xtask test` runs, in order.

use crate::house::{Done, House, run, succeeds};
use crate::{capi, dependencies, fuzz, golang, no_std, postgres, serve};

/// One check: where a need is missing it is skipped, and the report says so.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) needs: &'static [Need],
    pub(crate) run: fn(&House) -> Done,
}

/// Something that a machine may lack.
#[derive(Debug)]
pub(crate) enum Need {
    /// A subcommand of Cargo, and how to install it.
    Cargo(&'static str, &'static str),
    /// A program that says its version, and the Debian package that holds it.
    Program(&'static str, &'static str),
    /// The programs of PostgreSQL's server, in the search path or where Debian puts them.
    Postgres,
    /// A gateway, in the search path or where Debian puts what only root is to start, and
    /// the package that holds it.
    Gateway(&'static str, &'static str),
    /// A program that says its version, and how to install it.
    Tool(&'static str, &'static str),
    /// A C library that pkg-config knows, and the Debian package that holds it.
    Library(&'static str, &'static str),
    /// The source of the standard library.
    RustSource,
    /// The Go toolchain.
    Go,
}

impl Need {
    /// Why the need is not met, or nothing where it is.
    pub(crate) fn missing(&self, house: &House) -> Option<String> {
        match self {
            Self::Cargo(subcommand, install) => {
                let found = succeeds(house.command("cargo").args([subcommand, "--version"]));
                (!found).then(|| format!("`cargo {subcommand}` is not installed; try `{install}`"))
            }
            Self::Program(program, package) => {
                let found = succeeds(house.command(program).arg("--version"));
                (!found)
                    .then(|| format!("`{program}` is not installed; try `apt install {package}`"))
            }
            Self::Postgres => postgres::missing(),
            Self::Gateway(program, package) => serve::without(program, package),
            Self::Tool(program, install) => {
                let found = succeeds(house.command(program).arg("--version"));
                (!found).then(|| format!("`{program}` is not installed; try `{install}`"))
            }
            Self::Library(library, package) => {
                let found = succeeds(house.command("pkg-config").args(["--exists", library]));
                (!found).then(|| format!("{library} is not installed; try `apt install {package}`"))
            }
            Self::RustSource => capi::without_source(house),
            Self::Go => golang::missing(house),
        }
    }
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
        run: |house| house.cargo("fmt --all --check"),
    },
    Step {
        name: "clippy",
        about: "no lint speaks up",
        needs: &[Need::Cargo("clippy", "rustup component add clippy")],
        run: |house| house.cargo("clippy --workspace --all-targets --all-features -- -D warnings"),
    },
    Step {
        name: "tests",
        about: "unit and integration tests, examples built, each bench tried once",
        needs: &[],
        run: |house| house.cargo("test --workspace --all-features --all-targets --no-fail-fast"),
    },
    Step {
        name: "tests-no-default",
        about: "the core's tests without its default features",
        needs: &[],
        run: |house| house.cargo("test --package keystile --no-default-features --lib --tests"),
    },
    Step {
        name: "postgres",
        about: "the store and the program on a PostgreSQL server, killed 50 times",
        needs: &[Need::Postgres],
        run: postgres::tests,
    },
    Step {
        name: "gateways",
        about: "keystile serve behind a real nginx and Caddy, and what reaches the service",
        needs: &[
            Need::Gateway("nginx", "nginx-light"),
            Need::Gateway("caddy", "caddy"),
        ],
        run: serve::gateways,
    },
    Step {
        name: "schemathesis",
        about: "keystile serve answers as its OpenAPI document says",
        needs: &[Need::Tool("schemathesis", "pipx install schemathesis")],
        run: serve::schemathesis,
    },
    Step {
        name: "vectors",
        about: "the second implementation still derives the shared vectors",
        needs: &[Need::Program("python3", "python3")],
        run: |house| {
            let derive = ["tests/vectors/derive/derive.py", "--check"];
            run(house.command("python3").args(derive))
        },
    },
    Step {
        name: "loom",
        about: "every order in which two threads can meet in the keyring",
        needs: &[],
        run: |house| {
            let line = "test --package keystile --features keyring --release --test keyring_loom";
            let mut command = house.command("cargo");
            // A folder of its own: other flags would have all be built anew, here and there.
            let command = command
                .args(line.split_whitespace())
                .env("CARGO_TARGET_DIR", house.target_path("loom"))
                .env("CARGO_PROFILE_RELEASE_LTO", "off")
                .env("RUSTFLAGS", "--cfg keystile_loom");
            run(command)
        },
    },
    Step {
        name: "doc-tests",
        about: "the examples in the documentation",
        needs: &[],
        run: |house| house.cargo("test --workspace --all-features --doc"),
    },
    Step {
        name: "docs",
        about: "the documentation builds without a warning",
        needs: &[],
        run: |house| {
            let line = "doc --workspace --all-features --no-deps";
            let mut command = house.command("cargo");
            run(command
                .args(line.split_whitespace())
                .env("RUSTDOCFLAGS", "-D warnings"))
        },
    },
    Step {
        name: "no-std",
        about: "the core without the standard library",
        needs: &[],
        run: no_std::run,
    },
    Step {
        name: "dependencies",
        about: "the core stays small and compiles no C",
        needs: &[],
        run: dependencies::run,
    },
    Step {
        name: "c-tests",
        about: "the C ABI from C99 and C++11: a tour, and every shared vector",
        needs: C_TESTS,
        run: capi::tests,
    },
    Step {
        name: "c-misuse",
        about: "every pointer NULL, every length too long, a panic in every function",
        needs: &[GCC, BINUTILS],
        run: capi::misuse,
    },
    Step {
        name: "c-sanitizers",
        about: "the same under the address and undefined-behaviour sanitizers",
        needs: C_TESTS,
        run: capi::sanitizers,
    },
    Step {
        name: "c-valgrind",
        about: "memory and constant time under valgrind, with a leaky control",
        needs: &[
            GCC,
            BINUTILS,
            PKG_CONFIG,
            JANSSON,
            Need::Program("valgrind", "valgrind"),
        ],
        run: capi::valgrind,
    },
    Step {
        name: "c-threads",
        about: "many threads on one keyring under ThreadSanitizer, with a racy control",
        needs: &[
            GCC,
            Need::Program("g++", "g++"),
            Need::Program("setarch", "util-linux"),
            Need::RustSource,
        ],
        run: capi::threads,
    },
    Step {
        name: "c-memory",
        about: "ten million keys made, judged and freed in flat memory",
        needs: &[GCC, BINUTILS],
        run: capi::memory,
    },
    Step {
        name: "c-examples",
        about: "the C examples, the HTTP service asked by curl",
        needs: &[
            GCC,
            BINUTILS,
            PKG_CONFIG,
            Need::Library("libmicrohttpd", "libmicrohttpd-dev"),
            Need::Library("sqlite3", "libsqlite3-dev"),
            Need::Program("curl", "curl"),
        ],
        run: capi::examples,
    },
    Step {
        name: "c-package",
        about: "an outside project builds on what was installed, in every way",
        needs: &[GCC, BINUTILS, PKG_CONFIG, Need::Program("cmake", "cmake")],
        run: capi::package,
    },
    Step {
        name: "c-abi",
        about: "the exports are those of the header, and the ABI is as it was",
        needs: &[GCC, BINUTILS, Need::Program("abidiff", "abigail-tools")],
        run: capi::compare,
    },
    Step {
        name: "go",
        about: "the Go module: its tests, the vectors, both stores, and a program outside",
        needs: &[Need::Go, GCC, BINUTILS, PKG_CONFIG, Need::Postgres],
        run: golang::tests,
    },
    Step {
        name: "fuzz",
        about: "each fuzz target is built and runs for a few seconds",
        needs: &[Need::Cargo("fuzz", "cargo install --locked cargo-fuzz")],
        run: fuzz::run,
    },
    Step {
        name: "demo",
        about: "the walk-through of the README",
        needs: &[],
        run: |house| house.cargo("run --package keystile-cli -- demo"),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_can_be_typed_after_only() {
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
    fn a_missing_subcommand_is_named_with_its_cure() {
        let need = Need::Cargo("no-such-subcommand", "cargo install it");
        let reason = need.missing(&House::here()).expect("found");
        assert_eq!(
            reason,
            "`cargo no-such-subcommand` is not installed; try `cargo install it`"
        );
    }
}
