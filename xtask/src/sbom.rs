//! A bill of materials in the format CycloneDX 1.5: which crates a file is made of.
//!
//! It is written from the same list as the notices, so the two cannot differ. `cargo-cyclonedx`
//! describes a package of the workspace with its macros and build dependencies, and takes
//! minutes to compile.

use serde_json::{Value, json};

use crate::shipped::Crate;

/// The document for a list of crates, of which `root` is the one that was built.
///
/// It has neither a time nor a random serial number: the same source gives the same bytes.
///
/// # Errors
/// A sentence, if the list does not contain the root.
pub(crate) fn sbom(
    what: &str,
    root: &str,
    target: &str,
    rustc: &str,
    crates: &[Crate],
) -> Result<String, String> {
    let built = crates
        .iter()
        .find(|one| one.name == root)
        .ok_or_else(|| format!("expected `{root}` among its own crates"))?;
    let standard_library = json!({
        "type": "library",
        "bom-ref": "rust-std",
        "name": "std",
        "description": format!("The Rust standard library of {rustc}"),
        "version": rustc,
        "licenses": [{ "expression": "MIT OR Apache-2.0" }],
    });
    let components: Vec<Value> = crates
        .iter()
        .filter(|one| one.name != root)
        .map(component)
        .chain([standard_library])
        .collect();
    let mut dependencies: Vec<Value> = crates.iter().map(|one| depends(one, crates)).collect();
    dependencies.push(json!({ "ref": "rust-std", "dependsOn": [] }));
    let document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "library",
                "bom-ref": purl(built),
                "name": what,
                "version": built.version,
                "purl": purl(built),
                "licenses": [{ "expression": built.licence }],
                "properties": [{ "name": "keystile:target", "value": target }],
            },
        },
        "components": components,
        "dependencies": dependencies,
    });
    let text = serde_json::to_string_pretty(&document).map_err(|error| error.to_string())?;
    Ok(format!("{text}\n"))
}

fn component(one: &Crate) -> Value {
    // Some old packages separate licences by a slash, which SPDX has no more.
    let licence = one.licence.replace('/', " OR ");
    let hashes: Vec<Value> = one
        .checksum
        .iter()
        .map(|checksum| json!({ "alg": "SHA-256", "content": checksum }))
        .collect();
    json!({
        "type": "library",
        "bom-ref": purl(one),
        "name": one.name,
        "version": one.version,
        "purl": purl(one),
        "licenses": [{ "expression": licence }],
        "hashes": hashes,
    })
}

fn depends(one: &Crate, crates: &[Crate]) -> Value {
    let on: Vec<String> = crates
        .iter()
        .filter(|other| one.needs.contains(&other.id()))
        .map(purl)
        .collect();
    json!({ "ref": purl(one), "dependsOn": on })
}

fn purl(one: &Crate) -> String {
    format!("pkg:cargo/{}@{}", one.name, one.version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shipped;
    use crate::workspace::Workspace;

    const TARGET: &str = "x86_64-unknown-linux-gnu";

    #[test]
    fn it_lists_each_crate_once_with_its_checksum_and_what_it_needs() {
        let crates = shipped::crates(&Workspace::here(), "keystile-capi", TARGET).expect("crates");
        let text = sbom("libkeystile", "keystile-capi", TARGET, "1.0", &crates).expect("sbom");
        let document: Value = serde_json::from_str(&text).expect("JSON");
        let components = document["components"].as_array().expect("components");
        // The root is in the metadata, and the standard library has been added.
        assert_eq!(components.len(), crates.len());
        for one in crates.iter().filter(|one| !one.is_ours()) {
            let listed = components.iter().find(|other| other["purl"] == purl(one));
            let hash = &listed.expect("listed")["hashes"][0]["content"];
            assert_eq!(hash.as_str(), one.checksum.as_deref(), "{}", one.name);
        }
        let references: Vec<&Value> = components.iter().map(|one| &one["bom-ref"]).collect();
        for entry in document["dependencies"].as_array().expect("dependencies") {
            for needed in entry["dependsOn"].as_array().expect("a list") {
                assert!(references.contains(&needed), "{needed}");
            }
        }
        let error = sbom("it", "absent", TARGET, "1.0", &crates).expect_err("sbom");
        assert!(error.contains("`absent`"), "{error}");
    }
}
