//! mdBook builds the book.

use crate::workspace::{TaskResult, Workspace, run};

/// It fails if the table of contents names a page that does not exist.
pub(crate) fn run_mdbook(workspace: &Workspace) -> TaskResult {
    let target = workspace.target_path("book");
    let mut mdbook = workspace.command("mdbook");
    run(mdbook.args(["build", "docs", "--dest-dir"]).arg(target))
}
