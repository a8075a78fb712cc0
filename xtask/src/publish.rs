//! The packages as they would be published: what is in them, and that they build from it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::workspace::{TaskResult, Workspace, run as run_command};

/// Files that each package has a copy of: a package can contain only what is in its folder,
/// and a symbolic link is a plain text file in a checkout on Windows.
const LICENCES: [&str; 2] = ["LICENSE-APACHE", "LICENSE-MIT"];
/// The C header, and the folder of the package that has a copy of it.
const HEADER: (&str, &str) = ("include/keystile.h", "bindings/c");
/// What a registry shows of a package.
const METADATA: [&str; 5] = [
    "description",
    "license",
    "repository",
    "documentation",
    "readme",
];
/// The limits of crates.io on keywords and categories.
const KEYWORDS_MAX: usize = 5;
const KEYWORD_BYTES_MAX: usize = 20;
/// Folders that belong in a package. Tests do not: they read files of other packages.
const FOLDERS: [&str; 6] = [
    "src",
    "examples",
    "migrations",
    "gateways",
    "include",
    "cmake",
];

/// A member of the workspace that is published.
#[derive(Debug)]
struct Package {
    name: String,
    version: String,
    folder: PathBuf,
    metadata: Value,
}

/// Checks what is in each package, then builds each from its own archive, as `cargo publish`
/// does before it uploads one.
pub(crate) fn run(workspace: &Workspace) -> TaskResult {
    let (packages, others) = members(workspace)?;
    let mut faults = Vec::new();
    for (from, to) in copies(workspace, &packages) {
        let read = |path: &Path| fs::read(path).ok();
        if read(&from) != read(&to) {
            let to = to.display();
            faults.push(format!("{to} differs; run `cargo xtask header`"));
        }
    }
    for package in &packages {
        let name = &package.name;
        let line = format!("package --list --allow-dirty --package {name}");
        let files = workspace.cargo_output(&line)?;
        println!("{name}: {} files", files.lines().count());
        let wrong = unexpected_files(&files);
        let wrong = wrong.into_iter().chain(missing_metadata(&package.metadata));
        faults.extend(wrong.map(|fault| format!("{name}: {fault}")));
    }
    if !faults.is_empty() {
        return Err(faults.join("; "));
    }
    // `cargo publish --workspace --dry-run` does the same, but asks the registry which versions
    // are taken. `cargo package` without `--no-verify` compiles what a run before it left in
    // `CARGO_HOME` and in the target folder if the version is the same.
    let mut cargo = workspace.command("cargo");
    cargo.args(["package", "--workspace", "--allow-dirty", "--no-verify"]);
    for name in others {
        cargo.args(["--exclude", &name]);
    }
    run_command(cargo.env("CARGO_TARGET_DIR", workspace.target_path("")))?;
    build(workspace, &packages)
}

/// Compiles each package from its own archive and from those of the others: only this finds a
/// file that was left out, such as a migration.
fn build(workspace: &Workspace, packages: &[Package]) -> TaskResult {
    let folder = workspace.target_path("publish");
    let failed = |error| format!("{}: {error}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(failed)?;
    }
    fs::create_dir_all(&folder).map_err(failed)?;
    let mut manifest = "[workspace]\nresolver = \"3\"\nmembers = [\"*-*\"]\n\n\
                        [patch.crates-io]\n"
        .to_owned();
    for package in packages {
        let (name, version) = (&package.name, &package.version);
        let archive = workspace.target_path(&format!("package/{name}-{version}.crate"));
        let mut tar = workspace.command("tar");
        // The files of an archive all have the same old time, by which Cargo would take them for
        // those that it compiled before: `m` gives them the time of now.
        run_command(tar.arg("-xzmf").arg(archive).arg("-C").arg(&folder))?;
        manifest += &format!("{name} = {{ path = \"{name}-{version}\" }}\n");
    }
    fs::write(folder.join("Cargo.toml"), manifest).map_err(failed)?;
    let lock = "Cargo.lock";
    fs::copy(workspace.path(lock), folder.join(lock)).map_err(failed)?;
    // One at a time, so that no package has the features that another one asks for.
    for package in packages {
        let mut cargo = workspace.command("cargo");
        cargo
            .current_dir(&folder)
            .args(["check", "--package", &package.name]);
        run_command(cargo.env("CARGO_TARGET_DIR", workspace.target_path("")))?;
    }
    Ok(())
}

/// Renews the copies of files that packages contain.
pub(crate) fn copy_sources(workspace: &Workspace) -> TaskResult {
    let (packages, _) = members(workspace)?;
    for (from, to) in copies(workspace, &packages) {
        fs::copy(&from, &to).map_err(|error| format!("{}: {error}", to.display()))?;
    }
    Ok(())
}

/// The members that are published, and the names of those that are not.
fn members(workspace: &Workspace) -> Result<(Vec<Package>, Vec<String>), String> {
    let metadata = workspace.cargo_output("metadata --format-version 1 --no-deps")?;
    let metadata: Value =
        serde_json::from_str(&metadata).map_err(|error| format!("metadata: {error}"))?;
    let (mut packages, mut others) = (Vec::new(), Vec::new());
    let list = metadata.get("packages").and_then(Value::as_array);
    for member in list.into_iter().flatten() {
        let name = member["name"].as_str().unwrap_or_default().to_owned();
        let manifest = Path::new(member["manifest_path"].as_str().unwrap_or_default());
        // `publish = false` is an empty list of registries.
        if member["publish"].is_null() {
            packages.push(Package {
                name,
                version: member["version"].as_str().unwrap_or_default().to_owned(),
                folder: manifest.parent().unwrap_or(manifest).to_owned(),
                metadata: member.clone(),
            });
        } else {
            others.push(name);
        }
    }
    Ok((packages, others))
}

/// Each file that a package has a copy of, and the copy.
fn copies(workspace: &Workspace, packages: &[Package]) -> Vec<(PathBuf, PathBuf)> {
    let (header, folder) = HEADER;
    let mut copies = vec![(workspace.path(header), workspace.path(folder).join(header))];
    for package in packages {
        for licence in LICENCES {
            let (from, to) = (workspace.path(licence), package.folder.join(licence));
            if from != to {
                copies.push((from, to));
            }
        }
    }
    copies
}

/// What is wrong with the output of `cargo package --list`, a sentence each.
fn unexpected_files(list: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for file in LICENCES.iter().chain(&["README.md"]) {
        if !list.lines().any(|line| line == *file) {
            faults.push(format!("expected {file} in the package"));
        }
    }
    for file in list.lines() {
        // Cargo prints the separator of the platform.
        let folder = file.split_once(['/', '\\']).map(|(folder, _)| folder);
        if folder.is_some_and(|folder| !FOLDERS.contains(&folder)) {
            faults.push(format!("{file} does not belong in the package"));
        }
    }
    faults
}

/// What is wrong with the fields of a manifest that a registry shows, a sentence each.
fn missing_metadata(package: &Value) -> Vec<String> {
    let mut faults: Vec<String> = METADATA
        .iter()
        .filter(|field| {
            let value = package.get(field).and_then(Value::as_str);
            value.is_none_or(str::is_empty)
        })
        .map(|field| format!("expected `{field}` in the manifest"))
        .collect();
    for list in ["keywords", "categories"] {
        let words = package.get(list).and_then(Value::as_array);
        if !(1..=KEYWORDS_MAX).contains(&words.map_or(0, Vec::len)) {
            faults.push(format!("expected 1 to {KEYWORDS_MAX} {list}"));
        }
    }
    for word in package["keywords"].as_array().into_iter().flatten() {
        let word = word.as_str().unwrap_or_default();
        if word.len() > KEYWORD_BYTES_MAX {
            faults.push(format!(
                "expected the keyword {word} to have at most {KEYWORD_BYTES_MAX} characters"
            ));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_package_has_its_licences_and_nothing_of_other_folders() {
        let whole = "Cargo.toml\nLICENSE-APACHE\nLICENSE-MIT\nREADME.md\nsrc/lib.rs\n";
        assert!(unexpected_files(whole).is_empty());
        let without = whole
            .replace("LICENSE-MIT\n", "")
            .replace("README.md", "src/README.md");
        assert_eq!(
            unexpected_files(&without),
            [
                "expected LICENSE-MIT in the package",
                "expected README.md in the package"
            ]
        );
        let stray = format!("{whole}bindings/go/README.md\ntests\\it.rs\n");
        assert_eq!(
            unexpected_files(&stray),
            [
                "bindings/go/README.md does not belong in the package",
                "tests\\it.rs does not belong in the package"
            ]
        );
    }

    #[test]
    fn a_manifest_has_what_a_registry_shows() {
        let whole = json!({
            "description": "a", "license": "MIT", "repository": "b", "documentation": "c",
            "readme": "README.md", "keywords": ["api-key"], "categories": ["authentication"],
        });
        assert!(missing_metadata(&whole).is_empty());
        let mut without = whole.clone();
        without["documentation"] = Value::Null;
        without["readme"] = json!("");
        without["keywords"] = json!(["a", "b", "c", "d", "e", "a-very-long-keyword-indeed"]);
        without["categories"] = json!([]);
        assert_eq!(
            missing_metadata(&without),
            [
                "expected `documentation` in the manifest",
                "expected `readme` in the manifest",
                "expected 1 to 5 keywords",
                "expected 1 to 5 categories",
                "expected the keyword a-very-long-keyword-indeed to have at most 20 characters"
            ]
        );
    }
}
