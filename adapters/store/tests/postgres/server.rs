//! A temporary PostgreSQL server, which ends with this process at the latest.

use core::time::Duration;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Instant;

use tempfile::TempDir;

/// If it is set, a missing PostgreSQL is a failure and not a reason to skip.
const REQUIRED: &str = "KEYSTILE_REQUIRE_POSTGRES";

/// Settings for speed: data in the operating system's cache survives the kill of a server,
/// so nothing has to be synced to the disk.
const SETTINGS: [&str; 9] = [
    "listen_addresses=",
    "fsync=off",
    "full_page_writes=off",
    "autovacuum=off",
    "max_connections=300",
    "shared_buffers=16MB",
    "wal_level=minimal",
    "max_wal_senders=0",
    "deadlock_timeout=200ms",
];

/// A server on a socket in a temporary folder.
pub(crate) struct Server {
    folder: TempDir,
    programs: PathBuf,
    /// A server refuses to run as root.
    user: Option<(u32, u32)>,
    settings: Vec<String>,
    running: Option<(Child, ChildStdin)>,
}

impl Server {
    /// `None`, after a message, if PostgreSQL is not installed and not required.
    pub(crate) fn start() -> Option<Self> {
        Self::with(&[], &[])
    }

    /// One with additional settings, and with files in its data folder that only it may
    /// read.
    pub(crate) fn with(settings: &[&str], files: &[(&str, &str)]) -> Option<Self> {
        let Some(programs) = programs() else {
            assert!(
                std::env::var_os(REQUIRED).is_none(),
                "PostgreSQL is not installed, and {REQUIRED} is set; try `apt install postgresql`"
            );
            // Not by a macro, whose output the test harness captures.
            let reason = "skipped: PostgreSQL is not installed; try `apt install postgresql`";
            let _ = writeln!(std::io::stderr(), "{reason}");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let user = servant();
        if let Some((user, group)) = user {
            std::os::unix::fs::chown(folder.path(), Some(user), Some(group)).unwrap();
        }
        let mut server = Self {
            folder,
            programs,
            user,
            settings: SETTINGS
                .iter()
                .chain(settings)
                .map(|setting| (*setting).to_owned())
                .collect(),
            running: None,
        };
        let mut initdb = server.command("initdb");
        initdb.args(["-D", "data", "-U", "keystile", "-A", "trust", "-E", "UTF8"]);
        let made = initdb
            .args(["--locale=C", "-N", "--no-instructions"])
            .output()
            .unwrap();
        assert!(made.status.success(), "initdb: {made:?}");
        let rules = "local locked all scram-sha-256\nlocal all all trust\n\
             hostssl all all 127.0.0.1/32 trust\n";
        for (name, text) in [("pg_hba.conf", rules)].iter().chain(files) {
            let path = server.folder.path().join("data").join(name);
            fs::write(&path, text).unwrap();
            let owner_alone = fs::Permissions::from_mode(0o600);
            fs::set_permissions(&path, owner_alone).unwrap();
            if let Some((user, group)) = user {
                std::os::unix::fs::chown(&path, Some(user), Some(group)).unwrap();
            }
        }
        server.run();
        Some(server)
    }

    /// Starts or restarts it, and waits until it answers.
    pub(crate) fn run(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline {
            let log = fs::File::create(self.folder.path().join("log")).unwrap();
            let mut postgres = self.command("postgres");
            postgres.args(["-D", "data", "-k"]).arg(self.folder.path());
            for setting in &self.settings {
                postgres.args(["-c", setting]);
            }
            let mut child = postgres
                .process_group(0)
                .stderr(log)
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            // It refuses to start while a process of a killed one is alive.
            while child.try_wait().unwrap().is_none() && Instant::now() < deadline {
                if self.answers() {
                    let guard = self.guard(child.id());
                    self.running = Some((child, guard));
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap();
        panic!("the server does not start: {log}");
    }

    /// Kills it with all its processes, as a power failure of the program would.
    pub(crate) fn kill(&mut self) {
        let (mut child, mut guard) = self.running.take().expect("it runs");
        let group = format!("-{}", child.id());
        let kill = Command::new("kill").args(["-9", "--", &group]).status();
        assert!(kill.unwrap().success());
        child.wait().unwrap();
        guard.write_all(b"leave\n").unwrap();
    }

    pub(crate) fn url(&self, database: &str) -> String {
        let host = self.folder.path().to_str().unwrap().replace('/', "%2F");
        format!("postgres://keystile@{host}/{database}")
    }

    /// The URL of a server that listens on a port, with this name of the host.
    #[allow(dead_code, reason = "not by all who use this file")]
    pub(crate) fn port_url(&self, host: &str, port: u16, database: &str) -> String {
        assert!(self.running.is_some());
        format!("postgres://keystile@{host}:{port}/{database}")
    }

    /// Runs statements as another program would.
    #[allow(dead_code, reason = "not by all who use this file")]
    pub(crate) fn psql(&self, database: &str, sql: &str) {
        let mut psql = self.command("psql");
        psql.arg("-h").arg(self.folder.path());
        psql.args(["-U", "keystile", "-d", database, "-q", "-X"]);
        let done = psql
            .args(["-v", "ON_ERROR_STOP=1", "-c", sql])
            .output()
            .unwrap();
        assert!(done.status.success(), "{sql}: {done:?}");
    }

    fn answers(&self) -> bool {
        let mut ready = self.command("pg_isready");
        let folder = self.folder.path();
        let port = self.settings.iter().rev();
        let port = port
            .filter_map(|setting| setting.strip_prefix("port="))
            .next();
        let ready = ready.arg("-q").arg("-h").arg(folder);
        let ready = ready.args(["-p", port.unwrap_or("5432")]).status();
        ready.unwrap().success()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }

    /// Ends the server when this process ends in any way.
    fn guard(&self, server: u32) -> ChildStdin {
        let script = "read -r word; [ \"$word\" = leave ] && exit; kill -INT \"$1\"
            for i in 1 2 3 4 5 6 7 8 9 10; do kill -0 \"$1\" 2>&- || break; sleep 0.1; done
            kill -9 -- \"-$1\"; rm -rf \"$2\"";
        let mut sh = Command::new("sh");
        sh.args(["-c", script, "guard", &server.to_string()])
            .arg(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        sh.spawn().unwrap().stdin.take().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some((mut child, mut guard)) = self.running.take() {
            let interrupt = ["-INT", &child.id().to_string()].map(str::to_owned);
            let _ = Command::new("kill").args(interrupt).status();
            let _ = child.wait();
            let _ = guard.write_all(b"leave\n");
        }
    }
}

/// The folder of PostgreSQL's programs, the newest if there are several.
fn programs() -> Option<PathBuf> {
    let in_path = std::env::var_os("PATH")?;
    let mut folders: Vec<PathBuf> = std::env::split_paths(&in_path).collect();
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut debian: Vec<PathBuf> = debian.flatten().map(|entry| entry.path()).collect();
    debian.sort_by_key(|path| {
        let version = path.file_name().and_then(|name| name.to_str());
        version.and_then(|version| version.parse::<u32>().ok())
    });
    folders.extend(debian.into_iter().rev().map(|path| path.join("bin")));
    let all = ["initdb", "postgres", "pg_isready"];
    let complete = |folder: &PathBuf| all.iter().all(|program| folder.join(program).exists());
    folders.into_iter().find(complete)
}

/// The user and the group that a server runs as if this process is root.
fn servant() -> Option<(u32, u32)> {
    let own = std::os::unix::fs::MetadataExt::uid(&fs::metadata(Path::new("/proc/self")).ok()?);
    if own != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    ["postgres", "nobody"].iter().find_map(|name| {
        let mut fields = users
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}:")))?
            .split(':')
            .skip(1);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    })
}
