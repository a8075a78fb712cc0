//! The gateways, each started with the example of the repository: only its addresses are
//! replaced.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::client;
use crate::process::{Process, free_address, installed};
use crate::upstream;

/// If it is set, a missing program fails the tests instead of skipping them.
const REQUIRED: &str = "KEYSTILE_REQUIRE_GATEWAYS";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gateway {
    Nginx,
    /// The Caddy of Debian, 2.6.
    CaddyOld,
    Caddy,
    Traefik,
    Envoy,
}

pub(crate) const ALL: [Gateway; 5] = [
    Gateway::Nginx,
    Gateway::CaddyOld,
    Gateway::Caddy,
    Gateway::Traefik,
    Gateway::Envoy,
];

impl Gateway {
    /// The name of its column in the table of the README.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::CaddyOld => "Caddy 2.6",
            Self::Caddy => "Caddy 2.11",
            Self::Traefik => "Traefik",
            Self::Envoy => "Envoy",
        }
    }

    /// The files of its example; the first one is what it is started with.
    pub(crate) fn files(self) -> &'static [&'static str] {
        match self {
            Self::Nginx => &["nginx.conf"],
            Self::CaddyOld | Self::Caddy => &["Caddyfile"],
            Self::Traefik => &["traefik-static.yml", "traefik.yml"],
            Self::Envoy => &["envoy.yaml"],
        }
    }

    /// Whether its example accepts HTTP/2 without TLS.
    pub(crate) fn speaks_h2(self) -> bool {
        matches!(self, Self::Caddy | Self::Traefik | Self::Envoy)
    }

    fn program(self, tools: &Path) -> Option<PathBuf> {
        let venv = tools.join("venv");
        let program = match self {
            Self::Nginx => return installed("nginx"),
            Self::CaddyOld => return installed("caddy"),
            Self::Caddy => venv.join("bin/caddy"),
            Self::Traefik => venv.join("bin/traefik"),
            Self::Envoy => venv.join("bin/envoy"),
        };
        program.exists().then_some(program)
    }

    /// Starts it in front of a service.
    pub(crate) fn start(self, tools: &Path, keystile: SocketAddr, service: SocketAddr) -> Running {
        self.start_edited(tools, keystile, service, |_, text| text)
    }

    /// As [`start`](Self::start), with an example that is changed first: the function gets a
    /// file's name and its text.
    pub(crate) fn start_edited(
        self,
        tools: &Path,
        keystile: SocketAddr,
        service: SocketAddr,
        edit: impl Fn(&str, String) -> String,
    ) -> Running {
        let folder = tempfile::tempdir().unwrap();
        let address = free_address();
        for name in self.files() {
            let text = edit(name, example(name));
            let text = self.with_addresses(text, keystile, service, address);
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let mut command = self.command(tools, folder.path());
        command
            .env("HOME", folder.path())
            .env("XDG_CONFIG_HOME", folder.path())
            .env("XDG_DATA_HOME", folder.path())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.path().join("errors")).unwrap());
        Running {
            gateway: self,
            address,
            process: Process::start(&mut command),
            folder,
        }
    }

    fn with_addresses(
        self,
        text: String,
        keystile: SocketAddr,
        service: SocketAddr,
        own: SocketAddr,
    ) -> String {
        let mut text = text;
        for (port, address) in [("8080", keystile), ("3000", service), ("8000", own)] {
            let new = address.port().to_string();
            for mark in [":", "port_value: "] {
                text = text.replace(&format!("{mark}{port}"), &format!("{mark}{new}"));
            }
        }
        match self {
            // Its port for administration may be in use.
            Self::CaddyOld | Self::Caddy => text.replacen("\n{\n", "\n{\n\tadmin off\n", 1),
            _ => text,
        }
    }

    fn command(self, tools: &Path, folder: &Path) -> Command {
        let file = folder.join(self.files()[0]);
        let mut command = Command::new(self.program(tools).expect("it is installed"));
        match self {
            Self::Nginx => command
                .args(["-g", "daemon off; master_process off;", "-e", "stderr"])
                .arg("-p")
                .arg(folder)
                .arg("-c"),
            Self::CaddyOld | Self::Caddy => {
                command.args(["run", "--adapter", "caddyfile", "--config"])
            }
            Self::Traefik => command.arg("--configFile"),
            Self::Envoy => command.args(["--disable-hot-restart", "--concurrency", "1", "-c"]),
        };
        command.arg(file);
        command
    }
}

/// The text of an example.
pub(crate) fn example(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../serve/gateways");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

/// A started gateway.
pub(crate) struct Running {
    pub(crate) gateway: Gateway,
    pub(crate) address: SocketAddr,
    process: Process,
    folder: TempDir,
}

impl Running {
    /// Waits until it answers by its routes: Traefik listens before it has read them.
    pub(crate) fn wait(&mut self) {
        self.process.wait_for(self.address);
        // It answers 404 until then; if it asks keystile, it has them.
        let second = Duration::from_secs(1);
        let unread = || {
            let answer = client::asked(self.address, "GET /things", &[], second);
            answer.is_some_and(|answer| answer.status == 404)
        };
        for _ in 0..6_000 {
            if self.gateway != Gateway::Traefik || !unread() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it has no routes: {}", self.errors());
    }

    /// What it wrote to its log.
    pub(crate) fn errors(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("errors")).unwrap_or_default()
    }
}

/// The folder of the programs that are not from Debian, or `None` if a program is missing; the
/// test prints which one.
pub(crate) fn tools() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or("target".into());
    let tools = root.join(target).join("gateways").canonicalize().ok();
    let tools = tools.unwrap_or_default();
    let missing = ALL.into_iter().find(|one| one.program(&tools).is_none());
    let missing = missing.map(|gateway| gateway.name().to_owned());
    let missing = missing.or_else(|| not_as_pinned(&tools));
    let no_go = || upstream::go().is_none().then(|| "go".to_owned());
    let Some(missing) = missing.or_else(no_go) else {
        return Some(tools);
    };
    let reason = format!(
        "{missing} is not installed; `cargo xtask test --only gateways` prints how to install it"
    );
    assert!(std::env::var_os(REQUIRED).is_none(), "{reason}");
    // Not by a macro, whose output the harness keeps to itself.
    let _ = writeln!(std::io::stderr(), "skipped: {reason}");
    None
}

/// A package that is not installed in the version of the list.
fn not_as_pinned(tools: &Path) -> Option<String> {
    let libraries = tools.join("venv/lib").read_dir().ok()?;
    let python = libraries.filter_map(Result::ok).next()?.path();
    let lines = include_str!("requirements.txt").lines();
    let mut pins = lines.filter_map(|line| line.split(' ').next()?.split_once("=="));
    pins.find(|(name, version)| {
        let folder = format!("{}-{version}.dist-info", name.replace('-', "_"));
        !python.join("site-packages").join(folder).exists()
    })
    .map(|(name, version)| format!("{name} {version}"))
}
