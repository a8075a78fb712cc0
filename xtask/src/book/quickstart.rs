//! Runs the blocks of a page as they are in the page, in an empty folder beside a checkout.

use core::time::Duration;
use std::fs::{self, DirBuilder};
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::Path;

use super::database::Database;
use super::expected::is_shown;
use super::page::{Block, Marker, Page};
use super::shell::Script;
use crate::workspace::{TaskResult, Workspace};

/// How long a page may take: it may compile a service with all its dependencies.
const PAGE_TIME_MAX: Duration = Duration::from_secs(15 * 60);
/// Printed between the output of two blocks.
const SEPARATOR: char = '\u{1e}';
/// Languages of blocks that a reader only reads.
const SHOWN: [&str; 4] = ["console", "http", "json", "text"];

/// Whether a page has blocks to run.
pub(crate) fn is_run(page: &Page) -> bool {
    page.blocks.iter().any(|block| block.marker == Marker::Run)
}

/// Each block of the README or of a page with blocks to run that a reader types or copies, and
/// that no test runs.
pub(crate) fn unmarked(pages: &[Page]) -> Vec<String> {
    let mut faults = Vec::new();
    for page in pages {
        if !is_run(page) && !page.path.starts_with("docs/quickstart/") {
            continue;
        }
        for block in &page.blocks {
            if block.marker == Marker::None && !SHOWN.contains(&block.language.as_str()) {
                let (path, line) = (&page.path, block.line);
                faults.push(format!(
                    "{path}:{line}: expected `<!-- run -->` or `<!-- file: … -->`"
                ));
            }
        }
    }
    faults
}

/// Runs a page. The folder has the same path each time, so that Cargo builds only once what
/// does not change.
pub(crate) fn run(workspace: &Workspace, page: &Page) -> TaskResult {
    println!("\n-- {}", page.path);
    let name = format!("keystile-{}-{}", name_of(workspace), page.path);
    let folder = std::env::temp_dir().join(name.replace(['/', '.'], "-"));
    // Files of a run that was interrupted.
    let _ = fs::remove_dir_all(&folder);
    let result = prepare(workspace, &folder).and_then(|()| {
        are_free(page)?;
        let database = page
            .text
            .contains("DATABASE_URL")
            .then(Database::start)
            .transpose()?;
        play(workspace, page, &folder, database.as_ref())
    });
    let _ = fs::remove_dir_all(&folder);
    result
}

/// The ports that a page names. If another program has one, the page would ask that program.
fn are_free(page: &Page) -> TaskResult {
    for host in ["127.0.0.1:", "localhost:"] {
        for rest in page.text.split(host).skip(1) {
            let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
            let Ok(port) = port.parse::<u16>() else {
                continue;
            };
            TcpListener::bind(("127.0.0.1", port))
                .map_err(|error| format!("the page needs the port {port}: {error}"))?;
        }
    }
    Ok(())
}

/// Two checkouts on one machine may be tested at once.
fn name_of(workspace: &Workspace) -> String {
    let root = workspace.path("");
    root.to_string_lossy().trim_matches('/').to_owned()
}

fn prepare(workspace: &Workspace, folder: &Path) -> TaskResult {
    let shown = |error| format!("{}: {error}", folder.display());
    // Its name is known to everyone on the machine, so no one else may have made it.
    let mut private = DirBuilder::new();
    private.mode(0o700);
    private.create(folder).map_err(shown)?;
    let (work, programs) = (folder.join("work"), folder.join("programs"));
    private.create(&work).map_err(shown)?;
    private.create(&programs).map_err(shown)?;
    symlink(workspace.path(""), work.join("keystile")).map_err(shown)?;
    let program = workspace.target_path("debug/keystile");
    symlink(program, programs.join("keystile")).map_err(shown)
}

fn play(
    workspace: &Workspace,
    page: &Page,
    folder: &Path,
    database: Option<&Database>,
) -> TaskResult {
    let target = workspace.target_path("").to_string_lossy().into_owned();
    let mut variables = vec![("CARGO_TARGET_DIR", target)];
    variables.extend(database.map(|database| ("DATABASE_URL", database.url())));
    let script = Script {
        text: &script(workspace, page),
        folder: &folder.join("work"),
        programs: folder.join("programs"),
        variables,
        time_max: PAGE_TIME_MAX,
        log: folder.join("log"),
    };
    let (status, printed) = script.run()?;
    let result = if status.success() {
        compare(page, &printed)
    } else {
        Err(format!("a command failed: {status}"))
    };
    if result.is_err() {
        println!("{}", printed.replace(SEPARATOR, "--"));
    }
    result
}

/// All blocks in one script: variables and background processes live on between them.
fn script(workspace: &Workspace, page: &Page) -> String {
    let mut script = "set -euo pipefail\nkeystile_root=$PWD\n".to_owned();
    for block in &page.blocks {
        match &block.marker {
            Marker::File(path) => script.push_str(&written(workspace, path, block)),
            Marker::Run => {
                script.push_str(&format!("printf '{SEPARATOR}'\n{}\n", block.text));
            }
            _ => {}
        }
    }
    script
}

/// Writes a file, from the folder that the page began in.
fn written(workspace: &Workspace, path: &str, block: &Block) -> String {
    let mut text = format!(
        "mkdir -p \"$(dirname \"$keystile_root/{path}\")\"\n\
         cat > \"$keystile_root/{path}\" <<'end of the block'\n{}end of the block\n",
        block.text
    );
    if path.ends_with("Cargo.toml") {
        // The versions that the other tests use: they are compiled already.
        let lock = workspace.path("Cargo.lock");
        let lock = lock.display();
        text.push_str(&format!(
            "cp \"{lock}\" \"$(dirname \"$keystile_root/{path}\")\"\n"
        ));
    }
    text
}

/// Compares what each block printed with what the page shows after it.
fn compare(page: &Page, printed: &str) -> TaskResult {
    let mut outputs = printed.split(SEPARATOR);
    let mut last = outputs.next().unwrap_or_default();
    for block in &page.blocks {
        match block.marker {
            Marker::Run => last = outputs.next().unwrap_or_default(),
            Marker::Prints if !is_shown(&block.text, last) => {
                let (line, shown) = (block.line, &block.text);
                return Err(format!("line {line}: expected\n{shown}and found\n{last}"));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pages of the same name use the same folder: each test has its own.
    fn page(name: &str, text: &str) -> Page {
        Page::parse(name, text.to_owned())
    }

    #[test]
    fn a_page_that_does_what_it_shows() {
        let text = "<!-- file: a/b -->\n```text\n$HOME\n```\n<!-- run -->\n```sh\nX=1; cat a/b\n```\n\
            <!-- prints -->\n```text\n$HOME\n```\n<!-- run -->\n```sh\nsleep 100 & echo $X two\n```\n\
            <!-- prints -->\n```text\n1 …\n```\n";
        assert_eq!(run(&Workspace::here(), &page("does", text)), Ok(()));
    }

    #[test]
    fn a_page_that_does_not() {
        let differs = "<!-- run -->\n```sh\necho 1\n```\n<!-- prints -->\n```text\n2\n```\n";
        let fails = "<!-- run -->\n```sh\nfalse\necho 1\n```\n";
        for text in [differs, fails] {
            assert!(
                run(&Workspace::here(), &page("does not", text)).is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn a_block_without_a_marker_is_a_fault() {
        let text = "```mjs\ntrue\n```\n```text\nx\n```\n<!-- run -->\n```sh\ntrue\n```\n";
        assert_eq!(unmarked(&[page("README.md", text)]).len(), 1);
    }

    #[test]
    fn a_port_that_is_in_use_is_named() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = other.local_addr().unwrap().port();
        let page = page("port", &format!("curl http://127.0.0.1:{port}/"));
        assert!(are_free(&page).unwrap_err().contains(&port.to_string()));
        drop(other);
        assert_eq!(are_free(&page), Ok(()));
    }
}
