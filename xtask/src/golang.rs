//! The Go module: the library that it links, its tests, and what a release of it ships.

mod dist;

use std::fs;
use std::path::{Path, PathBuf};

use crate::capi;
use crate::house::{Done, House, output, run, succeeds};

pub(crate) use dist::{Archive, dist};

/// Where the module is.
const MODULE: &str = "bindings/go";
/// A module of its own, with routers that no user of the first one should have to list.
const ROUTERS: &str = "bindings/go/examples/routers";
/// The checker, by its own module, so that its needs are not the module's.
const STATICCHECK: &str = "honnef.co/go/tools/cmd/staticcheck@v0.8.2";
/// The targets of `go test -fuzz`, and how many inputs each is given.
const FUZZ: [&str; 4] = ["FuzzCredential", "FuzzParse", "FuzzRecord", "FuzzRules"];
const FUZZ_TIME: &str = "5000x";
/// What is run with garbage collected at each call, which takes a thousand times as long:
/// each function of the library is among it.
const COLLECTED: &str = "^(Example.*|TestNothingPrintsAKey|TestARecordIsFetchedOnce|TestVectors)$\
    /^(rotations|lookups|inspections|policies|times|digests)$";
/// What the build stops at where cgo is off.
const WITHOUT_CGO: &str = "keystile_needs_CGO_ENABLED_1_and_a_C_compiler";

/// Why the module cannot be tested here, or nothing where it can.
pub(crate) fn missing(house: &House) -> Option<String> {
    let found = succeeds(house.command("go").arg("version"));
    (!found).then(|| "`go` is not installed; see https://go.dev/dl (1.24 or later)".to_owned())
}

/// `cargo xtask go-lib`: puts what the module links, and what it copies, in its place.
pub(crate) fn library(house: &House) -> Done {
    copy_sources(house)?;
    link(house)
}

/// Puts the archive where the linker looks for it.
fn link(house: &House) -> Done {
    let archive = capi::archive(house)?;
    let place = house.path(MODULE).join("internal/capi/lib");
    copy(&archive, &place.join(platform()).join("libkeystile.a"))
}

/// Renews the files that the module has copies of, since a module holds all that it needs.
pub(crate) fn copy_sources(house: &House) -> Done {
    for (from, to) in copies(house)? {
        copy(&from, &to)?;
    }
    Ok(())
}

/// Fails where a copy is not that of its source.
fn are_copied(house: &House) -> Done {
    for (from, to) in copies(house)? {
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

/// Each file that the module has a copy of, and where that is.
fn copies(house: &House) -> Result<Vec<(PathBuf, PathBuf)>, String> {
    let module = house.path(MODULE);
    let mut copies = vec![(
        house.path("include/keystile.h"),
        module.join("internal/capi/include/keystile.h"),
    )];
    for kind in ["sqlite", "postgres"] {
        let from = house.path("adapters/store/migrations").join(kind);
        let to = module.join("keystilesql/migrations").join(kind);
        for file in listed(&from)? {
            copies.push((from.join(&file), to.join(&file)));
        }
    }
    Ok(copies)
}

/// All that holds the module.
pub(crate) fn tests(house: &House) -> Done {
    are_copied(house)?;
    link(house)?;
    house.cargo("build --quiet --package keystile-cli")?;
    let go = Go { house };
    go.is_formatted()?;
    for module in [MODULE, ROUTERS] {
        go.run(module, "vet ./...", &[])?;
        go.run(module, &format!("run {STATICCHECK} ./..."), &[])?;
    }
    let program = house.target_path("debug/keystile").display().to_string();
    let full = [
        ("KEYSTILE_PROGRAM", program.as_str()),
        ("KEYSTILE_REQUIRE_POSTGRES", "1"),
        ("KEYSTILE_REQUIRE_GO", "1"),
        ("GODEBUG", "cgocheck=1"),
    ];
    go.run(MODULE, "test -race ./...", &full)?;
    go.run(ROUTERS, "test ./...", &[])?;
    // What takes long, or looks at memory, without the race detector.
    let line = "test -run Million|Allocates|Suite . ./keystilesql";
    go.run(MODULE, line, &[])?;
    // With garbage collected at each call, and with each store of a pointer looked at.
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
    without_cgo(&go)?;
    with_pkg_config(&go)?;
    dist::is_usable(house)
}

/// `cargo xtask bench-go`: a warm allow beside the well-known recipe by hand.
pub(crate) fn bench(house: &House) -> Done {
    library(house)?;
    let line = "test -run - -bench Warm|Article|Clock -count 6 .";
    Go { house }.run(MODULE, line, &[])
}

/// Go, in a module of the house.
struct Go<'a> {
    house: &'a House,
}

impl Go<'_> {
    fn run(&self, module: &str, line: &str, environment: &[(&str, &str)]) -> Done {
        let mut go = self.house.command("go");
        let go = go.current_dir(self.house.path(module));
        let environment = environment.iter().copied();
        run(go.args(line.split_whitespace()).envs(environment))
    }

    fn is_formatted(&self) -> Done {
        let mut gofmt = self.house.command("gofmt");
        let unformatted = output(gofmt.args(["-l", MODULE]))?;
        if unformatted.is_empty() {
            return Ok(());
        }
        Err(format!("not formatted: {}", unformatted.replace('\n', " ")))
    }
}

/// The build stops, and says what to do.
fn without_cgo(go: &Go<'_>) -> Done {
    let mut command = go.house.command("go");
    let command = command.current_dir(go.house.path(MODULE));
    let built = command
        .args(["build", "."])
        .env("CGO_ENABLED", "0")
        .output();
    let built = built.map_err(|error| format!("`go build`: {error}"))?;
    let said = String::from_utf8_lossy(&built.stderr);
    if !built.status.success() && said.contains(&format!("undefined: {WITHOUT_CGO}")) {
        return Ok(());
    }
    Err(format!("without cgo, `go build` said: {said}"))
}

/// The library of the system, by the build tag.
fn with_pkg_config(go: &Go<'_>) -> Done {
    let prefix = go.house.target_path("go/prefix");
    capi::install(go.house, &prefix)?;
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

/// This machine, as Go names it.
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
    format!("{system}_{processor}")
}

/// Copies a file, and makes the folders that it goes to.
fn copy(from: &Path, to: &Path) -> Done {
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
