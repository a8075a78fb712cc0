//! Replays tests/vectors/authenticator.json, step by step. Go replays the same file.

mod remote;

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use keystile::{
    DenialCode, Error, Event, EventKind, KeyFormat, KeyRecord, Lookup, Millis, Pepper, PepperRing,
    PermissionSet, RateState, Request, Requirement, RotationPolicy, SysRng, UnixMillis, Verifier,
};
use keystile_store::{AfterBound, Answer, Authenticator, Batch, Store};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, yield_now};

use self::remote::Remote;

const START: u64 = 1_790_000_000_000;
/// A lease's clock begins anywhere.
const LEASE_START: u64 = 3_600_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    description: String,
    cases: Vec<Scenario>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    name: String,
    why: String,
    keys: Vec<Key>,
    peppers: Vec<PepperForm>,
    bound_ms: u64,
    serve_stale_ms: Option<u64>,
    steps: Vec<Step>,
    expected: Expected,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    label: String,
    text: String,
    stored: bool,
    record: Option<KeyRecord>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PepperForm {
    version: u32,
    secret_hex: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    outcomes: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
enum Step {
    Start {
        process: u8,
    },
    Stop {
        process: u8,
    },
    Clock {
        ms: u64,
    },
    Pause {},
    Check {
        key: String,
        requires: Option<String>,
        process: u8,
    },
    Hold {},
    Begin {
        key: String,
        name: String,
    },
    Release {},
    End {
        name: String,
        open: bool,
    },
    Trouble {
        what: String,
    },
    Poll {},
    Flush {},
    Settle {},
    Recorded {
        key: String,
    },
    Verb {
        verb: String,
        key: String,
    },
    Invalidate {
        key: String,
    },
    Issue {
        key: String,
    },
    Revoke {
        key: String,
    },
    Suspend {
        key: String,
    },
    Resume {
        key: String,
    },
    Rotate {
        key: String,
        successor: String,
        overlap_ms: u64,
        end_on_first_use: bool,
    },
    Change {
        key: String,
        permissions: Vec<String>,
    },
    Gone {
        key: String,
    },
    Event {},
    Restore {},
}

/// The clock of the scenario that runs.
static NOW: AtomicU64 = AtomicU64::new(START);

fn now() -> UnixMillis {
    UnixMillis::new(NOW.load(Ordering::SeqCst)).unwrap()
}

fn clock() -> Result<UnixMillis, Error> {
    Ok(now())
}

fn lease_clock() -> Duration {
    Duration::from_millis(NOW.load(Ordering::SeqCst) - START + LEASE_START)
}

/// Until every task waits for something that a step brings.
async fn idle() {
    for _ in 0..200 {
        yield_now().await;
    }
}

struct Process {
    authenticator: Authenticator<Remote>,
    /// Makes it read the changes.
    signal: Arc<Notify>,
}

struct World {
    store: Arc<Remote>,
    keys: BTreeMap<String, Key>,
    /// What a restored backup holds.
    stored: Vec<KeyRecord>,
    peppers: PepperRing,
    bound: Duration,
    after: AfterBound,
    processes: BTreeMap<u8, Process>,
    begun: BTreeMap<String, JoinHandle<Answer>>,
    held_from: u32,
}

fn read() -> File {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/vectors")
        .join("authenticator.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn scenarios() {
    let file = read();
    assert!(!file.description.is_empty() && file.cases.len() >= 20);
    let mut wrong = Vec::new();
    for scenario in file.cases {
        NOW.store(START, Ordering::SeqCst);
        let (name, why) = (scenario.name.clone(), scenario.why.clone());
        if let Err(difference) = replay(scenario).await {
            wrong.push(format!("{name} ({why})\n  {difference}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn replay(scenario: Scenario) -> Result<(), String> {
    let (steps, outcomes) = (scenario.steps.len(), scenario.expected.outcomes.len());
    assert_eq!(steps, outcomes, "{}: an outcome for each", scenario.name);
    let mut world = World::of(scenario.keys, &scenario.peppers, scenario.bound_ms);
    if let Some(millis) = scenario.serve_stale_ms {
        world.after = AfterBound::ServeStale(Duration::from_millis(millis));
    }
    for record in &world.stored {
        world.store.insert(record, now()).await;
    }
    let steps = scenario.steps.into_iter().zip(scenario.expected.outcomes);
    for (number, (step, expected)) in steps.enumerate() {
        let got = world.act(step).await;
        if got != expected {
            return Err(format!(
                "step {number}: expected {expected}\n       got {got}"
            ));
        }
    }
    Ok(())
}

impl World {
    fn of(keys: Vec<Key>, peppers: &[PepperForm], bound_ms: u64) -> Self {
        let stored = keys.iter().filter(|key| key.stored);
        let stored = stored.map(|key| key.record.clone().unwrap()).collect();
        let mut ring = PepperRing::none();
        for form in peppers {
            let hex = form.secret_hex.as_bytes().chunks(2);
            let secret: Vec<u8> = hex
                .map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap())
                .collect();
            ring = PepperRing::new(Pepper::new(form.version, &secret).unwrap());
        }
        let keys = keys.into_iter().map(|key| (key.label.clone(), key));
        Self {
            store: Arc::new(Remote::new()),
            keys: keys.collect(),
            stored,
            peppers: ring,
            bound: Duration::from_millis(bound_ms),
            after: AfterBound::Revalidate,
            processes: BTreeMap::new(),
            begun: BTreeMap::new(),
            held_from: 0,
        }
    }

    fn process(&self, number: u8) -> &Authenticator<Remote> {
        &self.processes[&number].authenticator
    }

    fn record(&self, label: &str) -> &KeyRecord {
        self.keys[label].record.as_ref().unwrap()
    }

    async fn act(&mut self, step: Step) -> Value {
        let behind = self.store.memory();
        match step {
            Step::Start { process } => self.start(process).await,
            Step::Stop { process } => {
                let stopped = self.process(process).stop().await;
                let outcome = if stopped.is_ok() { "done" } else { "failed" };
                return json!({ "outcome": outcome });
            }
            Step::Clock { ms } => {
                NOW.fetch_add(ms, Ordering::SeqCst);
            }
            Step::Pause {} => {
                NOW.fetch_add(5_000, Ordering::SeqCst);
                tokio::time::advance(Duration::from_secs(5)).await;
                idle().await;
            }
            Step::Check {
                key,
                requires,
                process,
            } => {
                let before = self.store.finds();
                let text = self.keys[&key].text.as_bytes();
                let requirement = requires.map(|text| Requirement::parse(&text).unwrap());
                let mut request = Request::new();
                if let Some(requirement) = &requirement {
                    request = request.requires(requirement);
                }
                let answer = self.process(process).check(text, &request, now()).await;
                let finds = self.store.finds() - before;
                return json!({ "answer": word(&answer), "finds": finds });
            }
            Step::Hold {} => {
                self.held_from = self.store.finds();
                self.store.hold();
            }
            Step::Begin { key, name } => {
                let (authenticator, at) = (self.process(1).clone(), now());
                let text = self.keys[&key].text.clone().into_bytes();
                let check = async move { authenticator.check(&text, &Request::new(), at).await };
                self.begun.insert(name, tokio::spawn(check));
                idle().await;
            }
            Step::Release {} => {
                let finds = self.store.finds() - self.held_from;
                self.store.release();
                return json!({ "finds": finds });
            }
            Step::End { name, open } => {
                let answer = self.begun.remove(&name).unwrap().await.unwrap();
                if !open {
                    return json!({ "answer": word(&answer) });
                }
            }
            Step::Trouble { what } => {
                let ids = self.keys.values().filter_map(|key| key.record.as_ref());
                let ids: Vec<_> = ids.map(|record| record.id).collect();
                self.store.trouble(&what, &ids).await;
            }
            Step::Poll {} => {
                // The pause after the read before.
                tokio::time::advance(Duration::from_millis(20)).await;
                idle().await;
                self.processes[&1].signal.notify_one();
                idle().await;
                let age = self.process(1).stats().lease_age.as_millis();
                return json!({ "lease_age_ms": u64::try_from(age).unwrap() });
            }
            Step::Flush {} => {
                tokio::time::advance(Duration::from_secs(1)).await;
                idle().await;
            }
            Step::Settle {} => {
                idle().await;
                return json!({ "commits": self.store.take_commits() });
            }
            Step::Recorded { key } => return self.recorded(&key).await,
            Step::Verb { verb, key } => {
                let (keys, id) = (self.process(1), self.record(&key).id);
                let outcome = match &*verb {
                    "revoke" => keys.revoke(&id, "", now()).await,
                    "suspend" => keys.suspend(&id, now()).await,
                    "resume" => keys.resume(&id, now()).await,
                    other => panic!("no such verb: {other}"),
                };
                return json!({ "changed": outcome.unwrap().is_changed() });
            }
            Step::Invalidate { key } => {
                let id = self.record(&key).id;
                self.process(1).keyring().invalidate(&id);
            }
            Step::Issue { key } => self.store.insert(self.record(&key), now()).await,
            Step::Revoke { key } => {
                let id = self.record(&key).id;
                let done = keystile_store::revoke(&*behind, &id, "", now()).await;
                assert!(done.unwrap().is_changed());
            }
            Step::Suspend { key } => {
                let done = keystile_store::suspend(&*behind, &self.record(&key).id, now()).await;
                assert!(done.unwrap().is_changed());
            }
            Step::Resume { key } => {
                let done = keystile_store::resume(&*behind, &self.record(&key).id, now()).await;
                assert!(done.unwrap().is_changed());
            }
            Step::Rotate {
                key,
                successor,
                overlap_ms,
                end_on_first_use,
            } => {
                let policy = RotationPolicy::default()
                    .with_overlap(Millis::new(overlap_ms))
                    .unwrap()
                    .with_end_on_first_use(end_on_first_use);
                let id = self.record(&key).id;
                let (none, mut rng) = (PepperRing::none(), SysRng);
                let rotated =
                    keystile_store::rotate(&*behind, &id, &policy, None, &none, &mut rng, now());
                let rotated = rotated.await.unwrap();
                let made = Key {
                    label: successor.clone(),
                    text: rotated.key.expose().to_owned(),
                    stored: false,
                    record: Some(rotated.successor),
                };
                self.keys.insert(successor, made);
            }
            Step::Change { key, permissions } => {
                let id = self.record(&key).id;
                let mut record = behind.find(&Lookup::Id(id)).await.unwrap().unwrap();
                record.permissions = PermissionSet::new(permissions).unwrap();
                record.version += 1;
                let event = Event::new(EventKind::Changed, id, now()).with_version(record.version);
                let mut batch = Batch::new();
                batch.updates.push(record);
                batch.events.push(event);
                behind.commit(&batch).await.unwrap();
            }
            Step::Gone { key } => self.store.lose(self.record(&key).id),
            Step::Event {} => {
                let mut batch = Batch::new();
                batch.events.push(Event::of_many(EventKind::Changed, now()));
                behind.commit(&batch).await.unwrap();
            }
            Step::Restore {} => {
                self.store.empty();
                for record in &self.stored {
                    self.store.insert(record, now()).await;
                }
            }
        }
        Value::Null
    }

    async fn start(&mut self, number: u8) {
        let signal = Arc::new(Notify::new());
        let format = KeyFormat::structured("acme").unwrap();
        let verifier = Verifier::new(format).with_peppers(self.peppers.clone());
        let authenticator = Authenticator::builder(Arc::clone(&self.store), verifier)
            .revocation_bound(self.bound)
            .after_bound(self.after)
            .poll_interval(self.bound / 2)
            .flush_interval(Duration::from_secs(1))
            .lease_clock(lease_clock)
            .clock(clock)
            .change_signal(Arc::clone(&signal))
            .build()
            .unwrap();
        let process = Process {
            authenticator,
            signal,
        };
        self.processes.insert(number, process);
        idle().await;
    }

    async fn recorded(&self, label: &str) -> Value {
        let store = self.store.memory();
        let id = self.record(label).id;
        let record = store.find(&Lookup::Id(id)).await.unwrap().unwrap();
        let usage = store.usage(&record.lineage).await.unwrap().usage;
        let digest = record.digest.to_string();
        let full_at = Some(usage.rate).filter(|rate| *rate != RateState::default());
        json!({
            "version": record.version,
            "digest": digest.rsplit_once(':').unwrap().0,
            "last_used_at": record.last_used_at.map(UnixMillis::get),
            "remaining_uses": record.remaining_uses,
            "full_at": full_at.and_then(RateState::full_at).map(UnixMillis::get),
        })
    }
}

/// `allow`, or the code of a denial.
fn word(answer: &Answer) -> &'static str {
    answer.decision.denial().map_or("allow", |denial| {
        let code: DenialCode = denial.code();
        code.as_str()
    })
}

/// Each test that the page of the rules names is there.
#[test]
fn each_rule_names_tests_that_exist() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(root.join("docs/protocol.md")).unwrap();
    let scenarios: BTreeSet<_> = read().cases.into_iter().map(|case| case.name).collect();
    let mut sources = String::new();
    for folder in [
        "adapters/store/tests/authenticator",
        "adapters/store/src/authenticator",
        "bindings/go",
        "bindings/go/keystilesql",
    ] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                sources += &fs::read_to_string(path).unwrap_or_default();
            }
        }
    }
    let (mut rules, mut named, mut missing) = (0, BTreeSet::new(), Vec::new());
    for rule in page.split("\n\n").flat_map(|part| part.split("\n")) {
        rules += usize::from(
            rule.split_once(". **")
                .is_some_and(|(number, _)| number.chars().all(|digit| digit.is_ascii_digit())),
        );
    }
    for name in page.split('`').skip(1).step_by(2) {
        let is_missing = if let Some(scenario) = name.strip_prefix("authenticator.json: ") {
            named.insert(scenario.to_owned());
            scenario != "NAME" && !scenarios.contains(scenario)
        } else if name.starts_with("Test") {
            !sources.contains(&format!("func {name}("))
        } else if name.matches('_').count() > 2 {
            !sources.contains(&format!("fn {name}("))
        } else {
            false
        };
        if is_missing {
            missing.push(name);
        }
    }
    assert!(rules > 40, "{rules} rules");
    assert!(missing.is_empty(), "{missing:?}");
}
