//! nginx in front of several services, which asks one after the other.

use core::net::SocketAddr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::process::{Process, free_address, installed};
use crate::serving::decision;

/// If it is set, a missing nginx fails the test instead of skipping it.
const REQUIRED: &str = "KEYSTILE_REQUIRE_GATEWAYS";

/// A started nginx.
pub(super) struct Balanced {
    address: SocketAddr,
    _process: Process,
    _folder: TempDir,
}

/// Where nginx is; `None`, after a message, if it is not installed.
pub(super) fn program() -> Option<PathBuf> {
    let found = installed("nginx");
    if found.is_none() {
        let reason = "nginx is not installed; try `apt install nginx-light`";
        assert!(std::env::var_os(REQUIRED).is_none(), "{reason}");
        // Not by a macro, whose output the harness keeps to itself.
        let _ = writeln!(std::io::stderr(), "skipped: {reason}");
    }
    found
}

impl Balanced {
    pub(super) fn start(nginx: &Path, services: &[SocketAddr]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = free_address();
        let servers: String = services
            .iter()
            .map(|service| format!("server {service} max_fails=0; "))
            .collect();
        // A request is asked once: after a response that is lost, it may have been counted.
        let text = format!(
            "pid nginx.pid;\nevents {{}}\nhttp {{\n\
             access_log off;\nclient_body_temp_path body;\nproxy_temp_path proxy;\n\
             fastcgi_temp_path fastcgi;\nscgi_temp_path scgi;\nuwsgi_temp_path uwsgi;\n\
             upstream keystile {{ {servers}}}\n\
             server {{ listen {address}; location / {{\n\
             proxy_pass http://keystile; proxy_next_upstream off; }} }} }}\n"
        );
        std::fs::write(folder.path().join("nginx.conf"), text).unwrap();
        let mut command = Command::new(nginx);
        command
            .args([
                "-g",
                "daemon off; master_process off;",
                "-e",
                "stderr",
                "-p",
            ])
            .arg(folder.path())
            .args(["-c", "nginx.conf"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut process = Process::start(&mut command);
        process.wait_for(address);
        Self {
            address,
            _process: process,
            _folder: folder,
        }
    }

    /// The code of a decision by one of the services.
    pub(super) fn decision(&self, key: &str) -> String {
        decision(self.address, key)
    }
}
