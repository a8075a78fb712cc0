//! A process that ends with its test.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeSet;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command};
use std::sync::Mutex;

pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        let started = command.spawn();
        Self(started.unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    /// What it writes to its standard output.
    pub(crate) fn output(&mut self) -> ChildStdout {
        self.0.stdout.take().expect("a pipe")
    }

    /// Waits until it listens.
    pub(crate) fn wait_for(&mut self, address: SocketAddr) {
        for _ in 0..6_000 {
            if TcpStream::connect(address).is_ok() {
                return;
            }
            let ended = self.0.try_wait().unwrap();
            assert!(ended.is_none(), "it ended instead of listening: {ended:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it does not listen on {address}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An address that no one listens on. No port is given out twice: Caddy and Envoy share one
/// without an error, and each would get some of the other's requests.
pub(crate) fn free_address() -> SocketAddr {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        if GIVEN.lock().unwrap().insert(address.port()) {
            return address;
        }
    }
}

/// Where a program is, in the search path or where Debian installs servers.
pub(crate) fn installed(program: &str) -> Option<PathBuf> {
    let in_path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&in_path)
        .chain([Path::new("/usr/sbin").to_owned()])
        .map(|folder| folder.join(program))
        .find(|program| program.exists())
}
