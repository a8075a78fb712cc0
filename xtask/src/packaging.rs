//! The steps about what we ship: those that every run has, and those that take too long for it.

use crate::need::Need;
use crate::steps::Step;
use crate::workspace::{TaskResult, Workspace, run};
use crate::{archives, deb, reproducible};

const WORKFLOW: &str = ".github/workflows/release.yml";
/// It is run by its path, so that nothing has to be installed.
const ACTIONLINT: &str = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12";
const ZIG: Need = Need::Tool("cargo-zigbuild", "pip install cargo-zigbuild ziglang");
const GCC: Need = Need::Program("gcc", "gcc");
const BINUTILS: Need = Need::Program("objcopy", "binutils");
const PKG_CONFIG: Need = Need::Program("pkg-config", "pkg-config");
const MUSL_GCC: Need = Need::Program("musl-gcc", "musl-tools");
const MUSL: Need = Need::Target("x86_64-unknown-linux-musl");

/// Steps of an ordinary run.
pub(crate) const STEPS: &[Step] = &[
    Step {
        name: "c-musl",
        about: "the C example, linked with musl into one file",
        needs: &[MUSL, MUSL_GCC, BINUTILS],
        included_in: None,
        run: archives::check_musl,
    },
    Step {
        name: "deb",
        about: "the Debian packages are built, read by lintian, and installed where an overlay can be mounted",
        needs: &[
            GCC,
            BINUTILS,
            PKG_CONFIG,
            Need::Program("cmake", "cmake"),
            Need::Program("curl", "curl"),
            Need::Program("dpkg-shlibdeps", "dpkg-dev"),
            Need::Program("lintian", "lintian"),
            Need::Program("systemd-analyze", "systemd"),
        ],
        included_in: None,
        run: deb::check,
    },
    Step {
        name: "release-file",
        about: "the workflow of a release is valid",
        needs: &[Need::Go],
        included_in: None,
        run: release_file,
    },
];

/// Steps that run only if `--only` names them.
pub(crate) const NAMED: &[Step] = &[
    Step {
        name: "archives",
        about: "the archives for Linux, and the C examples with each; only if it is named",
        needs: &[
            ZIG,
            GCC,
            BINUTILS,
            PKG_CONFIG,
            MUSL_GCC,
            MUSL,
            Need::Target("aarch64-unknown-linux-gnu"),
            Need::Target("aarch64-unknown-linux-musl"),
            Need::Program("aarch64-linux-gnu-ld", "binutils-aarch64-linux-gnu"),
            Need::Program("qemu-aarch64", "qemu-user libc6-arm64-cross"),
        ],
        included_in: None,
        run: archives::check,
    },
    Step {
        name: "reproducible",
        about: "the library has the same bytes from two folders; only if it is named",
        needs: &[GCC, BINUTILS],
        included_in: None,
        run: reproducible::check,
    },
];

fn release_file(workspace: &Workspace) -> TaskResult {
    run(workspace
        .command("go")
        .args(["run", ACTIONLINT, "-color", WORKFLOW]))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::args::{self, Task};
    use crate::steps;

    fn names() -> Vec<&'static str> {
        let all = steps::STEPS.iter().chain(STEPS).chain(NAMED);
        all.map(|step| step.name).collect()
    }

    #[test]
    fn names_are_unique_among_all_steps() {
        let mut names = names();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn the_workflow_of_a_release_calls_tasks_that_exist() {
        let text = fs::read_to_string(Workspace::here().path(WORKFLOW)).expect("the workflow");
        let mut called = 0;
        for line in text.lines() {
            let Some((_, words)) = line.split_once("cargo xtask ") else {
                continue;
            };
            called += 1;
            let words = words.replace("${{ matrix.target }}", "macos-arm64");
            let parsed = args::parse(words.split_whitespace().map(str::to_owned), &names());
            assert!(
                !matches!(parsed, Ok(Task::Help) | Err(_)),
                "{line}: {parsed:?}"
            );
        }
        assert!(called >= 4, "{called}");
    }

    #[test]
    fn what_builds_a_release_is_named_by_its_exact_version() {
        let text = fs::read_to_string(Workspace::here().path(WORKFLOW)).expect("the workflow");
        let mut actions = 0;
        for line in text.lines() {
            let Some((_, action)) = line.split_once("uses: ") else {
                continue;
            };
            actions += 1;
            let commit = action
                .split_once('@')
                .and_then(|(_, rest)| rest.split(' ').next());
            let is_commit =
                |text: &str| text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            assert!(commit.is_some_and(is_commit), "{line}");
        }
        assert!(actions >= 5, "{actions}");
        for part in [
            "RUSTUP_TOOLCHAIN: \"1.",
            "--require-hashes --only-binary :all: -r packaging/zig.txt",
            "$GITHUB_REF_NAME == \"v${version##*[#@]}\"",
        ] {
            assert!(text.contains(part), "{part}");
        }
        for line in text.lines().filter(|line| line.contains("pip\" install")) {
            assert!(line.contains("--require-hashes"), "{line}");
        }
    }
}
