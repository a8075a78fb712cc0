//! The C examples: they are compiled, run, and the service is asked over HTTP.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::Bench;
use super::library::Library;
use crate::house::{Done, House, output, run as run_command};

const EXAMPLES: &str = "../../examples";

/// Runs every example, and holds what it says.
pub(crate) fn run(house: &House) -> Done {
    let bench = Bench::new(house, Library::release(house)?)?;
    says(
        house,
        &example(&bench, "issue_and_verify", &[])?,
        &[
            "to read: ok",
            "to write: permission_missing",
            "HTTP 403 {",
            "cut off: invalid_key",
        ],
    )?;
    says(
        house,
        &example(&bench, "rotate", &[])?,
        &[
            "due on day 83: a rotation",
            "on day 84: the old key ok, the new key ok",
            "the new key ok",
        ],
    )?;
    let program = example(&bench, "service", &["-lmicrohttpd", "-lsqlite3"])?;
    let database = bench.place.join("service.db");
    let _ = fs::remove_file(&database);
    Service::start(house, program, database.display().to_string())?.drive()
}

fn example(bench: &Bench<'_>, name: &str, libraries: &[&str]) -> Result<String, String> {
    let source = format!("{EXAMPLES}/{name}.c");
    bench.compile("gcc", "gnu99", name, &[&source], libraries)
}

fn says(house: &House, program: &str, lines: &[&str]) -> Done {
    let said = output(&mut house.command(program))?;
    print!("{said}");
    for line in lines {
        if !said.contains(line) {
            return Err(format!("the example does not say `{line}`"));
        }
    }
    Ok(())
}

/// The service while it runs.
struct Service<'a> {
    house: &'a House,
    program: String,
    database: String,
    port: u16,
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl<'a> Service<'a> {
    fn start(house: &'a House, program: String, database: String) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("the service: {error}");
        let free = TcpListener::bind(("127.0.0.1", 0)).map_err(failed)?;
        let port = free.local_addr().map_err(failed)?.port();
        drop(free);
        let mut child = house
            .command(&program)
            .args([&database, "serve", &port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let commands = child.stdin.take();
        let answers = child.stdout.take().ok_or("the service has no output")?;
        let mut service = Self {
            house,
            program,
            database,
            port,
            child,
            commands,
            answers: BufReader::new(answers),
        };
        let line = service.line()?;
        if line.starts_with("serving") {
            Ok(service)
        } else {
            Err(format!("the service said `{line}`"))
        }
    }

    /// Each way in which a request can end, in the order of a key's life.
    fn drive(mut self) -> Done {
        let writer = self.issue(&["Acme", "read", "write"])?;
        let reader = self.issue(&["Reader", "read", "limit=3"])?;
        let bearer = format!("Authorization: Bearer {writer}");
        let header = |key: &str| format!("X-API-Key: {key}");
        let id = writer
            .rsplit('_')
            .nth(1)
            .ok_or("the key is not spelled as expected")?
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
        // A refusal has cost nothing: of three requests an hour one is spent.
        self.get(&header(&reader), 200, "Reader")?;
        self.get(&header(&reader), 200, "Reader")?;
        self.get(&header(&reader), 429, "rate_limited")?;

        self.command(&format!("revoke {id}"))?;
        let line = self.line()?;
        if line != format!("revoked {id}") {
            return Err(format!("the service said `{line}`"));
        }
        self.get(&bearer, 401, "key_revoked")?;
        self.stop()
    }

    fn issue(&self, words: &[&str]) -> Result<String, String> {
        let mut issue = self.house.command(&self.program);
        issue.args([&self.database, "issue"]).args(words);
        Ok(output(&mut issue)?.trim().to_owned())
    }

    fn get(&self, header: &str, status: u16, body: &str) -> Done {
        self.ask(&["/api/profile", "-X", "GET"], header, status, body)
    }

    fn post(&self, header: &str, status: u16, body: &str) -> Done {
        self.ask(&["/api/data", "-d", "{}"], header, status, body)
    }

    fn ask(&self, words: &[&str], header: &str, status: u16, body: &str) -> Done {
        let (path, flags) = words.split_first().ok_or("a path")?;
        let mut curl: Command = self.house.command("curl");
        curl.args(["-s", "--max-time", "20", "-w", "\n%{http_code}"]);
        curl.args(flags).arg("-H").arg(header);
        let answer = output(curl.arg(format!("http://127.0.0.1:{}{path}", self.port)))?;
        let (said, code) = answer.rsplit_once('\n').ok_or("curl said nothing")?;
        println!("{path}: {code} {said}");
        if code == status.to_string() && said.contains(body) {
            Ok(())
        } else {
            Err(format!("{path} gave {code}, {said}; not {status}, {body}"))
        }
    }

    fn command(&mut self, line: &str) -> Done {
        let commands = self.commands.as_mut().ok_or("the service has stopped")?;
        writeln!(commands, "{line}").map_err(|error| format!("the service: {error}"))
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        let read = self.answers.read_line(&mut line);
        read.map_err(|error| format!("the service: {error}"))?;
        Ok(line.trim().to_owned())
    }

    /// Without its input it serves on; told to stop, it ends well.
    fn stop(mut self) -> Done {
        drop(self.commands.take());
        self.get("X-Other: 1", 401, "missing_credential")?;
        let process = self.child.id().to_string();
        run_command(self.house.command("kill").args(["-TERM", &process]))?;
        match self.child.wait() {
            Ok(status) if status.success() => Ok(()),
            other => Err(format!("the service ended with {other:?}")),
        }
    }
}

impl Drop for Service<'_> {
    /// Where a check failed, the service is not left behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
