//! Links inside the repository: the file exists, and so does the heading.

use std::path::{Component, Path, PathBuf};

use super::page::Page;
use crate::workspace::Workspace;

/// How pages of the book link to files outside it: mdBook copies only what is in `docs/`.
const REPOSITORY: [&str; 2] = [
    "https://github.com/keystile/keystile/blob/main/",
    "https://github.com/keystile/keystile/tree/main/",
];
const SUMMARY: &str = "docs/SUMMARY.md";

/// Each link that leads nowhere. Links to other sites are not followed.
pub(crate) fn faults(workspace: &Workspace, pages: &[Page]) -> Vec<String> {
    let mut faults = Vec::new();
    for page in pages {
        for link in &page.links {
            if let Err(reason) = check(workspace, pages, page, link) {
                faults.push(format!("{}: the link {link}: {reason}", page.path));
            }
        }
    }
    faults
}

/// Each page of the book that its table of contents leaves out.
pub(crate) fn missing_from_summary(pages: &[Page]) -> Vec<String> {
    let summary = pages.iter().find(|page| page.path == SUMMARY);
    let listed = summary.map_or(&[][..], |summary| &summary.links);
    pages
        .iter()
        .filter_map(|page| page.path.strip_prefix("docs/"))
        .filter(|path| *path != "SUMMARY.md" && !listed.iter().any(|link| link == path))
        .map(|path| format!("{SUMMARY}: expected a link to {path}"))
        .collect()
}

fn check(workspace: &Workspace, pages: &[Page], page: &Page, link: &str) -> Result<(), String> {
    let (file, anchor) = match link.split_once('#') {
        Some((file, anchor)) => (file, Some(anchor)),
        None => (link, None),
    };
    let in_repository = REPOSITORY
        .iter()
        .find_map(|prefix| file.strip_prefix(prefix));
    let is_elsewhere = link.contains("://") || link.starts_with("mailto:");
    let path = match in_repository {
        Some(path) => path.to_owned(),
        None if is_elsewhere => return Ok(()),
        None if file.is_empty() => page.path.clone(),
        None => resolved(&page.path, file)?,
    };
    let is_in_book = page.path.starts_with("docs/");
    if in_repository.is_none() && is_in_book && !path.starts_with("docs/") {
        return Err(format!(
            "outside the book; expected {}{path}",
            REPOSITORY[0]
        ));
    }
    if !workspace.path(&path).exists() {
        return Err(format!("{path} does not exist"));
    }
    let target = pages.iter().find(|target| target.path == path);
    match (anchor, target) {
        (Some(anchor), Some(target)) if !target.anchors.iter().any(|name| name == anchor) => {
            Err(format!("{path} has no such heading"))
        }
        _ => Ok(()),
    }
}

/// The path from the root that a relative link on a page means.
fn resolved(page: &str, file: &str) -> Result<String, String> {
    let folder = Path::new(page).parent().unwrap_or(Path::new(""));
    let mut path = PathBuf::new();
    for part in folder.join(file).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::ParentDir if path.pop() => {}
            _ => return Err("it leaves the repository".to_owned()),
        }
    }
    Ok(path.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(path: &str, text: &str) -> Page {
        Page::parse(path, text.to_owned())
    }

    fn faults_of(path: &str, text: &str) -> Vec<String> {
        let (page, other) = (page(path, text), page("README.md", "# One\n"));
        faults(&Workspace::here(), &[page, other])
    }

    #[test]
    fn links_that_lead_somewhere() {
        for link in [
            "README.md#one",
            "src",
            "https://example.com/nowhere",
            "https://github.com/keystile/keystile/blob/main/src/lib.rs",
        ] {
            let text = format!("# Here\n[x]({link}) and [y](#here)");
            assert_eq!(faults_of("CHANGELOG.md", &text), [""; 0], "{link}");
        }
    }

    #[test]
    fn links_that_lead_nowhere() {
        for (path, link) in [
            ("a.md", "none.md"),
            ("a.md", "README.md#two"),
            ("a.md", "#there"),
            ("a.md", "../x"),
            (
                "a.md",
                "https://github.com/keystile/keystile/blob/main/none.rs",
            ),
            // mdBook would not copy it.
            ("docs/a.md", "../README.md"),
        ] {
            let text = format!("# Here\n[x]({link})");
            assert_eq!(faults_of(path, &text).len(), 1, "{link}");
        }
    }

    #[test]
    fn each_page_of_the_book_is_in_its_table_of_contents() {
        let summary = page(SUMMARY, "[a](a.md)\n");
        let pages = [summary, page("docs/a.md", ""), page("docs/b.md", "")];
        let faults = missing_from_summary(&pages);
        assert_eq!(faults, ["docs/SUMMARY.md: expected a link to b.md"]);
    }
}
