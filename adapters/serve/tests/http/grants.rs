//! P4 over HTTP: random calls by callers with different rights, and after each of them no key has
//! more than its caller or its source had. The oracle is written from the specification.

mod again;
mod bodies;
mod controls;
mod oracle;
mod random;

use std::collections::{BTreeMap, HashSet};

use keystile::{KeyId, KeyRecord, Status, UnixMillis};
use keystile_store::{Filter, Page, Store};
use serde_json::Value;

use self::again::{Once, ended_many, repeated};
use self::bodies::callers_at_first;
use self::oracle::{end, more, more_rights};
use self::random::{Call, Kind, Random};
use crate::service::Running;

const SEEDS: [u64; 4] = [1, 2, 3, 4];
const CALLS: usize = 800;

type Keys = BTreeMap<KeyId, KeyRecord>;

struct World {
    running: Running,
    /// The texts of the keys that may be able to call.
    callers: Vec<(String, KeyId)>,
    /// Lineages of derived keys that were kept although they have more than their source: section 8
    /// lets a change ask for it.
    kept: HashSet<KeyId>,
    templates: BTreeMap<String, Value>,
    once: Option<Once>,
    /// Calls of each kind that were answered with success, and that were refused.
    counts: BTreeMap<Kind, (usize, usize)>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_no_caller_gives_more_than_it_has() {
    let mut counts = BTreeMap::<Kind, (usize, usize)>::new();
    for seed in SEEDS {
        let mut world = World::new().await;
        let mut random = Random::new(seed);
        for number in 0..CALLS {
            let problem = world.step(&mut random).await;
            assert!(problem.is_empty(), "seed {seed}, call {number}: {problem}");
        }
        for (kind, (done, refused)) in &world.counts {
            let sum = counts.entry(*kind).or_default();
            *sum = (sum.0 + done, sum.1 + refused);
        }
        world.running.stop().await;
    }
    for (kind, (done, refused)) in &counts {
        assert!(*done >= 5, "{kind:?} was done {done} times");
        assert!(*refused >= 5, "{kind:?} was refused {refused} times");
    }
    assert_eq!(counts.len(), Kind::ALL.len(), "{counts:?}");
}

impl World {
    async fn new() -> Self {
        let running = Running::with(|settings| settings.invalid_keys = None).await;
        let mut callers = Vec::new();
        let all = Filter::default();
        let root = running.store.list(&all, Page::first(1_000)).await;
        let root = root.unwrap().records;
        let root = root
            .iter()
            .find(|key| key.permissions.grants("anything:at:all"));
        callers.push((running.admin.clone(), root.unwrap().id));
        for request in callers_at_first() {
            let (text, id) = running.issue(request).await;
            callers.push((text, id.parse().unwrap()));
        }
        let mut templates = BTreeMap::new();
        for (path, permissions) in [("gold", ["a:x", "a:y"]), ("silver", ["a:x", "b:x"])] {
            let path = format!("/v1/templates/{path}");
            let body = serde_json::json!({ "permissions": permissions });
            let line = format!("PUT {path}");
            let put = running.call(&running.admin, &line, Some(&body)).await;
            assert_eq!(put.0, 201);
            templates.insert(path, body);
        }
        Self {
            running,
            callers,
            kept: HashSet::new(),
            templates,
            once: None,
            counts: BTreeMap::new(),
        }
    }

    /// The keys, and their ids in the order of their insertion, which is the same each time.
    async fn keys(&self) -> (Keys, Vec<KeyId>) {
        let all = Filter::default();
        let listed = self.running.store.list(&all, Page::first(1_000)).await;
        let listed = listed.unwrap();
        assert!(listed.next.is_none(), "more keys than a page");
        let order = listed.records.iter().map(|key| key.id).collect();
        let keys = listed.records.into_iter().map(|key| (key.id, key));
        (keys.collect(), order)
    }

    async fn send(&self, text: &str, call: &Call) -> (u16, Value) {
        let (line, body) = (call.line(), call.body.as_ref());
        let Some(once) = &call.once else {
            return self.running.call(text, &line, body).await;
        };
        let headers = [
            format!("X-API-Key: {text}"),
            format!("Idempotency-Key: {once}"),
        ];
        let answer = self.running.ask(&line, &headers, body).await;
        (answer.status, serde_json::from_str(&answer.body).unwrap())
    }

    /// Makes a call; returns what is wrong afterwards, or nothing.
    async fn step(&mut self, random: &mut Random) -> String {
        let (before, order) = self.keys().await;
        let (mut text, caller) = random.caller(&self.callers, &before);
        let mut caller = &before[&caller];
        let mut call = random.call(caller, &before, &order);
        match &self.once {
            Some(once) if call.kind == Kind::Repeat => {
                let (first_text, first, again) = once.again(random);
                (text, caller, call) = (first_text, &before[&first], again);
            }
            None if call.kind == Kind::Repeat => call.kind = Kind::Issue,
            _ => {}
        }
        let line = call.line();
        let (status, answer) = self.send(&text, &call).await;
        assert!(status < 500, "{line}: {answer}");
        let (after, _) = self.keys().await;
        let count = self.counts.entry(call.kind).or_default();
        let is_done = match call.kind.is_bulk() {
            true => {
                status == 200
                    && answer["key_ids"]
                        .as_array()
                        .is_some_and(|ids| !ids.is_empty())
            }
            false => status < 300,
        };
        let states = (&before, &after);
        match is_done {
            true => count.0 += 1,
            false => count.1 += 1,
        }
        if let (Some(key), Some(id)) = (answer["key"].as_str(), answer["key_id"].as_str()) {
            self.callers.push((key.to_owned(), id.parse().unwrap()));
        }
        if is_done && call.keeps() {
            let named = named(&call, &answer);
            let sources: HashSet<_> = named.iter().map(|id| before[id].lineage).collect();
            let is_kept = |key: &&KeyRecord| {
                key.derived_from
                    .is_some_and(|from| sources.contains(&from.lineage))
                    && exceeds(key, &after).is_some()
            };
            let kept = after.values().filter(is_kept).map(|key| key.lineage);
            self.kept.extend(kept);
        }
        let problems = [
            gained(caller, &call, &before, &after),
            touched(caller, &call, is_done, &answer, &before),
            rotated(caller, &call, is_done, &before, &after),
            derived(&self.kept, &after),
            uses(caller, &before, &after),
            template(&mut self.templates, caller, &call, is_done),
            ended_many(caller, &call, &answer, states),
            repeated(self.once.as_ref(), &call, is_done, &answer, states),
        ];
        let first = Once::of(&call, (&text, caller.id), &answer);
        self.once = first.or(self.once.take());
        let problem = problems.into_iter().flatten().next();
        problem.map_or_else(String::new, |problem| {
            let body = call.body.as_ref().map(Value::to_string).unwrap_or_default();
            format!("{problem}\n{line} {body}\nby {caller:?}\n{status} {answer}")
        })
    }
}

/// An active key that derives from another has no more than its source, and ends no later.
fn derived(kept: &HashSet<KeyId>, after: &Keys) -> Option<String> {
    let now = crate::keys::now().get();
    let is_active =
        |key: &&KeyRecord| key.status == Status::Active && end(key).is_none_or(|end| now < end);
    let mut active = after.values().filter(is_active);
    active.find_map(|key| {
        let problem = exceeds(key, after)?;
        let is_kept = kept.contains(&key.lineage) && !problem.is_final;
        (!is_kept).then(|| format!("{key:?} has more than its source: {}", problem.text))
    })
}

/// What a derived key has that its source has not.
struct Excess {
    text: String,
    /// Whether no change can ask for it to be kept.
    is_final: bool,
}

fn exceeds(key: &KeyRecord, keys: &Keys) -> Option<Excess> {
    let lineage = key.derived_from?.lineage;
    let of_source = keys.values().filter(|other| other.lineage == lineage);
    let live = of_source.filter(|other| !matches!(other.status, Status::Revoked { .. }));
    // The newest: a key whose successor was revoked is its lineage's last again.
    let newest = live.max_by_key(|other| (other.replaced_by.is_none(), other.created_at));
    let Some(mut source) = newest.cloned() else {
        return Some(Excess {
            text: "all keys of its source are revoked".to_owned(),
            is_final: true,
        });
    };
    // The end of an overlap does nothing to derived keys.
    source.overlap_until = None;
    // What was given to the key was taken off there.
    if key.remaining_uses.is_some() {
        source.remaining_uses = None;
    }
    more(key, &source).map(|more| Excess {
        text: format!("{source:?}: {more}"),
        is_final: false,
    })
}

/// Templates are for the keys of all owners, and have no more than who writes them.
fn template(
    templates: &mut BTreeMap<String, Value>,
    caller: &KeyRecord,
    call: &Call,
    is_done: bool,
) -> Option<String> {
    if call.kind != Kind::Template || !is_done {
        return None;
    }
    let body = call.body.clone()?;
    let old = templates.insert(call.path.clone(), body.clone());
    if !caller
        .permissions
        .iter()
        .any(|one| ["*", "keystile:*", "keystile:owners:any"].contains(&one))
    {
        return Some("a template was written without keystile:owners:any".to_owned());
    }
    let given = [Some(body), old].into_iter().flatten();
    let mut given = given.map(|body| bodies::as_key(caller, &body));
    given.find_map(|key| more_rights(&key, caller))
}

/// Nothing that it has can be used again.
fn has_ended(key: &KeyRecord) -> bool {
    let is_over = end(key).is_some_and(|end| end <= crate::keys::now().get());
    is_over || matches!(key.status, Status::Revoked { .. })
}

/// As the caller's key, for a key of another owner if it may see all.
fn reach(caller: &KeyRecord, key: &KeyRecord) -> KeyRecord {
    let mut reach = caller.clone();
    let any = [
        "*",
        "keystile:*",
        "keystile:owners:*",
        "keystile:owners:any",
    ];
    if caller.permissions.iter().any(|one| any.contains(&one)) {
        reach.owner.clone_from(&key.owner);
        reach.environment = key.environment;
    }
    reach
}

/// A key that is new, resumed, or has more than before, has no more than the caller had.
fn gained(caller: &KeyRecord, call: &Call, before: &Keys, after: &Keys) -> Option<String> {
    for key in after.values().filter(|key| !has_ended(key)) {
        let old = before.get(&key.id);
        let resumed =
            old.is_some_and(|old| old.status != key.status) && key.status == Status::Active;
        if old.is_some_and(|old| more(key, old).is_none()) && !resumed {
            continue;
        }
        let mut most = reach(caller, key);
        let is_own = call.kind == Kind::Rotate && call.target == Some(caller.id);
        let renews = caller.permissions.iter().any(|one| {
            ["*", "keystile:*", "keystile:keys:*", "keystile:keys:renew"].contains(&one)
        });
        if is_own && old.is_none() && renews {
            // Another life of the same length.
            let life = caller
                .expires_at
                .map(|end| end.get() - caller.created_at.get());
            let given = caller.lifetime.map(|given| given.get()).or(life);
            let end = given.map(|given| key.created_at.get() + given);
            most.expires_at = end.map(|end| UnixMillis::new(end).unwrap());
            most.overlap_until = None;
        }
        if let Some(more) = more(key, &most) {
            return Some(format!("{key:?} got more than the caller had: {more}"));
        }
    }
    None
}

/// The keys that a call is about.
fn named(call: &Call, answer: &Value) -> Vec<KeyId> {
    let ids = answer["key_ids"].as_array().into_iter().flatten();
    let ids = ids.map(|id| id.as_str().unwrap().parse().unwrap());
    match call.kind.is_bulk() {
        true => ids.collect(),
        false => call.target.into_iter().collect(),
    }
}

/// A key that is changed, rotated or resumed had no more than the caller before.
fn touched(
    caller: &KeyRecord,
    call: &Call,
    is_done: bool,
    answer: &Value,
    before: &Keys,
) -> Option<String> {
    if !is_done
        || matches!(
            call.kind,
            Kind::Issue
                | Kind::IssueOnce
                | Kind::Repeat
                | Kind::Suspend
                | Kind::Revoke
                | Kind::SuspendMany
                | Kind::RevokeMany
                | Kind::Template
        )
    {
        return None;
    }
    for id in named(call, answer) {
        let key = &before[&id];
        if let Some(more) = more(key, &reach(caller, key)) {
            return Some(format!("{key:?} had more than the caller: {more}"));
        }
    }
    None
}

/// A successor has no more than its predecessor, but for the end.
fn rotated(
    caller: &KeyRecord,
    call: &Call,
    is_done: bool,
    before: &Keys,
    after: &Keys,
) -> Option<String> {
    if !is_done || call.kind != Kind::Rotate {
        return None;
    }
    let old = &before[&call.target?];
    let new = after.values().find(|key| !before.contains_key(&key.id))?;
    let mut most = old.clone();
    (most.expires_at, most.overlap_until) = (None, None);
    if let Some(more) = more(new, &most) {
        return Some(format!(
            "the successor {new:?} has more than {old:?}: {more}"
        ));
    }
    let is_live = |key: &&KeyRecord| {
        key.lineage == old.lineage
            && !matches!(key.status, Status::Revoked { .. })
            && end(key).is_none_or(|end| end > new.created_at.get())
    };
    let live = after.values().filter(is_live).count();
    (live > 2).then(|| format!("{live} live keys after a rotation by {}", caller.id))
}

/// What a caller with counted uses gives is taken off somewhere.
fn uses(caller: &KeyRecord, before: &Keys, after: &Keys) -> Option<String> {
    caller.remaining_uses?;
    let sum = |keys: &Keys| -> u64 {
        let lineages: BTreeMap<_, _> = keys
            .values()
            .map(|key| (key.lineage, key.remaining_uses))
            .collect();
        lineages.values().flatten().sum()
    };
    let (had, has) = (sum(before), sum(after));
    (has > had).then(|| format!("{had} uses became {has}"))
}
