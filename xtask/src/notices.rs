//! The licences of what we ship beside our own code: each crate's, word for word.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::shipped::Crate;
use crate::workspace::TaskResult;

/// Names of files that contain a licence or a notice, in lower case and without what follows.
const LICENCE_FILES: [&str; 6] = [
    "license",
    "licence",
    "copying",
    "copyright",
    "notice",
    "unlicense",
];
/// A source may have such a name too.
const SOURCES: [&str; 4] = [".rs", ".c", ".h", ".py"];
/// Folders of a crate whose content is not linked.
const NOT_LINKED: [&str; 6] = ["tests", "test", "benches", "examples", "target", ".git"];
/// The standard library is linked too, and is not a package of the registry.
const STANDARD_LIBRARY: &str = "\
The Rust standard library: MIT OR Apache-2.0, copyright (c) The Rust Project contributors,
https://www.rust-lang.org. What it contains of other projects is under the same licences, except
LLVM's unwinder in archives for musl, which is under Apache-2.0 WITH LLVM-exception. The texts of
MIT and Apache-2.0 are below.";

/// The notices for a list of crates: a table of them, then each text once, with those it is of.
///
/// # Errors
/// A sentence that names the crate, if a crate has no file with its licence.
pub(crate) fn notices(what: &str, crates: &[Crate]) -> Result<String, String> {
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut table = String::new();
    for one in crates.iter().filter(|one| !one.is_ours()) {
        table.push_str(&format!("{}: {}", one.id(), one.licence));
        match one.repository.as_str() {
            "" => table.push('\n'),
            repository => table.push_str(&format!(", {repository}\n")),
        }
        let mut files = Vec::new();
        licence_files(&one.folder, "", &mut files)?;
        files.sort_unstable();
        if files.is_empty() {
            return Err(format!("{}: expected a file with its licence", one.id()));
        }
        for file in files {
            let path = one.folder.join(&file);
            let text = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            let text = String::from_utf8_lossy(&text).replace('\r', "");
            let owners = texts.entry(text.trim().to_owned()).or_default();
            owners.push(format!("{} ({file})", one.id()));
        }
    }
    let mut all: Vec<(Vec<String>, String)> =
        texts.into_iter().map(|(text, of)| (of, text)).collect();
    all.sort_unstable();
    let mut notices = format!(
        "{what} contains code of other projects. Each text below the list is the one that the\n\
         named crates are distributed with.\n\n{STANDARD_LIBRARY}\n\n{table}"
    );
    for (of, text) in all {
        let line = "-".repeat(78);
        notices.push_str(&format!("\n{line}\n{}\n{line}\n\n{text}\n", of.join("\n")));
    }
    Ok(notices)
}

/// Adds the files of a package that contain a licence, with their paths inside it: a crate may
/// contain code of other projects in folders below it.
fn licence_files(folder: &Path, inside: &str, names: &mut Vec<String>) -> TaskResult {
    let failed = |error| format!("{}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let lower = name.to_lowercase();
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() {
            if !NOT_LINKED.contains(&lower.as_str()) {
                licence_files(&entry.path(), &format!("{inside}{name}/"), names)?;
            }
        } else if LICENCE_FILES.iter().any(|start| lower.starts_with(start))
            && !SOURCES.iter().any(|end| lower.ends_with(end))
        {
            names.push(format!("{inside}{name}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shipped;
    use crate::workspace::Workspace;

    fn crate_in(folder: &Path) -> Crate {
        Crate {
            name: "one".to_owned(),
            version: "1.0.0".to_owned(),
            licence: "MIT".to_owned(),
            repository: String::new(),
            folder: folder.to_owned(),
            checksum: Some("ff".to_owned()),
            needs: Vec::new(),
        }
    }

    #[test]
    fn every_crate_of_the_library_is_there_with_a_text() {
        let target = "x86_64-unknown-linux-gnu";
        let crates = shipped::crates(&Workspace::here(), "keystile-capi", target).expect("crates");
        let notices = notices("libkeystile", &crates).expect("notices");
        let foreign: Vec<&Crate> = crates.iter().filter(|one| !one.is_ours()).collect();
        assert!(foreign.len() > 20, "{}", foreign.len());
        for one in foreign {
            let listed = format!("\n{}: {}", one.id(), one.licence);
            assert!(notices.contains(&listed), "{listed}");
            let text = format!("\n{} (", one.id());
            assert!(notices.contains(&text), "{text}");
        }
        // Word for word: subtle is the only one under BSD-3-Clause.
        assert!(notices.contains("Neither the name of the copyright holder nor the names of its"));
        assert!(!notices.contains("\nkeystile 0"));
    }

    #[test]
    fn code_that_a_crate_has_from_others_keeps_its_text() {
        let target = "x86_64-unknown-linux-gnu";
        let crates = shipped::crates(&Workspace::here(), "keystile-cli", target).expect("crates");
        let notices = notices("keystile", &crates).expect("notices");
        assert!(notices.contains("(third_party/fiat/LICENSE)"));
        assert!(notices.contains("the fiat-crypto authors"));

        let folder = tempfile::tempdir().expect("a folder");
        for inside in ["deep/er", "tests"] {
            let inside = folder.path().join(inside);
            fs::create_dir_all(&inside).expect("a folder");
            fs::write(inside.join("COPYING"), "terms").expect("a file");
            fs::write(inside.join("license.rs"), "source").expect("a file");
        }
        let mut files = Vec::new();
        licence_files(folder.path(), "", &mut files).expect("files");
        assert_eq!(files, ["deep/er/COPYING"]);
    }

    #[test]
    fn a_crate_without_a_licence_file_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let lacking = crate_in(folder.path());
        let error = notices("it", core::slice::from_ref(&lacking)).expect_err("notices");
        assert_eq!(error, "one 1.0.0: expected a file with its licence");
        fs::write(folder.path().join("LICENSE.md"), "terms\r\n").expect("a file");
        let notices = notices("it", &[lacking]).expect("notices");
        assert!(notices.contains("\none 1.0.0: MIT\n") && notices.ends_with("\n\nterms\n"));
    }
}
