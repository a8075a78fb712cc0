//! The figures: what is divided by what, and the target of each.

use core::fmt;

use super::medians::Medians;

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    how: How,
    pub(crate) target: Option<Target>,
    /// Its bar in the chart, if it has one.
    pub(crate) bar: Option<Bar>,
}

/// Whose code a bar measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bar {
    Ours,
    Theirs,
}

/// How a figure is computed from the medians of the benchmarks.
#[derive(Debug)]
enum How {
    /// The time of the first benchmark divided by that of the second.
    Times(&'static str, &'static str),
    /// The checks per second of two threads divided by those of one.
    Threads(&'static str, &'static str),
    /// A number that a benchmark printed.
    Printed(&'static str),
}

/// The target of a figure.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
}

impl Target {
    pub(crate) fn is_satisfied_by(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "at most {most}"),
            Self::AtLeast(least) => write!(f, "at least {least}"),
        }
    }
}

impl Figure {
    pub(crate) fn value(&self, medians: &Medians) -> Option<f64> {
        match self.how {
            How::Times(one, other) => Some(medians.time(one)? / medians.time(other)?),
            How::Threads(one, two) => Some(2.0 * medians.time(one)? / medians.time(two)?),
            How::Printed(name) => medians.printed(name),
        }
    }

    const fn ours(name: &'static str, bench: &'static str) -> Self {
        Self {
            bar: Some(Bar::Ours),
            ..Self::times(name, bench, FLOOR)
        }
    }

    const fn theirs(name: &'static str, bench: &'static str) -> Self {
        Self {
            bar: Some(Bar::Theirs),
            ..Self::times(name, bench, FLOOR)
        }
    }

    const fn times(name: &'static str, one: &'static str, other: &'static str) -> Self {
        Self {
            name,
            how: How::Times(one, other),
            target: None,
            bar: None,
        }
    }

    const fn at_most(self, most: f64) -> Self {
        Self {
            target: Some(Target::AtMost(most)),
            ..self
        }
    }

    const fn threads(name: &'static str, one: &'static str, two: &'static str) -> Self {
        Self {
            name,
            how: How::Threads(one, two),
            target: Some(Target::AtLeast(1.8)),
            bar: None,
        }
    }
}

/// One SHA-256 of a key's text: the minimum for any design that hashes per request.
const FLOOR: &str = "hot_path/sha256_one_shot";
const WARM: &str = "hot_path/warm_allow";

pub(crate) const FIGURES: &[Figure] = &[
    Figure::ours("warm allow / SHA-256", WARM).at_most(0.8),
    Figure::ours("cold allow / SHA-256", "hot_path/cold_allow").at_most(1.6),
    Figure::ours("typo / SHA-256", "hot_path/reject_typo").at_most(0.35),
    Figure::ours("unknown id / SHA-256", "hot_path/reject_unknown_id"),
    Figure::ours("wrong secret / SHA-256", "hot_path/reject_wrong_secret"),
    Figure::theirs("HashMap and SHA-256 / SHA-256", "peers/hashmap_sha256"),
    Figure::theirs("the Express recipe in Rust / SHA-256", "peers/express"),
    Figure::theirs("prefixed-api-key / SHA-256", "peers/prefixed_api_key"),
    Figure::theirs("the Express recipe in Node / SHA-256", Medians::NODE),
    Figure::times(
        "api-keys-simplified / SHA-256",
        "peers/api_keys_simplified",
        FLOOR,
    ),
    Figure::times(
        "warm allow / the Express recipe in Node",
        WARM,
        Medians::NODE,
    )
    .at_most(0.1),
    Figure::times(
        "warm allow / prefixed-api-key",
        WARM,
        "peers/prefixed_api_key",
    )
    .at_most(0.4),
    Figure::times(
        "warm allow among 10^7 / among 10^3",
        "scale/warm_allow/10000000",
        "scale/warm_allow/1000",
    )
    .at_most(4.0),
    Figure {
        name: "bytes per key among 10^7",
        how: How::Printed("bytes per key among 10000000"),
        target: Some(Target::AtMost(300.0)),
        bar: None,
    },
    Figure::threads(
        "two threads / one, many keys",
        "threads/many_keys/1",
        "threads/many_keys/2",
    ),
    Figure::threads(
        "two threads / one, one hot key",
        "threads/one_hot_key/1",
        "threads/one_hot_key/2",
    ),
    Figure::times(
        "issue / prefixed-api-key",
        "issue/keystile",
        "issue/prefixed_api_key",
    ),
    Figure::times(
        "issue / the Express recipe in Rust",
        "issue/keystile",
        "issue/express",
    ),
    Figure::times(
        "verify with the record at hand / SHA-256",
        "core/verify_allow",
        "core/sha256_one_shot",
    )
    .at_most(1.6),
    Figure::times(
        "typo by the core / SHA-256",
        "core/reject_typo",
        "core/sha256_one_shot",
    )
    .at_most(0.35),
];
