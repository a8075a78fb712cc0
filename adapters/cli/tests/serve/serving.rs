//! Runs `keystile serve` in a separate process.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;

/// The longest wait for a response; only a server that hangs reaches it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A serving process, which is killed at the end of the test at the latest.
pub(crate) struct Serving {
    pub(crate) address: SocketAddr,
    /// What it printed on standard output before it served: the first key, or nothing.
    pub(crate) first: Option<String>,
    process: Child,
    errors: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
    output: Option<BufReader<ChildStdout>>,
}

/// The program with these arguments, and without its environment variables.
pub(crate) fn program(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keystile"));
    command
        .args(arguments)
        .current_dir(folder)
        .env_remove("KEYSTILE_STORE")
        .env_remove("KEYSTILE_KEY")
        .env_remove("KEYSTILE_PEPPER")
        .env_remove("KEYSTILE_REDIS_URL")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

impl Serving {
    /// As [`start`](Self::start), for one that prints no key on standard output.
    pub(crate) fn start_silent(folder: &Path, arguments: &[&str]) -> Self {
        Self::begin(folder, arguments, "", false)
    }

    /// As [`start`](Self::start), with these peppers.
    pub(crate) fn start_with_peppers(folder: &Path, arguments: &[&str], peppers: &str) -> Self {
        Self::begin(folder, arguments, peppers, true)
    }

    /// Serves the store in this directory on a free port.
    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Self {
        Self::begin(folder, arguments, "", true)
    }

    fn begin(folder: &Path, arguments: &[&str], peppers: &str, prints: bool) -> Self {
        let serve = ["serve", "--listen", "127.0.0.1:0"];
        let mut process = program(folder, &[&serve, arguments].concat())
            .env("KEYSTILE_PEPPER", peppers)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap());
        let errors = Arc::new(Mutex::new(String::new()));
        let address = loop {
            let mut line = String::new();
            let read = lines.read_line(&mut line).unwrap();
            errors.lock().unwrap().push_str(&line);
            assert!(read != 0, "it ended: {}", errors.lock().unwrap());
            if let Some((_, address)) = line.trim().split_once("serving at http://") {
                // In a log in JSON, the text ends with a quotation mark.
                break address.split('"').next().unwrap().parse().unwrap();
            }
        };
        let kept = Arc::clone(&errors);
        let reader = std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let mut kept = kept.lock().unwrap();
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        let output = BufReader::new(process.stdout.take().unwrap());
        let is_first = prints && errors.lock().unwrap().contains("issued the admin key");
        let mut serving = Self {
            address,
            first: None,
            process,
            errors,
            reader: Some(reader),
            output: Some(output),
        };
        if is_first {
            let mut line = String::new();
            serving
                .output
                .as_mut()
                .unwrap()
                .read_line(&mut line)
                .unwrap();
            serving.first = Some(line.trim().to_owned());
        }
        serving
    }

    /// What it has printed on standard error so far.
    pub(crate) fn errors(&self) -> String {
        self.errors.lock().unwrap().clone()
    }

    /// Kills it with SIGKILL, as a crash would.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Stops it with a signal, and waits until it has exited. Returns what it printed on
    /// standard output after the first key, and everything on standard error.
    pub(crate) fn stop(mut self, signal: &str) -> (ExitStatus, String, String) {
        let id = self.process.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status();
        assert!(sent.unwrap().success());
        let status = self.process.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        let mut output = String::new();
        let mut rest = self.output.take().unwrap();
        rest.read_to_string(&mut output).unwrap();
        (status, output, self.errors())
    }

    /// The status and the JSON of a response.
    pub(crate) fn call(&self, key: &str, request: &str, body: Option<&Value>) -> (u16, Value) {
        call(self.address, key, request, body).expect("an answer")
    }

    /// The code of the decision on a key: of the denial, or `allowed`; of a 503, its own.
    pub(crate) fn decision(&self, key: &str) -> String {
        decision(self.address, key)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// As [`Serving::decision`], through whatever listens at this address.
pub(crate) fn decision(address: SocketAddr, key: &str) -> String {
    let answer = call(address, key, "POST /v1/verify", None);
    let (status, answer) = answer.expect("an answer");
    assert!([200, 503].contains(&status), "{answer}");
    answer["code"].as_str().unwrap_or("allowed").to_owned()
}

/// The response to one request, or nothing if the server disconnected.
pub(crate) fn call(
    address: SocketAddr,
    key: &str,
    request: &str,
    body: Option<&Value>,
) -> Option<(u16, Value)> {
    let (status, body) = exchange(address, key, request, body)?;
    let nothing = || body.is_empty().then_some(Value::Null);
    let json = serde_json::from_str(&body).ok().or_else(nothing);
    Some((status, json.expect("JSON or nothing")))
}

/// As [`call`], for a response of any text.
pub(crate) fn exchange(
    address: SocketAddr,
    key: &str,
    request: &str,
    body: Option<&Value>,
) -> Option<(u16, String)> {
    let body = body.map(ToString::to_string).unwrap_or_default();
    let kind = match body.is_empty() {
        true => "",
        false => "Content-Type: application/json\r\n",
    };
    let length = body.len();
    let text = format!(
        "{request} HTTP/1.1\r\nHost: a.example\r\nX-API-Key: {key}\r\n{kind}\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(text.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8(answer).unwrap();
    let status = answer.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().unwrap();
    let (head, body) = answer.split_once("\r\n\r\n")?;
    // nginx spells the name in its own way.
    let head = head.to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))?;
    // Half a response acknowledges nothing.
    let is_whole = length.parse() == Ok(body.len());
    is_whole.then(|| (status, body.to_owned()))
}
