//! Keys that derive from others: every order of suspending, resuming and revoking in a small
//! family, and random sequences of everything that can give a key more.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "this is a test"
)]
#![allow(clippy::arithmetic_side_effects, reason = "this is a test")]

use std::collections::HashMap;

use keystile::{
    IssueRequest, Issuer, KeyChange, KeyFormat, KeyId, KeyRecord, Millis, PepperRing,
    PermissionSet, RotationPolicy, Status, SysRng, UnixMillis,
};
use keystile_store::{
    MemoryStore, OfDerived, Reach, Store, StoreError, change, change_derived, delegate, record,
    resume_reaching, revoke_reaching, rotate, save_issued, suspend_reaching,
};

const HOUR: u64 = 3_600_000;

fn at(millis: u64) -> UnixMillis {
    UnixMillis::new(1_790_000_000_000 + millis).unwrap()
}

fn issuer() -> Issuer {
    Issuer::new(KeyFormat::structured("acme").unwrap())
}

async fn issued(store: &MemoryStore, request: &IssueRequest) -> KeyId {
    let issued = issuer().issue(request, &mut SysRng, at(0)).unwrap();
    save_issued(store, &issued).await.unwrap();
    issued.record.id
}

/// What a key of a chain is by itself: the whole of the rule for statuses.
#[derive(Clone, Copy, Debug, Default)]
struct Own {
    is_suspended: bool,
    is_revoked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Suspend,
    Resume,
    Revoke,
}

/// The rule: a key is revoked with its source, and rests while it or its source rests.
fn expected(keys: &[Own]) -> Vec<&'static str> {
    let mut all: Vec<&'static str> = Vec::new();
    for key in keys {
        let source = all.last().copied().unwrap_or("active");
        all.push(match key {
            _ if source == "revoked" => "revoked",
            Own {
                is_revoked: true, ..
            } => "revoked",
            _ if source == "suspended" => "suspended",
            Own {
                is_suspended: true, ..
            } => "suspended",
            _ => "active",
        });
    }
    all
}

/// Whether a verb is carried out, and what the keys are by themselves then.
fn model(keys: &mut [Own], verb: Verb, place: usize) -> bool {
    let before = expected(keys);
    let own = before[place];
    match verb {
        _ if own == "revoked" && verb != Verb::Revoke => false,
        Verb::Suspend => {
            keys[place].is_suspended = true;
            true
        }
        Verb::Resume if own == "suspended" && place > 0 && before[place - 1] != "active" => false,
        Verb::Resume => {
            keys[place].is_suspended = false;
            true
        }
        Verb::Revoke => {
            keys[place].is_revoked = true;
            true
        }
    }
}

async fn carry_out(store: &MemoryStore, verb: Verb, key: &KeyId) -> bool {
    let done = match verb {
        Verb::Suspend => suspend_reaching(store, key, Reach::Last, at(1)).await,
        Verb::Resume => resume_reaching(store, key, at(1)).await,
        Verb::Revoke => revoke_reaching(store, key, "leaked", Reach::Last, at(1)).await,
    };
    match done {
        Ok(_) => true,
        Err(StoreError::Refused(_) | StoreError::Derived(_)) => false,
        Err(error) => panic!("{error:?}"),
    }
}

async fn statuses(store: &MemoryStore, keys: &[KeyId]) -> Vec<&'static str> {
    let mut all = Vec::new();
    for key in keys {
        all.push(record(store, key).await.unwrap().status.as_str());
    }
    all
}

/// Every sequence of five verbs on a chain of three keys.
#[tokio::test]
async fn every_order_of_verbs_on_a_chain_keeps_the_rule() {
    let verbs = [Verb::Suspend, Verb::Resume, Verb::Revoke];
    let steps: Vec<(Verb, usize)> = verbs
        .into_iter()
        .flat_map(|verb| (0..3).map(move |place| (verb, place)))
        .collect();
    let length = 5;
    let mut carried_out = 0_u32;
    for number in 0..steps.len().pow(length) {
        let store = MemoryStore::new();
        let request = IssueRequest::new("Acme").unwrap();
        let mut keys = vec![issued(&store, &request).await];
        for _ in 0..2 {
            let from = keys.last().unwrap();
            let derived = delegate(&store, from, &issuer(), &request, &mut SysRng, at(0)).await;
            keys.push(derived.unwrap().record.id);
        }
        let mut own = [Own::default(); 3];
        let mut rest = number;
        let mut way = Vec::new();
        for _ in 0..length {
            let (verb, place) = steps[rest % steps.len()];
            rest /= steps.len();
            way.push((verb, place));
            let is_done = carry_out(&store, verb, &keys[place]).await;
            assert_eq!(is_done, model(&mut own, verb, place), "{way:?}");
            assert_eq!(statuses(&store, &keys).await, expected(&own), "{way:?}");
            carried_out += u32::from(is_done);
        }
    }
    assert!(carried_out > 100_000, "{carried_out}");
}

/// A small generator of numbers, so that a failure can be repeated.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// Every record, by its id.
async fn all(store: &MemoryStore, roots: &[KeyId]) -> HashMap<KeyId, KeyRecord> {
    let mut found = HashMap::new();
    for root in roots {
        let own = store.lineage(root).await.unwrap().records;
        let derived = store.derived(root, at(0)).await.unwrap().records;
        found.extend(own.into_iter().chain(derived).map(|key| (key.id, key)));
    }
    found
}

/// P4 in time: for each live derived key some key of its source's lineage lives, and that one
/// ends no earlier and may do no less. Uses are not made.
async fn check(store: &MemoryStore, roots: &[KeyId], uses: u64, now: UnixMillis, way: &str) {
    let keys = all(store, roots).await;
    for key in keys.values().filter(|key| key.is_live(now)) {
        let Some(from) = key.derived_from else {
            continue;
        };
        let sources = keys
            .values()
            .filter(|source| source.lineage == from.lineage);
        let holds = |source: &KeyRecord| {
            let mut own = key.clone();
            own.remaining_uses = source.remaining_uses;
            own.expires_at = own.ends_at();
            source.is_live(now) && own.is_within(source)
        };
        let mut sources = sources.peekable();
        assert!(
            sources.peek().is_some(),
            "a source that is not there: {way}"
        );
        assert!(
            sources.any(holds),
            "{} has more than its source: {way}",
            key.id
        );
    }
    let lineages: HashMap<KeyId, u64> = keys
        .values()
        .filter(|key| !matches!(key.status, Status::Revoked { .. }))
        .map(|key| (key.lineage, key.remaining_uses.unwrap()))
        .collect();
    let left: u64 = lineages.values().sum();
    assert!(left <= uses, "{left} uses of {uses}: {way}");
}

/// Random sequences of delegating, changing, rotating, revoking, suspending and resuming.
#[tokio::test]
async fn p4_no_sequence_gives_a_derived_key_more_than_its_source() {
    let rights = ["read", "write", "audit"];
    let (mut given, mut refused) = (0, 0);
    for seed in 1..=400 {
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed));
        let store = MemoryStore::new();
        let request = IssueRequest::new("Acme")
            .unwrap()
            .permissions(rights)
            .unwrap();
        let request = request
            .uses(40)
            .unwrap()
            .expires_in(Millis::new(9 * HOUR))
            .unwrap();
        let root = issued(&store, &request).await;
        let (mut now, mut way) = (0, format!("seed {seed}"));
        for _ in 0..40 {
            let mut keys: Vec<KeyId> = all(&store, &[root]).await.into_keys().collect();
            keys.sort();
            let key = keys[usize::try_from(dice.roll(keys.len() as u64)).unwrap()];
            let instant = at(now);
            let some: Vec<&str> = rights.into_iter().filter(|_| dice.roll(2) == 0).collect();
            let verb = dice.roll(9);
            let before = record(&store, &key).await.unwrap();
            // The root may be given more uses and life: by those who own the store.
            let is_root = before.lineage == root;
            let done: Result<(), StoreError> = match verb {
                0 | 1 => {
                    let mut asked = IssueRequest::new("Acme")
                        .unwrap()
                        .permissions(&some)
                        .unwrap();
                    if dice.roll(2) == 0 {
                        asked = asked.uses(1 + dice.roll(12)).unwrap();
                    }
                    if dice.roll(2) == 0 {
                        let length = Millis::new((1 + dice.roll(12)) * HOUR);
                        asked = asked.expires_in(length).unwrap();
                    }
                    let made =
                        delegate(&store, &key, &issuer(), &asked, &mut SysRng, instant).await;
                    made.map(drop)
                }
                2 => {
                    let mut policy = RotationPolicy::default();
                    if dice.roll(2) == 0 {
                        let length = Millis::new((1 + dice.roll(20)) * HOUR);
                        policy = policy.with_lifetime(length).unwrap();
                    }
                    let none = PepperRing::none();
                    let made =
                        rotate(&store, &key, &policy, None, &none, &mut SysRng, instant).await;
                    made.map(drop)
                }
                3 => {
                    let some = PermissionSet::new(&some).unwrap();
                    let requested = KeyChange::new().permissions(some);
                    let rules = [OfDerived::Refuse, OfDerived::Suspend, OfDerived::Revoke];
                    let rule = rules[usize::try_from(dice.roll(3)).unwrap()];
                    let permit = |_: &KeyRecord, _: &KeyRecord| Ok::<(), StoreError>(());
                    let made =
                        change_derived(&store, &key, &requested, rule, instant, permit).await;
                    made.map(drop)
                }
                4 => {
                    let length = Millis::new((1 + dice.roll(20)) * HOUR);
                    let requested = KeyChange::new().expires_in(length).unwrap();
                    change(&store, &key, &requested, instant).await.map(drop)
                }
                5 if !is_root => {
                    let requested = KeyChange::new().uses(1 + dice.roll(30)).unwrap();
                    change(&store, &key, &requested, instant).await.map(drop)
                }
                6 => suspend_reaching(&store, &key, Reach::Last, instant)
                    .await
                    .map(drop),
                7 => resume_reaching(&store, &key, instant).await.map(drop),
                8 if dice.roll(6) == 0 && !is_root => {
                    revoke_reaching(&store, &key, "", Reach::Last, instant)
                        .await
                        .map(drop)
                }
                _ => {
                    now += HOUR / 2;
                    Ok(())
                }
            };
            way.push_str(&format!("\n {verb} {key} {some:?} at {now}: {done:?}"));
            match done {
                Ok(()) => given += 1,
                Err(StoreError::Refused(_) | StoreError::Derived(_)) => refused += 1,
                Err(error) => panic!("{error:?}: {way}"),
            }
            check(&store, &[root], 40, at(now), &way).await;
        }
    }
    assert!(given > 4_000 && refused > 1_000, "{given} and {refused}");
}
