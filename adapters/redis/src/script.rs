//! The script that counts, its arguments and its answer.

use keystile::{RateLimit, RateState, UnixMillis};
use keystile_store::{Rest, Take, Taken};
use redis::{Cmd, FromRedisValue, Script, Value};

use crate::fault::Fault;

/// What the server runs.
pub(crate) const TEXT: &str = include_str!("limits.lua");

/// Bits of a state that hold the fraction of a millisecond.
const FRACTION_BITS: u32 = 20;

/// The script, which a server keeps by its hash.
pub(crate) struct Counting {
    hash: String,
}

/// A call of it.
pub(crate) struct Call {
    key: String,
    arguments: Vec<String>,
}

impl Counting {
    pub(crate) fn new() -> Self {
        Self {
            hash: Script::new(TEXT).get_hash().to_owned(),
        }
    }

    /// The command for a server that has the script.
    pub(crate) fn by_hash(&self, call: &Call) -> Cmd {
        call.command("EVALSHA", &self.hash)
    }
}

impl Call {
    pub(crate) fn take(key: String, take: &Take) -> Self {
        Self::new(key, "take", take.limit, [u64::from(take.tokens)])
    }

    pub(crate) fn give_back(key: String, rest: &Rest) -> Self {
        let numbers = [
            u64::from(rest.tokens),
            rest.taken_at.get(),
            rest.within.get().min(UnixMillis::MAX.get()),
        ];
        Self::new(key, "give", rest.limit, numbers)
    }

    /// One that reads and writes, to see whether the server lets us: of a limit that is so high
    /// that it refuses none, since a refusal need not write.
    pub(crate) fn probe(key: String) -> Self {
        Self::of(key, "take", [1_000_000, 1_000, 1_000_000, 1])
    }

    fn new<const N: usize>(key: String, verb: &str, limit: RateLimit, numbers: [u64; N]) -> Self {
        let of_limit = [
            u64::from(limit.limit()),
            limit.window().get(),
            u64::from(limit.burst()),
        ];
        Self::of(key, verb, of_limit.into_iter().chain(numbers))
    }

    fn of(key: String, verb: &str, numbers: impl IntoIterator<Item = u64>) -> Self {
        let numbers = numbers.into_iter().map(|number| number.to_string());
        let arguments = core::iter::once(verb.to_owned()).chain(numbers).collect();
        Self { key, arguments }
    }

    /// The command for a server that lacks the script, and keeps it afterwards.
    pub(crate) fn by_text(&self) -> Cmd {
        self.command("EVAL", TEXT)
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let mut command = redis::cmd(name);
        command.arg(script).arg(1).arg(&self.key);
        for argument in &self.arguments {
            command.arg(argument);
        }
        command
    }
}

/// What a take has come to.
pub(crate) fn taken(answer: Value, asked: u32) -> Result<Taken, Fault> {
    let numbers = Vec::<u64>::from_redis_value(answer).map_err(|_| Fault::Answer)?;
    let Ok([tokens, millis, parts, clock]) = <[u64; 4]>::try_from(numbers) else {
        return Err(Fault::Answer);
    };
    let tokens = u32::try_from(tokens).ok().filter(|tokens| *tokens <= asked);
    let clock = UnixMillis::new(clock).ok();
    let is_state = millis >> (u64::BITS - FRACTION_BITS) == 0 && parts >> FRACTION_BITS == 0;
    match (tokens, clock, is_state) {
        (Some(tokens), Some(clock), true) => {
            let state = RateState::from_bits(millis << FRACTION_BITS | parts);
            Ok(Taken::new(tokens, state, clock))
        }
        _ => Err(Fault::Answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(numbers: &[i64]) -> Value {
        Value::Array(numbers.iter().map(|number| Value::Int(*number)).collect())
    }

    #[test]
    fn an_answer_that_cannot_be_is_an_error() {
        let clock = 1_790_000_000_000;
        let good = taken(answer(&[3, clock + 5, 7, clock]), 4).unwrap();
        assert_eq!((good.tokens, good.clock.get()), (3, 1_790_000_000_000));
        assert_eq!(good.state.to_bits(), 1_790_000_000_005 << 20 | 7);
        for wrong in [
            answer(&[5, clock, 0, clock]), // more than was asked for
            answer(&[-1, clock, 0, clock]),
            answer(&[3, 1 << 44, 0, clock]),
            answer(&[3, clock, 1 << 20, clock]),
            answer(&[3, clock, 0, -1]),
            answer(&[3, clock, 0, i64::MAX]),
            answer(&[3, clock, 0]),
            answer(&[3, clock, 0, clock, 0]),
            Value::Nil,
            Value::Okay,
            Value::Int(4),
        ] {
            let shown = format!("{wrong:?}");
            assert_eq!(taken(wrong, 4), Err(Fault::Answer), "{shown}");
        }
    }
}
