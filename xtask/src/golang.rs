//! The Go module: the library that it links, its tests, and the files of a release.

mod dist;
mod vendor;

use std::fs;
use std::path::{Path, PathBuf};

use crate::capi;
use crate::tests_run::run_tests;
use crate::workspace::{TaskResult, Workspace, output, succeeds};

pub(crate) use dist::{Archive, dist};

/// The module's folder.
const MODULE: &str = "bindings/go";
/// A separate module, whose routers the main one must not make its users depend on.
const ROUTERS: &str = "bindings/go/examples/routers";
/// A separate module, so that the main one does not make its users depend on a client for Redis.
const REDIS: &str = "bindings/go/keystileredis";
/// The linter, run by its path, so that the module does not depend on it.
const STATICCHECK: &str = "honnef.co/go/tools/cmd/staticcheck@v0.8.2";
/// The targets of `go test -fuzz`, and the number of inputs for each.
const FUZZ: [&str; 4] = ["FuzzCredential", "FuzzParse", "FuzzRecord", "FuzzRules"];
const FUZZ_TIME: &str = "5000x";
/// The tests that run with a garbage collection at each call, which takes a thousand times as
/// long. Together they call each function of the library.
const COLLECTED: &str = "^(Example.*|TestNothingPrintsAKey|TestARecordIsFetchedOnce|\
    TestTheRecordBehindADecision|TestVectors)$\
    /^(rotations|lookups|inspections|policies|times|digests)$";
/// The undefined name that stops the build if cgo is off.
const WITHOUT_CGO: &str = "undefined: keystile_needs_CGO_ENABLED_1_and_a_C_compiler";
/// What stops the build if the archive is for another C library.
const FOR_ANOTHER_LIBC: &str = "keystile: the C library is glibc; build without the tag musl";

/// Why the module cannot be tested on this machine, or `None` if it can.
pub(crate) fn missing(workspace: &Workspace) -> Option<String> {
    let found = succeeds(workspace.command("go").arg("version"));
    (!found).then(|| "`go` is not installed; see https://go.dev/dl (1.24 or later)".to_owned())
}

/// `cargo xtask go-lib`: builds the library that the module links, and renews its copies.
pub(crate) fn library(workspace: &Workspace) -> TaskResult {
    copy_sources(workspace)?;
    link(workspace)
}

/// Builds the archive and copies it to where Go's linker looks for it.
pub(crate) fn link(workspace: &Workspace) -> TaskResult {
    let archive = capi::archive(workspace)?;
    let folder = workspace.path(MODULE).join("internal/capi");
    copy(
        &archive,
        &folder.join(format!("libkeystile_{}.a", platform())),
    )
}

/// Renews the module's copies of files: a Go module can contain only what is in its folder.
pub(crate) fn copy_sources(workspace: &Workspace) -> TaskResult {
    for (from, to) in copies(workspace)? {
        copy(&from, &to)?;
    }
    Ok(())
}

/// Fails if a copy differs from its source.
fn are_copied(workspace: &Workspace) -> TaskResult {
    for (from, to) in copies(workspace)? {
        let read = |path: &Path| fs::read(path).ok();
        if read(&from) != read(&to) {
            let to = to.display();
            return Err(format!(
                "{to} differs; run `cargo xtask go-lib`, and commit it"
            ));
        }
    }
    Ok(())
}

/// Each file that the module has a copy of, and the copy.
fn copies(workspace: &Workspace) -> Result<Vec<(PathBuf, PathBuf)>, String> {
    let module = workspace.path(MODULE);
    let mut copies = vec![
        (
            workspace.path("include/keystile.h"),
            module.join("internal/capi/keystile.h"),
        ),
        (
            workspace.path("adapters/redis/src/limits.lua"),
            workspace.path(REDIS).join("limits.lua"),
        ),
    ];
    for kind in ["sqlite", "postgres"] {
        let from = workspace.path("adapters/store/migrations").join(kind);
        let to = module.join("keystilesql/migrations").join(kind);
        for file in listed(&from)? {
            copies.push((from.join(&file), to.join(&file)));
        }
    }
    Ok(copies)
}

/// Runs every check of the module.
pub(crate) fn tests(workspace: &Workspace) -> TaskResult {
    are_copied(workspace)?;
    link(workspace)?;
    workspace.cargo("build --quiet --package keystile-cli")?;
    let go = Go { workspace };
    go.is_formatted()?;
    for module in [MODULE, ROUTERS, REDIS] {
        go.run(module, "vet ./...", &[])?;
        go.run(module, &format!("run {STATICCHECK} ./..."), &[])?;
    }
    let program = workspace
        .target_path("debug/keystile")
        .display()
        .to_string();
    let full = [
        ("KEYSTILE_PROGRAM", program.as_str()),
        ("KEYSTILE_REQUIRE_POSTGRES", "1"),
        ("KEYSTILE_REQUIRE_REDIS", "1"),
        ("KEYSTILE_REQUIRE_GO", "1"),
        ("GODEBUG", "cgocheck=1"),
    ];
    // SQLite in Go is C that was translated, which the race detector makes many times slower. It
    // is looked for in the module's own code and in the standard library.
    let race = "test -race -gcflags=modernc.org/...=-race=false -timeout 25m ./...";
    go.run(MODULE, race, &full)?;
    go.run(ROUTERS, "test ./...", &[])?;
    go.run(REDIS, "test -race ./...", &full)?;
    // Tests that take long or measure memory, without the race detector.
    let line = "test -timeout 25m -run Million|Allocates|Suite|TenThousand . ./keystilesql";
    go.run(MODULE, line, &[])?;
    // With a garbage collection at each call, then with a check of each pointer that is stored.
    go.run(
        MODULE,
        &format!("test -short -tags keystile_gc -run {COLLECTED} ."),
        &[],
    )?;
    go.run(MODULE, "test -short .", &[("GOEXPERIMENT", "cgocheck2")])?;
    for target in FUZZ {
        let line = format!("test -run - -fuzz ^{target}$ -fuzztime {FUZZ_TIME} .");
        go.run(MODULE, &line, &[])?;
    }
    refused_builds(&go)?;
    with_pkg_config(&go)?;
    vendor::checkout(workspace)?;
    vendor::release(workspace)
}

/// `cargo xtask bench-go`: a cached check, and the same check written by hand.
pub(crate) fn bench(workspace: &Workspace) -> TaskResult {
    library(workspace)?;
    let line = "test -run - -bench Warm|Recipe|Clock -count 6 .";
    Go { workspace }.run(MODULE, line, &[])
}

/// The Go command, for the modules of the workspace.
struct Go<'a> {
    workspace: &'a Workspace,
}

impl Go<'_> {
    fn run(&self, module: &str, line: &str, environment: &[(&str, &str)]) -> TaskResult {
        let mut go = self.workspace.command("go");
        let go = go.current_dir(self.workspace.path(module));
        let environment = environment.iter().copied();
        run_tests(go.args(line.split_whitespace()).envs(environment))
    }

    /// Checks that a build fails, and prints this.
    fn is_refused(&self, words: &[&str], cgo: &str, expected: &str) -> TaskResult {
        let mut command = self.workspace.command("go");
        let command = command.current_dir(self.workspace.path(MODULE));
        let built = command.args(words).env("CGO_ENABLED", cgo).output();
        let built = built.map_err(|error| format!("`go build`: {error}"))?;
        let errors = String::from_utf8_lossy(&built.stderr);
        if !built.status.success() && errors.contains(expected) {
            return Ok(());
        }
        let line = words.join(" ");
        Err(format!(
            "`go {line}` printed: {errors}; expected `{expected}`"
        ))
    }

    fn is_formatted(&self) -> TaskResult {
        let mut gofmt = self.workspace.command("gofmt");
        let unformatted = output(gofmt.args(["-l", MODULE]))?;
        if unformatted.is_empty() {
            return Ok(());
        }
        Err(format!("not formatted: {}", unformatted.replace('\n', " ")))
    }
}

/// Checks that builds that cannot work fail with an error that names what is needed.
fn refused_builds(go: &Go<'_>) -> TaskResult {
    let with_musl = cfg!(all(target_os = "linux", target_env = "gnu"));
    go.is_refused(&["build", "."], "0", WITHOUT_CGO)?;
    match with_musl {
        true => go.is_refused(&["build", "-tags", "musl", "."], "1", FOR_ANOTHER_LIBC),
        false => Ok(()),
    }
}

/// Tests the module with the build tag that links an installed library.
fn with_pkg_config(go: &Go<'_>) -> TaskResult {
    let prefix = go.workspace.target_path("go/prefix");
    capi::install(go.workspace, &capi::Places::new(&prefix, None, None)?)?;
    let lib = prefix.join("lib").display().to_string();
    let description = prefix.join("lib/pkgconfig").display().to_string();
    let environment = [
        ("PKG_CONFIG_PATH", description.as_str()),
        ("LD_LIBRARY_PATH", lib.as_str()),
    ];
    go.run(
        MODULE,
        "test -short -tags keystile_pkgconfig .",
        &environment,
    )
}

/// This machine's platform, in Go's words, with the C library if it is not the usual one.
fn platform() -> String {
    let system = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    let processor = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let library = match cfg!(target_env = "musl") {
        true => "_musl",
        false => "",
    };
    format!("{system}_{processor}{library}")
}

/// Copies a file, and creates the folders on the way.
fn copy(from: &Path, to: &Path) -> TaskResult {
    let folder = to.parent().unwrap_or(Path::new("."));
    let copied = fs::create_dir_all(folder).and_then(|()| fs::copy(from, to));
    copied
        .map(drop)
        .map_err(|error| format!("{}: {error}", to.display()))
}

/// The names of the files in a folder.
fn listed(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |error| format!("{}: {error}", folder.display());
    let entries = fs::read_dir(folder).map_err(failed)?;
    entries
        .map(|entry| entry.map(|entry| entry.file_name().into()).map_err(failed))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::platform;

    #[test]
    fn this_machine_is_named_as_go_names_it() {
        let name = platform();
        assert!(
            ["linux_", "darwin_"]
                .iter()
                .any(|system| name.starts_with(system))
                || !cfg!(any(target_os = "linux", target_os = "macos"))
        );
        assert!(!name.contains("x86"));
    }
}
