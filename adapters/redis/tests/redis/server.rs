//! Temporary Redis servers, which end with this process at the latest.

use core::time::Duration;
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use redis::{Client, Connection, FromRedisValue};
use tempfile::TempDir;

/// If it is set, a missing server is a failure and not a reason to skip.
const REQUIRED: &str = "KEYSTILE_REQUIRE_REDIS";
const PROGRAM: &str = "redis-server";
const SENTINEL: &str = "redis-sentinel";

/// A server on a free port of this machine, which keeps nothing on the disk.
pub(crate) struct Server {
    pub(crate) folder: TempDir,
    pub(crate) port: u16,
    settings: Vec<String>,
    is_sentinel: bool,
    running: Option<Running>,
}

impl Server {
    /// `None`, after a message, if Redis is not installed and not required.
    pub(crate) fn start() -> Option<Self> {
        Self::with(&[], &[])
    }

    /// A sentinel that watches a master, and takes it for dead after a second.
    #[cfg(all(feature = "cluster", feature = "sentinel"))]
    pub(crate) fn sentinel(name: &str, master: u16) -> Option<Self> {
        let lines = [
            format!("sentinel monitor {name} 127.0.0.1 {master} 2"),
            format!("sentinel down-after-milliseconds {name} 1000"),
            format!("sentinel failover-timeout {name} 5000"),
        ];
        Self::started(true, &lines.each_ref().map(String::as_str), &[])
    }

    /// One with more settings, each a line of its configuration, and with files in its folder.
    pub(crate) fn with(settings: &[&str], files: &[(&str, &str)]) -> Option<Self> {
        Self::started(false, settings, files)
    }

    fn started(is_sentinel: bool, settings: &[&str], files: &[(&str, &str)]) -> Option<Self> {
        if !is_installed() {
            assert!(
                std::env::var_os(REQUIRED).is_none(),
                "{PROGRAM} is not installed, and {REQUIRED} is set; try `apt install redis-server`"
            );
            // Not by a macro, whose output the test harness captures.
            let reason = "skipped: Redis is not installed; try `apt install redis-server`";
            let _ = writeln!(std::io::stderr(), "{reason}");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let mut server = Self {
            folder,
            port: 0,
            settings: settings.iter().map(|line| (*line).to_owned()).collect(),
            is_sentinel,
            running: None,
        };
        server.run();
        Some(server)
    }

    /// Starts or restarts it, on the port that it had, and waits until it answers.
    pub(crate) fn run(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let is_new = self.port == 0;
        while Instant::now() < deadline {
            if is_new {
                self.port = free_port();
            }
            let folder = self.folder.path().display();
            let mut text = format!(
                "bind 127.0.0.1\nport {}\ndir {folder}\nunixsocket {folder}/socket\n",
                self.port
            );
            if !self.is_sentinel {
                text.push_str(
                    "save \"\"\nappendonly no\nenable-debug-command local\nrepl-diskless-sync-delay 0\n",
                );
            }
            for line in &self.settings {
                let line = line.replace("FOLDER", &folder.to_string());
                text.push_str(&line.replace("PORT", &self.port.to_string()));
                text.push('\n');
            }
            let file = self.folder.path().join("conf");
            fs::write(&file, text).unwrap();
            let log = self.folder.path().join("log");
            let program = if self.is_sentinel { SENTINEL } else { PROGRAM };
            let mut running = Running::start(program, &file, &log);
            // Another program may have taken the port meanwhile.
            while running.server.try_wait().unwrap().is_none() && Instant::now() < deadline {
                if self.answers() {
                    self.running = Some(running);
                    return;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            running.end();
        }
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap();
        panic!("the server does not start: {log}");
    }

    fn answers(&self) -> bool {
        let Ok(mut connection) = self.client().get_connection() else {
            return false;
        };
        let info = redis::cmd("INFO")
            .arg("persistence")
            .query::<String>(&mut connection);
        // One with a password answers by an error.
        info.map_or(true, |info| self.is_sentinel || info.contains("loading:0"))
    }

    /// Kills it, as a power failure would.
    pub(crate) fn kill(&mut self) {
        self.running.take().expect("it runs").end();
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// For commands of the test itself, by a way that no test cuts.
    fn client(&self) -> Client {
        let socket = self.folder.path().join("socket");
        Client::open(format!("redis+unix://{}", socket.display())).unwrap()
    }

    pub(crate) fn connection(&self) -> Connection {
        self.client().get_connection().unwrap()
    }

    /// Runs a command, given in words.
    pub(crate) fn command<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let (name, arguments) = words.split_first().unwrap();
        let mut command = redis::cmd(name);
        command.arg(arguments);
        command.query(&mut self.connection()).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.end();
        }
    }
}

pub(crate) fn is_installed() -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&paths).collect();
    folders.iter().any(|folder| folder.join(PROGRAM).exists())
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A server, and what kills it if this process ends without doing so.
struct Running {
    server: Child,
    guard: Child,
}

impl Running {
    fn start(program: &str, conf: &Path, log: &Path) -> Self {
        let server = Command::new(program)
            .arg(conf)
            .stdin(Stdio::null())
            .stdout(fs::File::create(log).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let script = "read -r word; [ \"$word\" = leave ] || kill -9 \"$1\"";
        let guard = Command::new("sh")
            .args(["-c", script, "guard", &server.id().to_string()])
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        Self { server, guard }
    }

    fn end(mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
        let mut words = self.guard.stdin.take().unwrap();
        words.write_all(b"leave\n").unwrap();
        drop(words);
        self.guard.wait().unwrap();
    }
}
