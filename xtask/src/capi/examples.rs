//! The C examples: they are compiled and run, and the service is called over HTTP.

use core::time::Duration;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::Instant;

use super::Bench;
use super::library::Library;
use crate::workspace::{TaskResult, Workspace, output, run as run_command};

const EXAMPLES: &str = "../../examples";
/// A change by another process is in force within about a second; under any load within this.
const CAP: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(50);

/// Runs every example, and compares its output with what is expected.
pub(crate) fn run(workspace: &Workspace) -> TaskResult {
    let bench = Bench::new(workspace, Library::release(workspace)?)?;
    issue_then_verify(&bench)?;
    issue_then_check(&bench)?;
    says(
        workspace,
        &example(&bench, "issue_and_verify", &[])?,
        &[
            "to read: ok",
            "to write: permission_missing",
            "HTTP 403 {",
            "cut off: invalid_key",
        ],
    )?;
    says(
        workspace,
        &example(&bench, "rotate", &[])?,
        &[
            "due on day 83: a rotation",
            "on day 84: the old key ok, the new key ok",
            "the new key ok",
        ],
    )?;
    says(
        workspace,
        &example(&bench, "change", &[])?,
        &[
            "owner: \"tenant-1\" -> \"\"",
            "permissions: \"\" -> \"read, write\"",
            "remaining_uses: \"5\" -> \"1000\"",
            "again: state",
        ],
    )?;
    let program = service(&bench)?;
    let database = bench.folder.join("service.db");
    let _ = fs::remove_file(&database);
    Service::start(workspace, program, database.display().to_string())?.drive()
}

/// The service, with the store for SQLite.
pub(crate) fn service(bench: &Bench<'_>) -> Result<String, String> {
    let source = format!("{EXAMPLES}/service.c");
    let store = bench.store()?;
    let mut sources = vec![source.as_str()];
    sources.extend(store.iter().map(String::as_str));
    bench.compile(
        "gcc",
        "c99",
        "service",
        &sources,
        &["-lmicrohttpd", "-lsqlite3"],
    )
}

fn example(bench: &Bench<'_>, name: &str, libraries: &[&str]) -> Result<String, String> {
    let source = format!("{EXAMPLES}/{name}.c");
    bench.compile("gcc", "gnu99", name, &[&source], libraries)
}

/// Issues a key with one program and verifies it with another, then a changed one.
fn issue_then_verify(bench: &Bench<'_>) -> TaskResult {
    let workspace = bench.workspace;
    let issued = output(&mut workspace.command(&example(bench, "issue", &[])?))?;
    let verify = example(bench, "verify", &[])?;
    let changed = issued.replacen("acme_1", "acme_2", 1);
    let input = bench.folder.join("issued.txt");
    for (presented, expected) in [(&issued, "ok"), (&changed, "invalid_key")] {
        fs::write(&input, presented).map_err(|error| format!("issued.txt: {error}"))?;
        let lines = File::open(&input).map_err(|error| format!("issued.txt: {error}"))?;
        let run = workspace.command(&verify).stdin(lines).output();
        let run = run.map_err(|error| format!("{verify}: {error}"))?;
        let decision = String::from_utf8_lossy(&run.stdout);
        println!("verify: {}", decision.trim());
        if decision.trim() != expected || run.status.success() != (expected == "ok") {
            return Err(format!("expected `{verify}` to print `{expected}`"));
        }
    }
    Ok(())
}

/// A key without permissions is allowed what needs none: once by its record, once from memory.
fn issue_then_check(bench: &Bench<'_>) -> TaskResult {
    let workspace = bench.workspace;
    let check = example(bench, "check", &[])?;
    let input = bench.folder.join("issued.txt");
    let issued = output(&mut workspace.command(&example(bench, "issue", &[])?))?;
    fs::write(&input, issued).map_err(|error| format!("issued.txt: {error}"))?;
    for (words, expected) in [
        (&[][..], "allowed\nallowed\n"),
        (&["read"][..], "refused\nrefused\n"),
    ] {
        let lines = File::open(&input).map_err(|error| format!("issued.txt: {error}"))?;
        let printed = output(workspace.command(&check).args(words).stdin(lines))?;
        if printed != expected {
            return Err(format!(
                "`{check}` printed {printed:?}; expected {expected:?}"
            ));
        }
    }
    Ok(())
}

fn says(workspace: &Workspace, program: &str, lines: &[&str]) -> TaskResult {
    let printed = output(&mut workspace.command(program))?;
    print!("{printed}");
    for line in lines {
        if !printed.contains(line) {
            return Err(format!("expected `{program}` to print `{line}`"));
        }
    }
    Ok(())
}

/// The service while it runs.
struct Service<'a> {
    workspace: &'a Workspace,
    program: String,
    database: String,
    port: u16,
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl<'a> Service<'a> {
    fn start(workspace: &'a Workspace, program: String, database: String) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("the service: {error}");
        let free = TcpListener::bind(("127.0.0.1", 0)).map_err(failed)?;
        let port = free.local_addr().map_err(failed)?.port();
        drop(free);
        let mut child = workspace
            .command(&program)
            .args([&database, "serve", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let answers = child.stdout.take().ok_or("the service has no output")?;
        let mut service = Self {
            workspace,
            program,
            database,
            port,
            child,
            answers: BufReader::new(answers),
        };
        let line = service.line()?;
        if line.starts_with("serving") {
            Ok(service)
        } else {
            Err(format!("the service printed `{line}`; expected `serving`"))
        }
    }

    /// Makes each request that can end differently, in the order of a key's life.
    fn drive(self) -> TaskResult {
        let writer = self.issue(&["Acme", "read", "write"])?;
        let reader = self.issue(&["Reader", "read", "limit=3"])?;
        let bearer = format!("Authorization: Bearer {writer}");
        let header = |key: &str| format!("X-API-Key: {key}");
        let id = writer
            .rsplit('_')
            .nth(1)
            .ok_or("expected a key with its id between underscores")?
            .to_owned();

        self.get("X-Other: 1", 401, "missing_credential")?;
        self.get(&header("acme_1nope"), 401, "invalid_key")?;
        self.get(
            &bearer,
            200,
            r#"{"client":"Acme","permissions":["read","write"]}"#,
        )?;
        self.post(&header(&writer), 201, "Data created successfully")?;
        self.get(&header(&reader), 200, "Reader")?;
        self.post(&header(&reader), 403, r#""missing":["write"]"#)?;
        // A denied request consumes no quota: one of three requests an hour is spent.
        self.get(&header(&reader), 200, "Reader")?;
        self.get(&header(&reader), 200, "Reader")?;
        self.get(&header(&reader), 429, "rate_limited")?;

        // Another process revokes it, which is in force here within about a second.
        let mut revoke = self.workspace.command(&self.program);
        run_command(revoke.args([&self.database, "revoke", &id]))?;
        let begun = Instant::now();
        while let Err(error) = self.get(&bearer, 401, "key_revoked") {
            if begun.elapsed() > CAP {
                return Err(error);
            }
            sleep(PAUSE);
        }
        self.stop()
    }

    fn issue(&self, words: &[&str]) -> Result<String, String> {
        let mut issue = self.workspace.command(&self.program);
        issue.args([&self.database, "issue"]).args(words);
        Ok(output(&mut issue)?.trim().to_owned())
    }

    fn get(&self, header: &str, status: u16, body: &str) -> TaskResult {
        self.ask(&["/api/profile", "-X", "GET"], header, status, body)
    }

    fn post(&self, header: &str, status: u16, body: &str) -> TaskResult {
        self.ask(&["/api/data", "-d", "{}"], header, status, body)
    }

    fn ask(&self, words: &[&str], header: &str, status: u16, body: &str) -> TaskResult {
        let (path, flags) = words.split_first().ok_or("a path")?;
        let mut curl: Command = self.workspace.command("curl");
        curl.args(["-s", "--max-time", "20", "-w", "\n%{http_code}"]);
        curl.args(flags).arg("-H").arg(header);
        let answer = output(curl.arg(format!("http://127.0.0.1:{}{path}", self.port)))?;
        let (text, code) = answer.rsplit_once('\n').ok_or("curl printed nothing")?;
        println!("{path}: {code} {text}");
        if code == status.to_string() && text.contains(body) {
            Ok(())
        } else {
            Err(format!(
                "{path} returned {code}, {text}; expected {status}, {body}"
            ))
        }
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        let read = self.answers.read_line(&mut line);
        read.map_err(|error| format!("the service: {error}"))?;
        Ok(line.trim().to_owned())
    }

    /// Checks that it ends with success on SIGTERM.
    fn stop(mut self) -> TaskResult {
        let process = self.child.id().to_string();
        run_command(self.workspace.command("kill").args(["-TERM", &process]))?;
        match self.child.wait() {
            Ok(status) if status.success() => Ok(()),
            other => Err(format!("expected the service to exit with 0: {other:?}")),
        }
    }
}

impl Drop for Service<'_> {
    /// Stops the service if a check failed.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
