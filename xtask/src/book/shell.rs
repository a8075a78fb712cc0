//! A bash script in a folder, with everything that it starts.

use core::time::Duration;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::Instant;

/// Settings of the person who runs the tests that would change what a page does.
const VARIABLES: [&str; 4] = [
    "DATABASE_URL",
    "KEYSTILE_KEY",
    "KEYSTILE_PEPPER",
    "KEYSTILE_STORE",
];

/// A script, and the folder that it runs in.
#[derive(Debug)]
pub(crate) struct Script<'a> {
    pub(crate) text: &'a str,
    pub(crate) folder: &'a Path,
    /// Folders of programs that are found before others.
    pub(crate) programs: PathBuf,
    pub(crate) variables: Vec<(&'static str, String)>,
    pub(crate) time_max: Duration,
    /// What it prints; it is outside the folder, or the script's own.
    pub(crate) log: PathBuf,
}

impl Script<'_> {
    /// Runs it, ends what it left in the background, and returns what was printed, the errors
    /// in between.
    pub(crate) fn run(&self) -> Result<(ExitStatus, String), String> {
        let shown = |error| format!("{}: {error}", self.folder.display());
        let output = fs::File::create(&self.log).map_err(shown)?;
        let errors = output.try_clone().map_err(shown)?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = [self.programs.clone()]
            .into_iter()
            .chain(std::env::split_paths(&path));
        let path = std::env::join_paths(path).map_err(|error| error.to_string())?;
        let mut bash = Command::new("bash");
        for variable in VARIABLES {
            bash.env_remove(variable);
        }
        let mut bash = bash
            .args(["-c", self.text])
            .current_dir(self.folder)
            .env("PATH", path)
            .env("LC_ALL", "C.UTF-8")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(shown)?;
        let start = Instant::now();
        let status = loop {
            match bash.try_wait().map_err(shown)? {
                Some(status) => break Some(status),
                None if start.elapsed() > self.time_max => break None,
                None => sleep(Duration::from_millis(50)),
            }
        };
        let group = format!("-{}", bash.id());
        // It fails if nothing is left.
        let _ = Command::new("kill")
            .args(["-KILL", "--", &group])
            .stderr(Stdio::null())
            .status();
        let _ = bash.wait();
        let printed = fs::read(&self.log).map_err(shown)?;
        let printed = String::from_utf8_lossy(&printed).into_owned();
        match status {
            Some(status) => Ok((status, printed)),
            None => Err(format!(
                "it took more than {} s: {printed}",
                self.time_max.as_secs()
            )),
        }
    }
}
