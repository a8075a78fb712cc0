//! The crates whose code is in a file that we ship: what notices and bills of materials list.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use crate::workspace::{Workspace, output};

/// A crate that is linked, from Cargo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Crate {
    pub(crate) name: String,
    pub(crate) version: String,
    /// An SPDX expression.
    pub(crate) licence: String,
    pub(crate) repository: String,
    /// The folder of its source.
    pub(crate) folder: PathBuf,
    /// The SHA-256 of the package in the registry; none for crates of this workspace.
    pub(crate) checksum: Option<String>,
    /// What it depends on, of the crates that are shipped, as `name version`.
    pub(crate) needs: Vec<String>,
}

impl Crate {
    /// Name and version, which are unique in a list.
    pub(crate) fn id(&self) -> String {
        format!("{} {}", self.name, self.version)
    }

    /// Whether it is one of ours.
    pub(crate) fn is_ours(&self) -> bool {
        self.checksum.is_none()
    }
}

/// The crates that are linked into what a package builds for a target, in order of their names.
/// Macros and build scripts run only while it is built, so they are not among them.
///
/// # Errors
/// A sentence, if Cargo fails or a crate has no licence.
pub(crate) fn crates(
    workspace: &Workspace,
    package: &str,
    target: &str,
) -> Result<Vec<Crate>, String> {
    let mut tree = workspace.command("cargo");
    tree.args(["tree", "--locked", "--prefix", "none", "--no-dedupe"])
        .args(["--edges", "normal,no-proc-macro"])
        .args(["--package", package, "--target", target]);
    let tree = output(&mut tree)?;
    let mut ids: Vec<(&str, &str)> = tree
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?, words.next()?.trim_start_matches('v')))
        })
        .collect();
    ids.sort_unstable();
    ids.dedup();
    let metadata = workspace.cargo_output("metadata --locked --format-version 1 --all-features")?;
    let metadata: Value =
        serde_json::from_str(&metadata).map_err(|error| format!("cargo metadata: {error}"))?;
    let checksums = checksums(workspace)?;
    let find = |(name, version): &(&str, &str)| {
        described(&metadata, name, version, &ids)
            .map(|described| Crate {
                checksum: checksums.get(&described.id()).cloned(),
                ..described
            })
            .ok_or_else(|| format!("{name} {version}: expected a licence and a manifest"))
    };
    ids.iter().map(find).collect()
}

/// The crate of this name and version, if its package names a licence.
fn described(
    metadata: &Value,
    name: &str,
    version: &str,
    shipped: &[(&str, &str)],
) -> Option<Crate> {
    let package = metadata["packages"]
        .as_array()?
        .iter()
        .find(|package| package["name"] == name && package["version"] == version)?;
    let text = |field: &str| {
        package
            .get(field)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let manifest = PathBuf::from(text("manifest_path")?);
    Some(Crate {
        name: name.to_owned(),
        version: version.to_owned(),
        licence: text("license")?,
        repository: text("repository").unwrap_or_default(),
        folder: manifest.parent()?.to_owned(),
        checksum: None,
        needs: needs(metadata, &package["id"], shipped),
    })
}

/// What a package depends on when it runs.
fn needs(metadata: &Value, id: &Value, shipped: &[(&str, &str)]) -> Vec<String> {
    let list = |value: Option<&Value>| {
        let items = value.and_then(Value::as_array);
        items.cloned().unwrap_or_default()
    };
    let nodes = list(metadata.pointer("/resolve/nodes"));
    let packages = list(metadata.get("packages"));
    let node = nodes.iter().find(|node| node["id"] == *id);
    let mut needs: Vec<String> = node
        .map(|node| list(node.get("deps")))
        .unwrap_or_default()
        .iter()
        .filter(|needed| {
            let kinds = list(needed.get("dep_kinds"));
            kinds.iter().any(|kind| kind["kind"].is_null())
        })
        .filter_map(|needed| packages.iter().find(|other| other["id"] == needed["pkg"]))
        .filter_map(|other| Some((other["name"].as_str()?, other["version"].as_str()?)))
        .filter(|other| shipped.contains(other))
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    needs.sort_unstable();
    needs.dedup();
    needs
}

/// The checksums of `Cargo.lock`, by `name version`.
fn checksums(workspace: &Workspace) -> Result<BTreeMap<String, String>, String> {
    let path = workspace.path("Cargo.lock");
    let lock =
        std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(locked(&lock))
}

fn locked(lock: &str) -> BTreeMap<String, String> {
    let entry = |block: &str| {
        let value = |field: &str| {
            let line = block
                .lines()
                .find_map(|line| line.strip_prefix(field)?.strip_prefix(" = "));
            line.map(|value| value.trim_matches('"').to_owned())
        };
        let id = format!("{} {}", value("name")?, value("version")?);
        Some((id, value("checksum")?))
    };
    lock.split("[[package]]").filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: &str = "x86_64-unknown-linux-gnu";

    #[test]
    fn the_library_contains_what_it_calls_and_no_macro() {
        let crates = crates(&Workspace::here(), "keystile-capi", TARGET).expect("crates");
        let has = |name: &str| crates.iter().find(|one| one.name == name);
        let capi = has("keystile-capi").expect("the library itself");
        assert!(capi.is_ours());
        assert!(capi.needs.iter().any(|id| id.starts_with("keystile ")));
        let sha2 = has("sha2").expect("sha2");
        assert_eq!(sha2.checksum.as_deref().map(str::len), Some(64));
        assert!(sha2.needs.iter().any(|id| id.starts_with("digest ")));
        assert!(sha2.folder.join("Cargo.toml").exists());
        // Neither a macro nor a tool of the tests is shipped.
        for absent in ["syn", "serde_derive", "cbindgen", "proptest"] {
            assert!(has(absent).is_none(), "{absent}");
        }
        let ids: Vec<String> = crates.iter().map(Crate::id).collect();
        let named = |id: &String| ids.contains(id);
        assert!(crates.iter().flat_map(|one| &one.needs).all(named));
    }

    #[test]
    fn a_package_that_does_not_exist_is_an_error() {
        let error = crates(&Workspace::here(), "no-such-package", TARGET).expect_err("crates");
        assert!(error.contains("tree"), "{error}");
    }

    #[test]
    fn only_packages_of_a_registry_have_a_checksum() {
        let lock = "[[package]]\nname = \"a\"\nversion = \"1\"\n\n[[package]]\nname = \"b\"\n\
                    version = \"2\"\nsource = \"r\"\nchecksum = \"ff\"\n";
        let expected = [("b 2".to_owned(), "ff".to_owned())];
        assert_eq!(locked(lock), expected.into_iter().collect());
    }
}
