//! Rate limits as timelines: what is admitted when, never the bits of a state.

use keystile::{Error, Millis, RateLimit, RateState, UnixMillis};
use serde::Deserialize;

use crate::vectors::case::replay;
use crate::vectors::form::error_of;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitForm {
    limit: u32,
    window_ms: u64,
    burst: u32,
}

impl LimitForm {
    fn made(&self) -> Result<RateLimit, Error> {
        RateLimit::with_burst(self.limit, Millis::new(self.window_ms), self.burst)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    limit: LimitForm,
    requests: Vec<UnixMillis>,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct Timeline {
    steps: Option<Vec<Step>>,
    error: Option<String>,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct Step {
    admitted: bool,
    remaining: u32,
    reset_ms: u64,
    retry_after_ms: Option<u64>,
}

#[test]
fn limits() {
    replay("limits.json", |name, input: Input| {
        let limit = input.limit.made();
        let steps = |limit: RateLimit| {
            let mut state = RateState::default();
            let mut step = |now: UnixMillis| {
                let answer = limit.admit(state, now);
                if let Err(refused) = answer {
                    let quota = limit.quota(state, now);
                    assert_eq!(refused.retry_after(), quota.retry_after(), "{name}");
                }
                state = answer.unwrap_or(state);
                let quota = limit.quota(state, now);
                Step {
                    admitted: answer.is_ok(),
                    remaining: quota.remaining(),
                    reset_ms: quota.reset().get(),
                    retry_after_ms: quota.retry_after().map(Millis::get),
                }
            };
            input.requests.iter().map(|&now| step(now)).collect()
        };
        Timeline {
            steps: limit.as_ref().ok().copied().map(steps),
            error: error_of(limit),
        }
    });
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RunInput {
    limit: LimitForm,
    first_at: UnixMillis,
    every_ms: u64,
    count: u64,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct Run {
    admitted: u64,
    first_refused: Option<u64>,
}

#[test]
fn p6_limit_runs() {
    replay("limit_runs.json", |_, input: RunInput| {
        let limit = input.limit.made().unwrap();
        let mut state = RateState::default();
        let mut run = Run {
            admitted: 0,
            first_refused: None,
        };
        for request in 0..input.count {
            let later = Millis::new(request * input.every_ms);
            match limit.admit(state, input.first_at.plus(later).unwrap()) {
                Ok(next) => {
                    state = next;
                    run.admitted += 1;
                }
                Err(_) => run.first_refused = run.first_refused.or(Some(request)),
            }
        }
        run
    });
}
