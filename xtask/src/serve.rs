//! The HTTP service: its tests before real gateways, and its document against what it does.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::house::{Done, House, run};

/// Where Debian puts what only root is to start.
const SBIN: &str = "/usr/sbin";

/// The gate for Envoy has every method, and a document can name only some.
const SETTINGS: &str = r#"
[[operations]]
include-path = "/v1/authorize/envoy/{path}"
checks.unsupported_method.enabled = false
"#;

/// Why the tests could not start a gateway, or nothing where they can. Not all of them say
/// their version in the same way, so it is looked for.
pub(crate) fn without(program: &str, package: &str) -> Option<String> {
    let in_path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&in_path).chain([SBIN.into()]);
    let found = folders.any(|folder| folder.join(program).exists());
    (!found).then(|| format!("{program} is not installed; try `apt install {package}`"))
}

/// nginx and Caddy before the service. The selection is that of all tests, so that nothing
/// is built anew.
pub(crate) fn gateways(house: &House) -> Done {
    let line = "test --workspace --all-features --test http -- nginx caddy";
    let mut cargo = house.command("cargo");
    let cargo = cargo.args(line.split_whitespace());
    let cargo = cargo.env("KEYSTILE_REQUIRE_NGINX", "1");
    run(cargo.env("KEYSTILE_REQUIRE_CADDY", "1"))
}

/// Asks the service what its document allows and what it does not, for a minute at most:
/// no answer may be a failure of the server or look other than the document says.
pub(crate) fn schemathesis(house: &House) -> Done {
    house.cargo("build --package keystile-cli")?;
    let folder = house.target_path("schemathesis-run");
    // What an earlier run left.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    fs::write(folder.join("schemathesis.toml"), SETTINGS).map_err(|error| error.to_string())?;
    let serving = Serving::start(&house.target_path("debug/keystile"), &folder)?;
    let document = format!("{}/openapi.json", serving.url);
    println!("$ schemathesis run {document}");
    let asked = Command::new("schemathesis")
        .current_dir(&folder)
        .args(["run", &document, "--no-color", "--continue-on-failure"])
        .args(["--header", &format!("X-API-Key: {}", serving.key)])
        .args(["--max-time", "60", "--max-examples", "40", "--seed", "1"])
        // A value can be of the described shape and still be none: `a AND` is a text, and
        // no requirement.
        .args(["--exclude-checks", "positive_data_acceptance"])
        .args(["--warnings", "off"])
        .stdin(Stdio::null())
        .status();
    let ended = serving.stop();
    match asked {
        Ok(status) if status.success() => ended,
        Ok(status) => Err(format!("schemathesis: {status}")),
        Err(error) => Err(format!("schemathesis: {error}")),
    }
}

/// The service on a free port, over a new store.
struct Serving {
    process: Child,
    url: String,
    key: String,
}

impl Serving {
    fn start(program: &Path, folder: &Path) -> Result<Self, String> {
        let shown = |error| format!("{}: {error}", program.display());
        let mut process = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--log-level", "error"])
            .args(["--store", "sqlite:keys.db"])
            // It is asked with many keys that are none, from one address.
            .args(["--invalid-keys", "off"])
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
        serving.url = url.ok_or("keystile serve: it does not serve")?;
        let first = BufReader::new(output).lines().next();
        let first = first.and_then(Result::ok);
        serving.key = first.ok_or("keystile serve: no first key")?;
        // Its log goes on to be read, or it would wait for a reader.
        std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                println!("{line}");
            }
        });
        Ok(serving)
    }

    fn stop(mut self) -> Done {
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
