//! The services behind the gateways: three programs that read headers differently, each of
//! which prints what it got.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};

use serde::Deserialize;

use crate::client;
use crate::process::{Process, free_address};

/// A request as a service read it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// The path and the query as they were sent.
    pub(crate) target: String,
    /// Names as the service has them: those of WSGI are without `HTTP_`.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Seen {
    /// The values of all headers that some programs take for this one.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(own, _)| folded(own) == name)
            .map(|(_, value)| value.as_str())
            .collect()
    }
}

/// A header's name as CGI reads it: in one case, and with one separator.
pub(crate) fn folded(name: &str) -> String {
    let folded = name.chars().map(|c| match c {
        c if c.is_ascii_alphanumeric() => c.to_ascii_lowercase(),
        _ => '-',
    });
    folded.collect()
}

/// A running service.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    _process: Process,
}

impl Upstream {
    /// The three, in the order ASGI, WSGI, Go.
    pub(crate) fn all(tools: &Path) -> [Self; 3] {
        let wsgi = Self::start(|port| {
            let mut command = Command::new(tools.join("venv/bin/python"));
            command.arg(sources().join("wsgi.py")).arg(port);
            command
        });
        let go = Self::start(|port| {
            let mut command = Command::new(go_service(tools));
            command.arg(port);
            command
        });
        [Self::asgi(tools), wsgi, go]
    }

    /// Only the first of them.
    pub(crate) fn asgi(tools: &Path) -> Self {
        Self::start(|port| {
            let mut command = Command::new(tools.join("venv/bin/python"));
            let bind = format!("127.0.0.1:{port}");
            // Without workers: they would go on if the process that starts them is killed.
            command.args([
                "-m",
                "hypercorn",
                "asgi:app",
                "--workers",
                "0",
                "--bind",
                &bind,
            ]);
            command.current_dir(sources());
            command
        })
    }

    fn start(command: impl FnOnce(&str) -> Command) -> Self {
        let address = free_address();
        let mut command = command(&address.port().to_string());
        command
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut process = Process::start(&mut command);
        let lines = BufReader::new(process.output());
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let own = Arc::clone(&seen);
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let one = serde_json::from_str(&line);
                let one = one.unwrap_or_else(|error| panic!("{error}: {line}"));
                own.lock().unwrap().push(one);
            }
        });
        process.wait_for(address);
        Self {
            address,
            seen,
            _process: process,
        }
    }

    /// What it got since this was last called.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        // What it got before this request, it has printed before it.
        client::ask(self.address, "GET /", &["X-Shape: end"]);
        loop {
            let mut seen = self.seen.lock().unwrap();
            let end = seen.iter().position(|one| one.values("x-shape") == ["end"]);
            if let Some(end) = end {
                let rest = seen.split_off(end + 1);
                let mut before = core::mem::replace(&mut *seen, rest);
                before.pop();
                return before;
            }
            drop(seen);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The Go toolchain, in the search path or where its own installer puts it.
pub(crate) fn go() -> Option<&'static str> {
    let mut programs = ["go", "/usr/local/go/bin/go"].into_iter();
    programs.find(|go| Command::new(go).arg("version").output().is_ok())
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gateways/upstreams")
}

/// The program in Go. It is built once: a program that is being written cannot be started.
fn go_service(tools: &Path) -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let program = tools.join("go-service");
        let mut build = Command::new(go().expect("go is installed"));
        build.env("GO111MODULE", "off").args(["build", "-o"]);
        build.arg(&program).arg(sources().join("main.go"));
        assert!(build.status().expect("go build").success());
        program
    })
}
