//! Runs the blocks of a page as they are in the page, in an empty folder beside a checkout.

use core::time::Duration;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Instant;

use super::database::Database;
use super::expected::is_shown;
use super::page::{Block, Marker, Page};
use crate::workspace::{TaskResult, Workspace, run as run_command};

/// How long a page may take: it may compile a service with all its dependencies.
const PAGE_TIME_MAX: Duration = Duration::from_secs(15 * 60);
/// Printed between the output of two blocks.
const SEPARATOR: char = '\u{1e}';
/// Languages of the blocks that a reader types or copies into a file.
const TYPED: [&str; 12] = [
    "sh",
    "bash",
    "rust",
    "rs",
    "toml",
    "c",
    "go",
    "js",
    "javascript",
    "python",
    "py",
    "java",
];
/// A person starts a service and calls it some seconds later; a script has to wait. Status 7
/// of curl is a connection that was refused.
const CURL: &str = "#!/bin/sh
for attempt in $(seq 2000); do
    CURL \"$@\"
    status=$?
    [ $status -eq 7 ] || exit $status
    sleep 0.3
done
exit 7
";

/// Whether a page has blocks to run.
pub(crate) fn is_run(page: &Page) -> bool {
    page.blocks.iter().any(|block| block.marker == Marker::Run)
}

/// Each block of the README or of a quickstart that a reader types, and that no test runs.
pub(crate) fn unmarked(pages: &[Page]) -> Vec<String> {
    let mut faults = Vec::new();
    for page in pages {
        if page.path != "README.md" && !page.path.starts_with("docs/quickstart/") {
            continue;
        }
        for block in &page.blocks {
            if block.marker == Marker::None && TYPED.contains(&block.language.as_str()) {
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

/// Two checkouts on one machine may be tested at once.
fn name_of(workspace: &Workspace) -> String {
    let root = workspace.path("");
    root.to_string_lossy().trim_matches('/').to_owned()
}

fn prepare(workspace: &Workspace, folder: &Path) -> TaskResult {
    let shown = |error| format!("{}: {error}", folder.display());
    let (work, programs) = (folder.join("work"), folder.join("programs"));
    fs::create_dir_all(&work).map_err(shown)?;
    fs::create_dir_all(&programs).map_err(shown)?;
    symlink(workspace.path(""), work.join("keystile")).map_err(shown)?;
    let program = workspace.target_path("debug/keystile");
    symlink(program, programs.join("keystile")).map_err(shown)?;
    let curl = programs.join("curl");
    let real = find("curl").ok_or("curl is not installed")?;
    fs::write(&curl, CURL.replace("CURL", &real.to_string_lossy())).map_err(shown)?;
    fs::set_permissions(&curl, fs::Permissions::from_mode(0o755)).map_err(shown)
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut files = std::env::split_paths(&path).map(|folder| folder.join(program));
    files.find(|file| file.exists())
}

fn play(
    workspace: &Workspace,
    page: &Page,
    folder: &Path,
    database: Option<&Database>,
) -> TaskResult {
    let shown = |error| format!("{}: {error}", folder.display());
    let (work, log) = (folder.join("work"), folder.join("log"));
    let script = script(workspace, page);
    fs::write(folder.join("script"), script).map_err(shown)?;
    let output = fs::File::create(&log).map_err(shown)?;
    let errors = output.try_clone().map_err(shown)?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = [folder.join("programs")]
        .into_iter()
        .chain(std::env::split_paths(&path));
    let path = std::env::join_paths(path).map_err(|error| error.to_string())?;
    let mut bash = Command::new("bash");
    bash.arg(folder.join("script"))
        .current_dir(&work)
        .env("PATH", path)
        .env("CARGO_TARGET_DIR", workspace.target_path(""))
        .env_remove("KEYSTILE_STORE")
        .env_remove("KEYSTILE_PEPPER")
        .env_remove("KEYSTILE_KEY")
        .env_remove("DATABASE_URL")
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .process_group(0);
    if let Some(database) = database {
        bash.env("DATABASE_URL", database.url());
    }
    let mut bash = bash.spawn().map_err(shown)?;
    let start = Instant::now();
    let status = loop {
        match bash.try_wait().map_err(shown)? {
            Some(status) => break Some(status),
            None if start.elapsed() > PAGE_TIME_MAX => break None,
            None => sleep(Duration::from_millis(50)),
        }
    };
    // What the page started in the background is still running.
    let group = format!("-{}", bash.id());
    let _ = run_command(
        Command::new("kill")
            .args(["-KILL", "--", &group])
            .stderr(Stdio::null()),
    );
    let printed = fs::read(&log).map_err(shown)?;
    let printed = String::from_utf8_lossy(&printed).into_owned();
    let result = match status {
        None => Err(format!("it took more than {} s", PAGE_TIME_MAX.as_secs())),
        Some(status) if !status.success() => Err(format!("a command failed: {status}")),
        Some(_) => compare(page, &printed),
    };
    if result.is_err() {
        println!("{}", printed.replace(SEPARATOR, "--"));
    }
    result
}

/// All blocks in one script: variables and background processes live on between them.
fn script(workspace: &Workspace, page: &Page) -> String {
    let mut script = "set -euo pipefail\nexport LC_ALL=C.UTF-8\nkeystile_root=$PWD\n".to_owned();
    for block in &page.blocks {
        match &block.marker {
            Marker::File(path) => script.push_str(&written(workspace, path, block)),
            Marker::Run => {
                script.push_str(&format!("printf '{SEPARATOR}'\n{}\n", block.text));
            }
            Marker::None | Marker::Prints | Marker::NotRun => {}
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
        let text = "```sh\ntrue\n```\n```text\nx\n```\n<!-- run -->\n```sh\ntrue\n```\n";
        assert_eq!(unmarked(&[page("README.md", text)]).len(), 1);
    }
}
