//! The clocks of the simulated machines: each is a little fast or slow, and wall clocks are set.

use core::cell::RefCell;
use core::time::Duration;

use keystile::{Error, UnixMillis};
use tokio::time::Instant;

use crate::test_rng::TestRng;

/// The machines that processes run on.
pub(crate) const NODES_MAX: usize = 4;
/// The machines of the store, and of the server that counts limits.
pub(crate) const STORE: usize = NODES_MAX;
pub(crate) const LIMITS: usize = NODES_MAX + 1;
const MACHINES: usize = NODES_MAX + 2;
/// By how much a clock may be fast or slow, in millionths.
pub(crate) const RATE_ERROR_MILLIONTHS: u64 = 1_000;
const START_MILLIS: u64 = 1_790_000_000_000;

/// The wall clocks, which an authenticator takes as functions without an environment.
pub(crate) const WALLS: [fn() -> Result<UnixMillis, Error>; MACHINES] = [
    wall::<0>, wall::<1>, wall::<2>, wall::<3>, wall::<4>, wall::<5>,
];

thread_local! {
    /// A schedule has its thread for itself.
    static CLOCKS: RefCell<Clocks> = const { RefCell::new(Clocks::stopped()) };
}

struct Clocks {
    begun: Option<Instant>,
    machines: [Machine; MACHINES],
}

#[derive(Clone, Copy)]
struct Machine {
    /// Millionths that its clocks are fast.
    fast: i64,
    /// By how much its wall clock was set.
    set_by_millis: i64,
}

impl Clocks {
    const fn stopped() -> Self {
        let machine = Machine {
            fast: 0,
            set_by_millis: 0,
        };
        Self {
            begun: None,
            machines: [machine; MACHINES],
        }
    }
}

/// All clocks begin now, with other rates for each seed.
pub(crate) fn begin(rng: &mut TestRng) {
    let mut clocks = Clocks::stopped();
    clocks.begun = Some(Instant::now());
    for machine in &mut clocks.machines {
        let width = 2 * RATE_ERROR_MILLIONTHS + 1;
        machine.fast = rng.below(width) as i64 - RATE_ERROR_MILLIONTHS as i64;
        machine.set_by_millis = match rng.below(3) {
            0 => rng.below(20_000) as i64 - 10_000,
            _ => 0,
        };
    }
    CLOCKS.with_borrow_mut(|own| *own = clocks);
}

/// The time since the beginning, by a clock that is right and that no process reads.
pub(crate) fn elapsed() -> Duration {
    let begun = CLOCKS.with_borrow(|clocks| clocks.begun);
    begun.map_or(Duration::ZERO, |begun| begun.elapsed())
}

pub(crate) fn millis() -> u64 {
    elapsed().as_millis() as u64
}

/// The instant of the runtime's clock at so many milliseconds.
pub(crate) fn instant(millis: u64) -> Instant {
    let begun = CLOCKS.with_borrow(|clocks| clocks.begun);
    begun.unwrap() + Duration::from_millis(millis)
}

/// The time since a machine was started, which also runs on while it sleeps.
pub(crate) fn boot(machine: usize) -> Duration {
    let fast = CLOCKS.with_borrow(|clocks| clocks.machines[machine].fast);
    Duration::from_nanos(at_rate(elapsed().as_nanos() as u64, fast))
}

/// Sets a wall clock forward or back.
pub(crate) fn set_by(machine: usize, millis: i64) {
    CLOCKS.with_borrow_mut(|clocks| clocks.machines[machine].set_by_millis += millis);
}

pub(crate) fn wall_of(machine: usize) -> UnixMillis {
    let own = CLOCKS.with_borrow(|clocks| clocks.machines[machine]);
    let shown = START_MILLIS + at_rate(elapsed().as_millis() as u64, own.fast);
    UnixMillis::new(shown.saturating_add_signed(own.set_by_millis)).unwrap()
}

fn wall<const MACHINE: usize>() -> Result<UnixMillis, Error> {
    Ok(wall_of(MACHINE))
}

fn at_rate(span: u64, fast: i64) -> u64 {
    span.saturating_add_signed(span as i64 * fast / 1_000_000)
}
