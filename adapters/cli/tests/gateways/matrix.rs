//! Every shape, through every gateway, to every service.

use std::collections::BTreeMap;

use crate::answers::{self, is_refusal};
use crate::client::{self, Answer};
use crate::gateway::{ALL, Gateway, Running};
use crate::oracle::problems;
use crate::setup::Setup;
use crate::shapes::{Expected, Shape, shapes, spelled};
use crate::upstream::{Seen, Upstream};

/// What one shape came to.
pub(crate) struct Outcome {
    answer: Option<Answer>,
    seen: Vec<Seen>,
}

/// O1 (h2c), O2 (names in `Connection`), O3 (other spellings of names), B9, B10, I10 and the paths
/// of A1 to A16.
#[test]
fn no_request_reaches_what_its_key_may_not_or_changes_who_it_is() {
    let Some(setup) = Setup::start() else {
        return;
    };
    let (upstreams, shapes) = (Upstream::all(&setup.tools), shapes());
    let mut gateways = Vec::new();
    for gateway in ALL {
        for upstream in &upstreams {
            let keystile = setup.keystile.address;
            let started = gateway.start(&setup.tools, keystile, upstream.address);
            gateways.push((started, (0..shapes.len()).collect()));
        }
    }
    let outcomes = outcomes(&setup, &upstreams, &mut gateways, &shapes);
    let mut failures = Vec::new();
    for ((number, at), outcome) in &outcomes {
        let (gateway, shape) = (gateways[*number].0.gateway, &shapes[*at]);
        for problem in judged(gateway, shape, outcome, &setup) {
            let upstream = ["ASGI", "WSGI", "Go"][number % 3];
            let name = gateway.name();
            failures.push(format!("{name}, {upstream}, {}: {problem}", shape.name));
        }
    }
    let text = failures.join("\n");
    assert!(failures.is_empty(), "{} failures\n{text}", failures.len());
}

/// Sends shapes through gateways, to each the ones with these numbers.
pub(crate) fn outcomes(
    setup: &Setup,
    upstreams: &[Upstream],
    gateways: &mut [(Running, Vec<usize>)],
    shapes: &[Shape],
) -> BTreeMap<(usize, usize), Outcome> {
    let mut outcomes = BTreeMap::new();
    std::thread::scope(|scope| {
        let threads: Vec<_> = gateways
            .iter_mut()
            .enumerate()
            .map(|(number, (gateway, own))| {
                scope.spawn(move || {
                    gateway.wait();
                    let send = |at: &usize| {
                        let id = format!("{number}.{at}");
                        client::send(gateway.address, &shapes[*at], &setup.words, &id)
                    };
                    own.iter().map(|at| (*at, send(at))).collect::<Vec<_>>()
                })
            })
            .collect();
        for (number, thread) in threads.into_iter().enumerate() {
            for (at, answer) in thread.join().unwrap() {
                let seen = Vec::new();
                outcomes.insert((number, at), Outcome { answer, seen });
            }
        }
    });
    for seen in upstreams.iter().flat_map(Upstream::seen) {
        let id = seen.values("x-shape").join(",");
        let place = id.split_once('.').and_then(|(number, at)| {
            let place = (number.parse().ok()?, at.parse().ok()?);
            outcomes.get_mut(&place)
        });
        let place: &mut Outcome =
            place.unwrap_or_else(|| panic!("a request without a mark: {seen:?}"));
        place.seen.push(seen);
    }
    outcomes
}

/// What is wrong with the outcome of a shape.
pub(crate) fn judged(
    gateway: Gateway,
    shape: &Shape,
    outcome: &Outcome,
    setup: &Setup,
) -> Vec<String> {
    let Outcome { answer, seen } = outcome;
    let mut found = Vec::new();
    for one in seen {
        for problem in problems(shape, one, &setup.identities, &setup.words) {
            found.push(format!("{problem}: {one:?}"));
        }
    }
    let is_spoken = !shape.h2 || gateway.speaks_h2();
    let is_answered = answer.as_ref().is_some_and(|answer| answer.status == 200);
    if let Some(answer) = answer {
        for problem in answers::problems(shape, answer, seen, &setup.words) {
            found.push(format!("{problem}: {answer:?}"));
        }
    }
    let expect = shape.expect_of(gateway.name());
    match expect.filter(|_| is_spoken) {
        Some(Expected::Pass) if seen.len() != 1 || !is_answered => {
            found.push(format!("it must pass once: {answer:?} {seen:?}"));
        }
        Some(Expected::Refuse) if !seen.is_empty() || !is_refusal(shape, answer.as_ref()) => {
            found.push(format!("it must be refused: {answer:?} {seen:?}"));
        }
        _ => {}
    }
    if let Some(line) = &shape.keeps {
        let (name, value) = line.split_once(": ").expect("a header line");
        let value = spelled(value, &setup.words);
        if !seen.iter().all(|one| one.values(name) == [&value]) {
            found.push(format!("a header is lost: {line}: {seen:?}"));
        }
    }
    found
}
