//! An empty PostgreSQL database for the pages that need one.

use core::time::Duration;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Instant;

use tempfile::TempDir;

use crate::postgres;

const START_TIME_MAX: Duration = Duration::from_secs(60);
const STOP_TIME_MAX: Duration = Duration::from_secs(10);
const USER: &str = "keystile";

/// A server on a socket in a temporary folder; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Database {
    folder: TempDir,
    server: Child,
}

impl Database {
    pub(crate) fn start() -> Result<Self, String> {
        let programs = postgres::programs().ok_or("PostgreSQL is not installed")?;
        let shown = |error| format!("PostgreSQL: {error}");
        let folder = tempfile::tempdir().map_err(shown)?;
        let owner = owner()?;
        if let Some((user, group)) = owner {
            chown(folder.path(), Some(user), Some(group)).map_err(shown)?;
        }
        let command = |program: &str| command(&programs, program, folder.path(), owner);
        let initdb = command("initdb")
            .args(["-D", "data", "-U", USER, "-A", "trust", "-E", "UTF8", "-N"])
            .output()
            .map_err(shown)?;
        if !initdb.status.success() {
            return Err(format!(
                "initdb: {}",
                String::from_utf8_lossy(&initdb.stderr)
            ));
        }
        let log = fs::File::create(folder.path().join("log")).map_err(shown)?;
        let server = command("postgres")
            .args([
                "-D",
                "data",
                "-c",
                "listen_addresses=",
                "-c",
                "fsync=off",
                "-k",
            ])
            .arg(folder.path())
            .stderr(log)
            .spawn()
            .map_err(shown)?;
        let database = Self { folder, server };
        let ready = || {
            let mut ask = Command::new(programs.join("pg_isready"));
            let ask = ask.args(["-q", "-h"]).arg(database.folder.path());
            ask.status().is_ok_and(|status| status.success())
        };
        let start = Instant::now();
        while !ready() {
            if start.elapsed() > START_TIME_MAX {
                return Err("PostgreSQL did not start".to_owned());
            }
            sleep(Duration::from_millis(20));
        }
        Ok(database)
    }

    /// For the variable `DATABASE_URL`.
    pub(crate) fn url(&self) -> String {
        let host = self.folder.path().to_string_lossy().replace('/', "%2F");
        format!("postgres://{USER}@{host}/postgres")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A server that is killed does not free its shared memory.
        let id = self.server.id().to_string();
        let _ = Command::new("kill").args(["-INT", &id]).status();
        let start = Instant::now();
        while start.elapsed() < STOP_TIME_MAX && matches!(self.server.try_wait(), Ok(None)) {
            sleep(Duration::from_millis(20));
        }
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// The server refuses to run as root: then it runs as the user whom its package made.
fn owner() -> Result<Option<(u32, u32)>, String> {
    let is_root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    if !is_root {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").map_err(|error| error.to_string())?;
    let found = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let is_server = fields.next()? == "postgres";
        let (user, group) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        is_server.then_some((user, group))
    });
    Ok(Some(found.ok_or(
        "root cannot run PostgreSQL, and there is no user postgres",
    )?))
}

fn command(programs: &Path, name: &str, folder: &Path, owner: Option<(u32, u32)>) -> Command {
    let program: PathBuf = programs.join(name);
    let mut command = Command::new(program);
    command
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    if let Some((user, group)) = owner {
        command.uid(user).gid(group);
    }
    command
}
