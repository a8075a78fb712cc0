"""Instants and their sums."""

from reference import living, recording
from topic import Topic, claim

TIMES = Topic(
    "times.json",
    "Counts of milliseconds as decimal text, a span to add or null, and the sum as decimal text, "
    "or null if the instant or the sum is out of range.",
)
TOPICS = [TIMES]
END = living.YEAR_9999_END
U64 = 2**64 - 1

# name, why, attack, millis, plus, sum
TABLE = [
    ("today", "a plain instant", None, 1_790_000_000_000, 0, 1_790_000_000_000),
    ("seconds", "a count of seconds is taken for an error, not for 1970", "H3", 1_790_000_000, 0, None),
    ("microseconds", "a count of microseconds lies past the year 9999", "H3", 1_790_000_000_000_000, 0, None),
    ("nanoseconds", "and one of nanoseconds too", "H3", 1_790_000_000_000_000_000, 0, None),
    ("zero", "0 is an unset field, not 1970", "H6", 0, 0, None),
    ("before-first", "the last number that is refused as seconds", "H3", 10**11 - 1, 0, None),
    ("first", "the first instant that is accepted", "H3", 10**11, 0, 10**11),
    ("last", "the last millisecond of the year 9999", None, END, 0, END),
    ("after-last", "one more has five digits in its year", "H11", END + 1, 0, None),
    ("u32-end", "the end of 32-bit seconds, in milliseconds", None, 2**32 * 1000, 0, 2**32 * 1000),
    ("i32-end", "the end of signed 32-bit seconds", "H11", (2**31 - 1) * 1000, 1000, 2**31 * 1000),
    ("i64-end", "the largest signed number", "H11", 2**63 - 1, 0, None),
    ("u64-end", "the largest number", "H11", U64, 0, None),
    ("plus-one", "one millisecond later", None, 1_790_000_000_000, 1, 1_790_000_000_001),
    ("plus-ninety-days", "the usual lifetime", None, 1_790_000_000_000, 7_776_000_000, 1_797_776_000_000),
    ("plus-to-the-end", "a sum may be the last instant", "H4", END - 5, 5, END),
    ("plus-past-the-end", "a deadline past the end is an error, never none", "H4", END - 5, 6, None),
    ("plus-u64", "a sum that would wrap around is an error", "H5", 1_790_000_000_000, U64, None),
    ("plus-wraps-small", "it would wrap to a legal instant", "H5", 1_790_000_000_000, 2**64 - 5, None),
    ("last-plus-one", "the very edge", "H4", END, 1, None),
]

for short, why, attack, millis, plus, total in TABLE:
    name = f"time-{short}"
    computed = millis + plus if recording.is_instant(millis) and recording.is_instant(millis + plus) else None
    claim(name, total, computed)
    TIMES.add(
        name,
        why,
        {"sum": None if computed is None else str(computed)},
        attack,
        millis=str(millis),
        plus_ms=str(plus),
    )
