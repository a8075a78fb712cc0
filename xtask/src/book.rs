//! The README, the book in `docs/` and the other pages: they build, their links lead
//! somewhere, their wording is plain, and what they tell a reader to run does what they show.

mod build;
mod database;
mod expected;
mod links;
mod page;
mod quickstart;
mod shell;
mod transcript;
mod wording;

use crate::workspace::{TaskResult, Workspace, output};
use page::Page;

/// Builds the book, and checks the links and the wording of every page.
pub(crate) fn check(workspace: &Workspace) -> TaskResult {
    let pages = pages(workspace)?;
    let mut faults = links::faults(workspace, &pages);
    faults.extend(links::missing_from_summary(&pages));
    faults.extend(wording::faults(&pages));
    faults.extend(quickstart::unmarked(&pages));
    faults.extend(page::unknown_markers(&pages));
    println!("{} pages, {} faults", pages.len(), faults.len());
    for fault in &faults {
        println!("{fault}");
    }
    build::run_mdbook(workspace)?;
    match faults.first() {
        None => Ok(()),
        Some(first) => Err(format!("{} faults, the first is {first}", faults.len())),
    }
}

/// Runs the blocks of the pages that have some, and replays the terminal sessions of others.
pub(crate) fn quickstarts(workspace: &Workspace) -> TaskResult {
    workspace.cargo("build --package keystile-cli")?;
    let mut failed = Vec::new();
    for page in &pages(workspace)? {
        let mut result = Ok(());
        if quickstart::is_run(page) {
            result = quickstart::run(workspace, page);
        } else if transcript::is_replayed(page) {
            result = transcript::replay(workspace, page);
        }
        if let Err(reason) = result {
            println!("{}: {reason}", page.path);
            failed.push(page.path.clone());
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("failed: {}", failed.join(", ")))
    }
}

/// Every Markdown page under version control, and those that are new.
fn pages(workspace: &Workspace) -> Result<Vec<Page>, String> {
    let list = [
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "*.md",
    ];
    let paths = output(workspace.command("git").args(list))?;
    let mut pages = Vec::new();
    for path in paths.lines().filter(|path| workspace.path(path).exists()) {
        let text = std::fs::read_to_string(workspace.path(path))
            .map_err(|error| format!("{path}: {error}"))?;
        pages.push(Page::parse(path, text));
    }
    Ok(pages)
}
