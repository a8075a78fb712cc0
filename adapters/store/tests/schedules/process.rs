//! One process: this program again, as an authenticator that answers on standard output
//! what it is asked on standard input.

use core::time::Duration;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use keystile::{Issued, Request, UnixMillis, Verifier};
use keystile_store::{Authenticator, PostgresStore};
use tokio::time::sleep;

use crate::LIMIT;
use crate::keys::format;

/// The URL and the bound in milliseconds that make this program such a process.
const SETTINGS: &str = "KEYSTILE_SCHEDULES_PROCESS";
/// What an answer begins with, among what the test harness prints.
const ANSWER: &str = "answer ";

type Answers = Arc<Mutex<BTreeMap<usize, bool>>>;

/// A request: of which key, and when it was about to be sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) key: usize,
    pub(super) at: Instant,
    /// None if the process was killed first.
    pub(super) allowed: Option<bool>,
}

pub(super) struct Process {
    settings: String,
    child: Child,
    input: ChildStdin,
    answers: Answers,
    sent: Vec<Sent>,
    /// The number of the first of these.
    base: usize,
    /// The first number of this child: an earlier one may never be answered.
    first: usize,
}

impl Process {
    pub(super) fn start(url: &str, bound: Duration) -> Self {
        let settings = format!("{url} {}", bound.as_millis());
        let answers = Answers::default();
        let (child, input) = spawn(&settings, &answers);
        Self {
            settings,
            child,
            input,
            answers,
            sent: Vec::new(),
            base: 0,
            first: 0,
        }
    }

    /// Sends a request, and does not wait for its answer.
    pub(super) fn send(&mut self, key: usize, issued: &Issued) {
        let line = format!("{} {}\n", self.next(), issued.key.expose());
        self.sent.push(Sent {
            key,
            at: Instant::now(),
            allowed: None,
        });
        self.input.write_all(line.as_bytes()).unwrap();
    }

    /// Sends a request, and waits for its answer.
    pub(super) async fn ask(&mut self, issued: &Issued) -> bool {
        self.send(0, issued);
        let answered = self.answered().await;
        answered.last().unwrap().allowed.unwrap()
    }

    /// Waits for all answers, and returns the requests since this was last called.
    pub(super) async fn answered(&mut self) -> Vec<Sent> {
        let deadline = Instant::now() + LIMIT;
        let expected = self.first..self.next();
        while !expected
            .clone()
            .all(|number| self.answers.lock().unwrap().contains_key(&number))
        {
            assert!(Instant::now() < deadline, "a request is never answered");
            sleep(Duration::from_millis(2)).await;
        }
        let answers = core::mem::take(&mut *self.answers.lock().unwrap());
        for (number, sent) in (self.base..).zip(&mut self.sent) {
            sent.allowed = answers.get(&number).copied();
        }
        self.base = self.next();
        self.first = self.base;
        core::mem::take(&mut self.sent)
    }

    pub(super) fn stop(&self) {
        self.signal("-STOP");
    }

    pub(super) fn go_on(&self) {
        self.signal("-CONT");
    }

    /// Kills it, and starts another in its place.
    pub(super) fn restart(&mut self) {
        self.end();
        (self.child, self.input) = spawn(&self.settings, &self.answers);
        self.first = self.next();
    }

    fn next(&self) -> usize {
        self.base + self.sent.len()
    }

    fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(sent.success());
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

fn spawn(settings: &str, answers: &Answers) -> (Child, ChildStdin) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture"])
        .arg("process::answers_on_standard_output")
        .env(SETTINGS, settings)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let answers = Arc::clone(answers);
    std::thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            let Some(answer) = line.strip_prefix(ANSWER) else {
                continue;
            };
            let (number, word) = answer.split_once(' ').unwrap();
            let number = number.parse().unwrap();
            answers.lock().unwrap().insert(number, word == "allowed");
        }
    });
    let input = child.stdin.take().unwrap();
    (child, input)
}

#[tokio::test]
#[ignore = "it is a process of the schedules, which start it"]
async fn answers_on_standard_output() {
    let Ok(settings) = std::env::var(SETTINGS) else {
        return;
    };
    let (url, millis) = settings.split_once(' ').unwrap();
    let bound = Duration::from_millis(millis.parse().unwrap());
    let store = Arc::new(PostgresStore::open(url).unwrap());
    let authenticator = Authenticator::builder(Arc::clone(&store), Verifier::new(format()))
        .revocation_bound(bound)
        .poll_interval(Duration::from_millis(100))
        .store_timeout(Duration::from_millis(1_500))
        .change_signal(store.subscribe())
        .build()
        .unwrap();
    let (lines, mut next) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let _ = lines.send(line);
        }
        std::process::exit(0);
    });
    // The harness has begun a line.
    println!();
    while let Some(line) = next.recv().await {
        let authenticator = authenticator.clone();
        tokio::spawn(async move {
            let (number, key) = line.split_once(' ').unwrap();
            let now = UnixMillis::now().unwrap();
            let request = Request::new();
            let answer = authenticator.check(key.as_bytes(), &request, now);
            let word = match answer.await.decision.is_allow() {
                true => "allowed",
                false => "denied",
            };
            println!("{ANSWER}{number} {word}");
        });
    }
}
