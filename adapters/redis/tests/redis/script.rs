//! The script counts as the limits in the store's crate do, bit by bit, and as the specification
//! says, by vectors that another program has computed.

use core::fmt::Write;

use keystile::{Millis, RateLimit, RateState, UnixMillis};
use keystile_store::LineageRates;
use redis::{Connection, Script};
use serde_json::Value;

use super::server::Server;

const TEXT: &str = include_str!("../../src/limits.lua");
const VECTORS: &str = include_str!("../../../../tests/vectors/shared_limits.json");
const CLOCK: &str = "redis.call('TIME')";

/// The script, with the clock as its last argument, and with an edit.
fn edited(from: &str, to: &str) -> Script {
    assert_eq!(TEXT.matches(CLOCK).count(), 1);
    assert!(TEXT.contains(from), "{from}");
    let text = TEXT.replace(from, to);
    let clock = "{ math.floor(ARGV[#ARGV] / 1000), (ARGV[#ARGV] % 1000) * 1000 }";
    Script::new(&text.replace(CLOCK, clock))
}

/// What counts: the script, or what it is compared with.
trait Counts {
    fn take(&mut self, limit: &RateLimit, tokens: u32, now: UnixMillis) -> (u32, RateState);
    fn give_back(&mut self, limit: &RateLimit, tokens: u32, held: Held);
}

/// When a rest was taken, until how long after that it is taken back, and when it comes.
#[derive(Clone, Copy)]
struct Held {
    taken_at: UnixMillis,
    within: Millis,
    now: UnixMillis,
}

struct OnServer<'s> {
    script: &'s Script,
    connection: &'s mut Connection,
}

impl OnServer<'_> {
    fn run(&mut self, verb: &str, limit: &RateLimit, rest: &[u64]) -> [u64; 4] {
        let mut call = self.script.key("lineage");
        call.arg(verb)
            .arg(limit.limit())
            .arg(limit.window().get())
            .arg(limit.burst());
        for number in rest {
            call.arg(number);
        }
        let answer: Result<Vec<u64>, _> = call.invoke(self.connection);
        match answer {
            Ok(answer) => answer.try_into().unwrap(),
            // What a broken script has written; no vector has as many tokens.
            Err(error) if error.code() == Some("KEYSTILE") => {
                [u32::MAX.into(), 0, 0, *rest.last().unwrap()]
            }
            Err(error) => panic!("{error}"),
        }
    }
}

impl Counts for OnServer<'_> {
    fn take(&mut self, limit: &RateLimit, tokens: u32, now: UnixMillis) -> (u32, RateState) {
        let answer = self.run("take", limit, &[tokens.into(), now.get()]);
        let [taken, millis, parts, clock] = answer;
        assert_eq!(clock, now.get());
        (
            u32::try_from(taken).unwrap(),
            RateState::from_bits(millis << 20 | parts),
        )
    }

    fn give_back(&mut self, limit: &RateLimit, tokens: u32, held: Held) {
        let (taken_at, within, now) = (held.taken_at.get(), held.within.get(), held.now.get());
        self.run("give", limit, &[tokens.into(), taken_at, within, now]);
    }
}

impl Counts for LineageRates {
    fn take(&mut self, limit: &RateLimit, tokens: u32, now: UnixMillis) -> (u32, RateState) {
        Self::take(self, limit, tokens, now)
    }

    fn give_back(&mut self, limit: &RateLimit, tokens: u32, held: Held) {
        let is_timely = held.taken_at <= held.now && held.now.since(held.taken_at) <= held.within;
        if is_timely {
            Self::give_back(self, limit, tokens);
        }
    }
}

fn number(value: &Value, field: &str) -> u64 {
    value[field]
        .as_u64()
        .unwrap_or_else(|| panic!("{field} in {value}"))
}

fn limit_of(value: &Value) -> RateLimit {
    let (limit, burst) = (number(value, "limit"), number(value, "burst"));
    let window = Millis::new(number(value, "window_ms"));
    RateLimit::with_burst(limit.try_into().unwrap(), window, burst.try_into().unwrap()).unwrap()
}

fn instant(value: &Value, field: &str) -> UnixMillis {
    UnixMillis::new(number(value, field)).unwrap()
}

/// Replays a case, and returns where it differs first.
fn replay(case: &Value, counts: &mut impl Counts) -> Result<(), String> {
    let limits: Vec<_> = case["limits"]
        .as_array()
        .unwrap()
        .iter()
        .map(limit_of)
        .collect();
    let steps = case["steps"].as_array().unwrap();
    let expected = case["expected"]["steps"].as_array().unwrap();
    assert_eq!(steps.len(), expected.len(), "{}", case["name"]);
    for (at, (step, expected)) in steps.iter().zip(expected).enumerate() {
        let limit = &limits[usize::try_from(number(step, "by")).unwrap()];
        let (now, tokens) = (instant(step, "now"), number(step, "tokens"));
        let tokens = u32::try_from(tokens).unwrap();
        let found = match step["verb"].as_str().unwrap() {
            "take" => {
                let (taken, state) = counts.take(limit, tokens, now);
                let quota = limit.quota(state, now);
                let retry_after = quota.retry_after().map(Millis::get);
                serde_json::json!({
                    "taken": taken,
                    "remaining": quota.remaining(),
                    "reset_ms": quota.reset().get(),
                    "retry_after_ms": retry_after,
                })
            }
            _ => {
                let taken_at = instant(step, "taken_at");
                let within = Millis::new(number(step, "within_ms"));
                counts.give_back(
                    limit,
                    tokens,
                    Held {
                        taken_at,
                        within,
                        now,
                    },
                );
                Value::Null
            }
        };
        if found != *expected {
            return Err(format!(
                "{}, step {at}: {found} and not {expected}",
                case["name"]
            ));
        }
    }
    Ok(())
}

fn cases() -> Vec<Value> {
    let file: Value = serde_json::from_str(VECTORS).unwrap();
    file["cases"].as_array().unwrap().clone()
}

/// The cases that a script answers in another way.
fn found_by(script: &Script, server: &Server) -> Vec<String> {
    let mut connection = server.connection();
    let mut found = Vec::new();
    for case in cases() {
        redis::cmd("FLUSHDB").exec(&mut connection).unwrap();
        let mut counts = OnServer {
            script,
            connection: &mut connection,
        };
        found.extend(replay(&case, &mut counts).err());
    }
    found
}

#[test]
fn the_store_and_the_script_count_as_the_vectors() {
    let cases = cases();
    assert!(cases.len() >= 20);
    for case in &cases {
        replay(case, &mut LineageRates::new()).unwrap();
    }
    let Some(server) = Server::start() else {
        return;
    };
    let found = found_by(&edited("", ""), &server);
    assert!(found.is_empty(), "{found:#?}");
}

/// A script that breaks one rule is found by the vectors.
#[test]
fn each_rule_of_the_script_is_held_by_a_vector() {
    let Some(server) = Server::start() else {
        return;
    };
    let broken = [
        // A quotient that is not exact.
        (
            "return (number - rest) / divisor, rest",
            "return math.ceil(number / divisor), rest",
        ),
        (
            "return (number - rest) / divisor, rest",
            "return number / divisor, 0",
        ),
        // No parts of a millisecond.
        (
            "return limit.millis * count + carry, parts",
            "return limit.millis * count + carry, 0",
        ),
        (
            "return limit.millis * count + carry, parts",
            "return limit.millis * count, parts",
        ),
        // The burst is one too many, or one too few.
        (
            "return not is_later(to_millis",
            "return true or is_later(to_millis",
        ),
        (
            "now + limit.reach_millis, limit.reach_parts",
            "now + limit.reach_millis + 1, 0",
        ),
        (
            "now + limit.reach_millis, limit.reach_parts",
            "now + limit.reach_millis - 1, 0",
        ),
        // All or nothing.
        ("while least < most do", "while false do"),
        // What was not used while the clock went on is not lost.
        ("millis, parts = now, 0", "millis, parts = now - 1000, 0"),
        // A clock that goes back gives back what was spent.
        ("if is_later(now, 0, millis, parts) then", "if true then"),
        // A state that is far ahead is not held, or held too soon, or to the wrong instant.
        ("clamped(limit, own.state, now, SLACK)", "own.state"),
        (
            "clamped(limit, own.state, now, SLACK)",
            "clamped(limit, own.state, now, 0)",
        ),
        (
            "millis, parts = full_at(limit, now)\n",
            "millis, parts = now, 0\n",
        ),
        // A new limit starts with nothing spent, or with more than a burst.
        (
            "clamped(limit, latest, now, 0)",
            "{ millis = 0, parts = 0 }",
        ),
        ("clamped(limit, latest, now, 0)", "latest"),
        (
            "clamped(limit, latest, now, 0)",
            "clamped(limit, latest, now, SLACK)",
        ),
        ("latest = rate.state\n", "latest = rates[1].state\n"),
        // The other limits are not charged, or beyond a burst, or as if they were held.
        ("rate.state = charged", "rate.state = rate.state"),
        (
            "clamped(rate.limit, rate.state, now, SLACK), now, taken",
            "rate.state, now, taken",
        ),
        // What was brought back is not kept.
        (
            "elseif taken > 0 or #rates > 0 then",
            "elseif taken > 0 then",
        ),
        (
            "if own then\n  own.state = state\n",
            "if own then\n  own.state = taken > 0 and state or own.state\n",
        ),
        // Another limit is forgotten than the oldest, or none.
        ("table.remove(rates, 1)", "table.remove(rates)"),
        ("local LIMITS_MAX = 4", "local LIMITS_MAX = 3"),
        // A rest that comes late, or before it was taken, is taken back, or none is.
        ("and now - taken_at <= within then", "then"),
        (
            "and now - taken_at <= within then",
            "and now - taken_at < within then",
        ),
        ("taken_at <= now and", ""),
        ("own.state = give_back(limit, own.state, tokens)", ""),
        ("return { millis = 0, parts = 0 }\n", "return state\n"),
        ("millis, parts = millis - 1, parts + limit.per_milli", ""),
        // A look takes.
        (
            "if tokens == 0 or limit.none then",
            "tokens = math.max(tokens, 1)\nif limit.none then",
        ),
    ];
    let mut not_found = String::new();
    for (from, to) in broken {
        if found_by(&edited(from, to), &server).is_empty() {
            writeln!(not_found, "{from} -> {to}").unwrap();
        }
    }
    assert!(not_found.is_empty(), "{not_found}");
}

/// Numbers that look random, and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    /// Of any size, the small ones as often as the large.
    fn up_to(&mut self, most: u64) -> u64 {
        let bits = u64::BITS - most.leading_zeros();
        let bits = self.below(u64::from(bits) + 1);
        let number = (self.below(1 << 31) << 31 | self.below(1 << 31)) & ((1 << bits) - 1);
        number.min(most)
    }

    fn limit(&mut self) -> RateLimit {
        loop {
            let window = Millis::new(self.up_to(366 * 86_400_000));
            let (limit, burst) = (self.up_to(1 << 32), self.up_to(u32::MAX.into()));
            let limit = u32::try_from(limit).unwrap_or(1_000_000_000);
            let found = RateLimit::with_burst(limit, window, u32::try_from(burst).unwrap());
            if let Ok(found) = found {
                return found;
            }
        }
    }
}

/// Also where the vectors have no opinion: a state that another limit left is read with the parts
/// of this one.
#[test]
fn the_script_counts_as_the_store_bit_by_bit() {
    let Some(server) = Server::start() else {
        return;
    };
    let (script, mut connection) = (edited("", ""), server.connection());
    let mut numbers = Numbers(7);
    let mut granted = 0;
    for lineage in 0..150 {
        redis::cmd("FLUSHDB").exec(&mut connection).unwrap();
        let limits: Vec<_> = (0..=numbers.below(6)).map(|_| numbers.limit()).collect();
        let mut model = LineageRates::new();
        let mut counts = OnServer {
            script: &script,
            connection: &mut connection,
        };
        let mut clock = 1_790_000_000_000;
        for step in 0..60 {
            let limit = limits[numbers.below(limits.len() as u64) as usize];
            // A key must not end before the step that reads it: it lives for a minute at least.
            let pace = [1, 1_000, limit.reach().get() / 4 + 1][numbers.below(3) as usize];
            clock += numbers.below(pace);
            if numbers.below(8) == 0 {
                clock -= numbers.below(100_000);
            }
            let now = UnixMillis::new(clock).unwrap();
            let tokens = numbers.up_to(u32::MAX.into()).try_into().unwrap();
            if numbers.below(4) == 0 {
                let taken_at = UnixMillis::new(clock - numbers.below(3)).unwrap();
                let within = Millis::new(numbers.below(3));
                let held = Held {
                    taken_at,
                    within,
                    now,
                };
                counts.give_back(&limit, tokens, held);
                Counts::give_back(&mut model, &limit, tokens, held);
            } else {
                let found = counts.take(&limit, tokens, now);
                let expected = Counts::take(&mut model, &limit, tokens, now);
                assert_eq!(
                    found, expected,
                    "lineage {lineage}, step {step}: {limit:?}, {tokens}"
                );
                granted += u64::from(found.0 > 0);
            }
        }
    }
    assert!(granted > 1_000, "{granted} takes were granted");
}
