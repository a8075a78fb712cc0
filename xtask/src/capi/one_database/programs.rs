//! How each of the programs issues, changes and revokes a key, and how it is asked about one.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::workspace::{TaskResult, output, run};

/// Who does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    Cli,
    C,
    Go,
    Rust,
}

impl Program {
    pub(super) const ALL: [Self; 4] = [Self::Cli, Self::C, Self::Go, Self::Rust];
}

/// What a program says of a key that asks for the permission `write`, and the limit of the key
/// that it knows, if it says that.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    code: String,
    limit: Option<u64>,
}

impl Answer {
    pub(super) fn allowed(limit: u64) -> Self {
        let code = String::new();
        Self {
            code,
            limit: Some(limit),
        }
    }

    /// Without the permission and with another limit, which a request without one is asked for.
    pub(super) fn changed() -> Self {
        let code = "permission_missing".to_owned();
        Self {
            code,
            limit: Some(77),
        }
    }

    pub(super) fn revoked() -> Self {
        let code = "key_revoked".to_owned();
        Self { code, limit: None }
    }
}

pub(super) fn expect(program: Program, answer: &Answer, expected: &Answer) -> TaskResult {
    if answer == expected {
        Ok(())
    } else {
        Err(format!(
            "{program:?} answers {answer:?}, expected {expected:?}"
        ))
    }
}

/// Where the services are, and the key for the administration of the one in Rust.
pub(super) struct Urls {
    pub(super) c: String,
    pub(super) go: String,
    pub(super) rust: String,
    pub(super) admin: String,
}

/// The programs, and the folder of the file.
pub(super) struct Programs {
    pub(super) folder: PathBuf,
    pub(super) keystile: PathBuf,
    pub(super) c: PathBuf,
    pub(super) go: PathBuf,
}

impl Programs {
    fn command(&self, program: &PathBuf, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder).args(words);
        command
    }

    pub(super) fn cli(&self, words: &[&str]) -> Command {
        let mut command = self.command(&self.keystile, words);
        command
            .args(["--store", "sqlite:keys.db"])
            .env_remove("KEYSTILE_PEPPER");
        command
    }

    fn service(&self, of: Program, words: &[&str]) -> Command {
        let program = if of == Program::C { &self.c } else { &self.go };
        let mut command = self.command(program, &["keys.db"]);
        command.args(words);
        command
    }

    /// Issues a key with the permissions `read` and `write` and 100 requests an hour.
    pub(super) fn issue(&self, by: Program, urls: Option<&Urls>) -> Result<String, String> {
        let issued = match by {
            Program::Cli => output(&mut self.cli(&[
                "issue",
                "--client",
                "Acme",
                "--prefix",
                "acme",
                "--permission",
                "read",
                "--permission",
                "write",
                "--rate-limit",
                "100/1h",
            ]))?,
            Program::C | Program::Go => {
                output(&mut self.service(by, &["issue", "Acme", "read", "write", "limit=100"]))?
            }
            Program::Rust => {
                let body = r#"{"client_name":"Acme","permissions":["read","write"],"rate_limit":{"limit":100,"window_ms":3600000}}"#;
                let answer = self.administer(urls, "POST", "", body)?;
                text_of(&answer, "key")
            }
        };
        Ok(issued.trim().to_owned())
    }

    /// Takes the permission `write` away, and sets the limit to 77.
    pub(super) fn change(&self, by: Program, urls: &Urls, key: &str) -> TaskResult {
        let id = id_of(key)?;
        match by {
            Program::Cli => run(&mut self.cli(&[
                "change",
                id,
                "--remove-permission",
                "write",
                "--rate-limit",
                "77/1h",
            ])),
            Program::C | Program::Go => {
                run(&mut self.service(by, &["change", id, "-write", "limit=77"]))
            }
            Program::Rust => {
                let body = r#"{"remove_permissions":["write"],"rate_limit":{"limit":77,"window_ms":3600000}}"#;
                self.administer(Some(urls), "PATCH", &format!("/{id}"), body)
                    .map(drop)
            }
        }
    }

    pub(super) fn revoke(&self, by: Program, urls: &Urls, key: &str) -> TaskResult {
        let id = id_of(key)?;
        match by {
            Program::Cli => run(&mut self.cli(&["revoke", id, "--reason", "leaked"])),
            Program::C | Program::Go => run(&mut self.service(by, &["revoke", id])),
            Program::Rust => {
                let path = format!("/{id}/revoke");
                self.administer(Some(urls), "POST", &path, r#"{"reason":"leaked"}"#)
                    .map(drop)
            }
        }
    }

    fn administer(
        &self,
        urls: Option<&Urls>,
        method: &str,
        path: &str,
        body: &str,
    ) -> Result<Value, String> {
        let urls = urls.ok_or("the service in Rust is not started yet")?;
        let mut curl = curl(&urls.admin);
        curl.args([
            "--fail-with-body",
            "-X",
            method,
            "-H",
            "Content-Type: application/json",
            "-d",
            body,
        ]);
        json(&output(curl.arg(format!("{}/v1/keys{path}", urls.rust)))?)
    }

    /// Asks for the permission `write`, and then for nothing: what is refused has no limit in some
    /// answers.
    pub(super) fn ask(
        &self,
        program: Program,
        urls: Option<&Urls>,
        key: &str,
    ) -> Result<Answer, String> {
        match (program, urls) {
            (Program::Cli, _) | (_, None) => {
                let code = code_of(&self.verify(key, &["--requires", "write"])?);
                let limit = limit_of(&self.verify(key, &[])?);
                Ok(Answer { code, limit })
            }
            (Program::Rust, Some(urls)) => {
                let ask = |body: &str| {
                    let mut curl = curl(key);
                    curl.args(["-H", "Content-Type: application/json", "-d", body]);
                    json(&output(curl.arg(format!("{}/v1/verify", urls.rust)))?)
                };
                let code = code_of(&ask(r#"{"requires":"write"}"#)?);
                let limit = limit_of(&ask("{}")?);
                Ok(Answer { code, limit })
            }
            (Program::C, Some(urls)) => ask_service(&urls.c, key),
            (Program::Go, Some(urls)) => ask_service(&urls.go, key),
        }
    }

    /// The program reads the file each time, and counts nothing.
    fn verify(&self, key: &str, words: &[&str]) -> Result<Value, String> {
        let failed = |error: std::io::Error| format!("keystile verify: {error}");
        let mut verify = self.cli(&["verify", "--json", "--dry-run"]);
        let mut process = verify
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        if let Some(mut input) = process.stdin.take() {
            writeln!(input, "{key}").map_err(failed)?;
        }
        let done = process.wait_with_output().map_err(failed)?;
        json(&String::from_utf8_lossy(&done.stdout))
    }

    pub(super) fn start_c(&self) -> Result<Running, String> {
        let port = free_port()?;
        let command = self.service(Program::C, &["serve", &port.to_string()]);
        Running::start(command, port)
    }

    pub(super) fn start_go(&self) -> Result<Running, String> {
        let port = free_port()?;
        let command = self.service(Program::Go, &["serve", &format!("127.0.0.1:{port}")]);
        Running::start(command, port)
    }
}

/// Asks a service with the routes of the examples.
fn ask_service(url: &str, key: &str) -> Result<Answer, String> {
    let refused = output(curl(key).args(["-d", "{}"]).arg(format!("{url}/api/data")))?;
    let code = code_of(&json(&refused)?);
    let profile = output(
        curl(key)
            .args(["-o", "/dev/null", "-D", "-"])
            .arg(format!("{url}/api/profile")),
    )?;
    let limit = profile.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("ratelimit-limit")
            .then(|| value.trim().parse().ok())?
    });
    Ok(Answer { code, limit })
}

fn code_of(answer: &Value) -> String {
    text_of(answer, "code")
}

fn text_of(answer: &Value, member: &str) -> String {
    let text = answer.get(member).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

fn limit_of(answer: &Value) -> Option<u64> {
    answer.get("limit").and_then(Value::as_u64)
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("{error}: {text}"))
}

fn curl(key: &str) -> Command {
    let mut curl = Command::new("curl");
    curl.args(["-s", "--max-time", "20", "-H"])
        .arg(format!("X-API-Key: {key}"));
    curl
}

fn id_of(key: &str) -> Result<&str, String> {
    key.rsplit('_')
        .nth(1)
        .ok_or_else(|| "expected a key with its id between underscores".to_owned())
}

fn free_port() -> Result<u16, String> {
    let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    free.map(|address| address.port())
        .map_err(|error| error.to_string())
}

/// A service of an example while it runs.
pub(super) struct Running {
    process: Child,
    pub(super) url: String,
}

impl Running {
    fn start(mut command: Command, port: u16) -> Result<Self, String> {
        let mut process = command
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("a service: {error}"))?;
        let lines = process.stdout.take();
        let running = Self {
            process,
            url: format!("http://127.0.0.1:{port}"),
        };
        let mut line = String::new();
        if let Some(lines) = lines {
            BufReader::new(lines)
                .read_line(&mut line)
                .map_err(|error| format!("a service: {error}"))?;
        }
        if line.starts_with("serving") {
            Ok(running)
        } else {
            Err(format!("a service printed `{line}`; expected `serving`"))
        }
    }

    /// It ends with success on SIGTERM.
    pub(super) fn stop(mut self) -> TaskResult {
        run(Command::new("kill").args(["-TERM", &self.process.id().to_string()]))?;
        match self.process.wait() {
            Ok(status) if status.success() => Ok(()),
            other => Err(format!("expected a service to exit with 0: {other:?}")),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
