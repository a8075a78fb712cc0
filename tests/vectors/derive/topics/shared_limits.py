"""Rate limits that several processes share: tokens taken and given back."""

import made
from reference import sharing
from topic import Topic, claim

SHARED = Topic(
    "shared_limits.json",
    "Limits of one lineage, and tokens that are taken by them and given back, by one clock: how many are granted, and what "
    "is left by that limit afterwards.",
)
TOPICS = [SHARED]
T = made.NOW
U32 = 2**32 - 1


def take(tokens, at, taken, by=0):
    return ("take", by, tokens, at, taken)


def look(at, remaining, by=0):
    return ("look", by, 0, at, remaining)


def give(tokens, at, taken_at, within=1_000, by=0):
    return ("give", by, tokens, at, (taken_at, within))


def add(short, why, limits, steps, attack=None):
    """The instants are offsets from one; the last part of a step is what the author expects."""
    name, lineage = f"shared-limit-{short}", sharing.Lineage()
    inputs, outcomes = [], []
    for number, (verb, by, tokens, at, wanted) in enumerate(steps):
        limit, now = limits[by], T + at
        step = {"verb": "give" if verb == "give" else "take", "by": by, "tokens": tokens, "now": now}
        if verb == "give":
            taken_at, within = wanted
            lineage.give_back(limit, tokens, T + taken_at, within, now)
            inputs.append({**step, "taken_at": T + taken_at, "within_ms": within})
            outcomes.append(None)
            continue
        taken, limiter = lineage.take(limit, tokens, now)
        quota = limiter.quota(now)
        claim(f"{name}, step {number}", wanted, taken if verb == "take" else quota["remaining"])
        inputs.append(step)
        outcomes.append({"taken": taken, **quota})
    SHARED.add(name, why, {"steps": outcomes}, attack, limits=limits, steps=inputs)


TEN = made.limit(10, 1_000)
HOURLY = made.limit(10, made.HOUR)
THIRDS = made.limit(3, 1_000)
SEVENTHS = made.limit(7, 1_000, 20)

add("part", "as many are granted as there are", [TEN], [take(8, 0, 8), take(8, 0, 2), take(8, 0, 0)])
add("look", "to ask for none only shows what is left", [TEN],
    [look(0, 10), take(4, 0, 4), look(0, 6), look(0, 6), look(99, 6), look(100, 7)])
add("look-first", "a look at a lineage that has spent nothing leaves nothing", [TEN, made.limit(5, 1_000)],
    [look(0, 10), look(0, 5, by=1), take(10, 0, 10)])
add("more-than-all", "the largest number of tokens is a burst", [TEN], [take(U32, 0, 10), take(U32, 100, 1)])
add("on-time", "a millisecond early none is granted, on time one", [TEN],
    [take(10, 0, 10), take(1, 99, 0), take(2, 100, 1), take(9, 1_000, 9), take(1, 1_000, 0)])
add("long-rest", "what was not used is not saved up", [TEN],
    [take(1, 0, 1), take(20, made.HOUR, 10), take(1, made.HOUR, 0)])
add("thirds", "parts of a millisecond are not lost", [THIRDS],
    [take(1, 0, 1), take(5, 0, 2), take(1, 333, 0), take(1, 334, 1), take(1, 666, 0), take(1, 667, 1), take(3, 1_000, 1)])
add("sevenths", "many at once are as many one by one", [SEVENTHS],
    [take(5, 0, 5), take(8, 0, 8), take(9, 0, 7), take(2, 142, 0), take(2, 143, 1), take(9, 1_000, 6), take(99, 10_000, 20)])
add("half-used", "several that become free while others are taken", [SEVENTHS],
    [take(20, 0, 20), take(3, 500, 3), take(3, 500, 0), take(3, 1_000, 3), take(9, 1_999, 7), take(9, 2_000, 1)])
add("primes", "997 in 1,009 ms", [made.limit(997, 1_009, 2_000)],
    [take(1_999, 0, 1_999), take(9, 0, 1), take(9, 1, 0), take(9, 2, 1), take(500, 1_009, 500), take(900, 1_009, 496)])
add("largest", "a million each millisecond, and the largest burst", [made.limit(10**9, 1_000, U32)],
    [take(U32 - 1, 0, U32 - 1), take(9, 0, 1), take(U32, 1, 10**6), take(U32, 4_295, 4_294 * 10**6)])
add("most-parts", "as many parts of a millisecond as there can be", [made.limit(1_048_573, made.HOUR)],
    [take(1_000_000, 0, 1_000_000), take(U32, 0, 48_573), take(9, 3, 0), take(9, 4, 1), take(9, 6, 0), take(9, 7, 1)])
add("slowest", "a burst that takes nine years to come back", [made.limit(1, 366 * made.DAY, 9)],
    [take(8, 0, 8), take(8, 0, 1), take(1, 366 * made.DAY - 1, 0), take(2, 366 * made.DAY, 1)])
add("zero", "a limit of 0 grants none and spends none", [made.limit(0, 1_000), TEN],
    [take(5, 0, 0), take(4, 0, 4, by=1), take(5, 0, 0), look(0, 0), look(0, 6, by=1)], "I8")

add("back-little", "a clock that steps back grants nothing twice", [TEN],
    [take(10, 0, 10), take(1, -100, 0), take(1, -30_000, 0), take(1, 99, 0), take(1, 100, 1)], "H12")
add("back-unused", "what is left is left", [TEN], [take(4, 0, 4), take(3, -200, 3), take(9, -200, 1), take(9, 0, 2)], "H12")
add("back-far", "a long step back costs one burst, counted from the first request", [TEN],
    [take(10, 0, 10), take(1, -made.HOUR, 0), take(1, -made.HOUR + 99, 0), take(2, -made.HOUR + 100, 1)], "H12, I14")
add("back-far-look", "a look does not begin to count it", [TEN],
    [take(10, 0, 10), look(-made.HOUR, 0), take(1, -made.HOUR + 100, 0), take(1, -made.HOUR + 199, 0), take(2, -made.HOUR + 200, 1)],
    "H12")
add("back-a-minute", "up to a minute the state may come from another reading of the clock", [TEN],
    [take(10, 0, 10), look(-60_000, 0), take(1, -60_000, 0), take(1, -59_900, 0), take(1, 99, 0)], "H12")
add("back-a-minute-and-more", "a millisecond more, and it is held", [TEN],
    [take(10, 0, 10), take(1, -60_001, 0), take(1, -59_901, 1)], "H12")
add("back-thirds", "what is held may end within a millisecond", [made.limit(3, 1_000, 2)],
    [take(2, 0, 2), take(1, -made.HOUR, 0), take(1, -made.HOUR + 333, 0), take(1, -made.HOUR + 334, 1)], "H12")

add("rest", "what is given back is free again", [TEN], [take(8, 0, 8), give(5, 100, 0), take(20, 100, 8)])
add("rest-at-the-end", "up to the end of its time", [HOURLY], [take(8, 0, 8), give(5, 1_000, 0), look(1_000, 7)])
add("rest-late", "and not after it", [HOURLY], [take(8, 0, 8), give(5, 1_001, 0), look(1_001, 2)])
add("rest-of-no-time", "a rest without any time is in time at that instant", [HOURLY],
    [take(8, 0, 8), give(3, 0, 0, 0), give(3, 1, 0, 0), look(1, 5)])
add("rest-before", "what is taken in the future cannot be given back now", [HOURLY], [take(8, 0, 8), give(5, -1, 0), look(0, 2)], "H12")
add("rest-of-all", "no more than a burst is ever free", [HOURLY],
    [take(8, 0, 8), give(8, 1, 0), give(8, 2, 0), look(2, 10), take(20, 2, 10)])
add("rest-of-centuries", "however many are given back", [HOURLY],
    [take(8, 0, 8), give(U32, 1, 0), look(1, 10), take(20, 1, 10), take(1, 1, 0)])
add("rest-of-nothing", "of a lineage that has spent nothing, nothing can be given back", [TEN], [give(5, 0, 0), take(20, 0, 10), take(1, 0, 0)])
add("rest-thirds", "parts of a millisecond are given back, too", [THIRDS],
    [take(3, 0, 3), take(1, 334, 1), give(1, 400, 334), take(2, 400, 1), take(1, 666, 0), take(1, 667, 1)])
add("rest-sevenths", "several of them", [SEVENTHS],
    [take(20, 0, 20), give(4, 10, 0), take(9, 10, 4), give(3, 20, 10), take(9, 142, 3), take(9, 143, 1)])
add("rest-of-far-ahead", "of a state that is far ahead, too", [TEN],
    [take(10, 0, 10), give(3, -made.HOUR, -made.HOUR), take(1, -made.HOUR, 0), take(1, -made.HOUR + 100, 1)], "H12")

TWENTY = made.limit(20, made.HOUR)
add("two", "what is taken by one limit counts by the other", [HOURLY, TWENTY],
    [take(4, 0, 4), look(0, 12, by=1), take(5, 0, 5, by=1), look(0, 1), take(7, 0, 7, by=1), look(0, 0), look(360_000, 1)])
add("two-refusals", "a refusal counts by no limit", [HOURLY, TWENTY],
    [take(10, 0, 10), take(3, 0, 0, by=1), take(1, 0, 0), look(0, 0, by=1), take(1, 180_000, 1, by=1), take(2, 360_000, 1), take(2, 720_000, 1)])
add("two-rest", "what is given back is free by its own limit only", [HOURLY, TWENTY],
    [take(2, 0, 2), take(6, 0, 6, by=1), give(6, 1, 0, by=1), look(1, 16, by=1), look(1, 2), take(9, 1, 2)])
add("rest-of-unknown-limit", "of a limit that has spent nothing, nothing can be given back", [HOURLY, TWENTY],
    [take(4, 0, 4), give(4, 1, 0, by=1), look(1, 6), look(1, 12, by=1)])
add("raised", "a limit that was raised is in force after a burst of it", [made.limit(24, 366 * made.DAY), made.limit(100, 10_000)],
    [take(30, 0, 24), take(1, 0, 0, by=1), take(1, 99, 0, by=1), take(2, 100, 1, by=1), take(1, 100, 0)])
add("raised-look", "and a look does not begin it", [made.limit(24, 366 * made.DAY), made.limit(100, 10_000)],
    [take(30, 0, 24), look(0, 0, by=1), take(1, 100, 0, by=1), take(1, 199, 0, by=1), take(2, 200, 1, by=1)])
add("lowered-burst", "of a small burst, one burst is spent and no minute more", [made.limit(10, 30_000), made.limit(1, 1_000, 2)],
    [take(10, 0, 10), take(1, 0, 0, by=1), take(1, 999, 0, by=1), take(2, 1_000, 1, by=1)])
add("latest", "a new limit goes on from the latest state of the others",
    [made.limit(10, 1_000), made.limit(10, 20_000), made.limit(10, made.DAY)],
    [take(1, 0, 1), take(4, 0, 4, by=1), look(0, 9, by=2), take(99, 0, 9, by=2), look(0, 0), look(0, 0, by=1)])
add("latest-is-first", "whichever of them that is",
    [made.limit(10, 20_000), made.limit(10, 1_000), made.limit(1_000, 20_000)],
    [take(4, 0, 4), take(1, 0, 0, by=1), look(0, 600, by=2), take(999, 0, 600, by=2)])
add("two-far-ahead", "what is taken holds the states of the other limits, too", [made.limit(10, made.DAY), made.limit(10, 1_000)],
    [take(10, 0, 10), take(1, 0, 0, by=1), take(1, 100, 1, by=1),
     take(1, -10 * made.DAY, 0, by=1), take(1, -10 * made.DAY + 100, 1, by=1),
     look(-10 * made.DAY + 4_320_100, 0), look(-10 * made.DAY + 8_640_099, 0), look(-10 * made.DAY + 8_640_100, 1)], "H12")
FIVE = [made.limit(limit, made.HOUR) for limit in (10, 12, 15, 20, 30)]
add("four", "four limits are kept, each with its own state", FIVE,
    [take(1, 0, 1), take(1, 0, 1, by=1), take(1, 0, 1, by=2), take(1, 0, 1, by=3),
     look(0, 6), look(0, 7, by=1), look(0, 10, by=2), look(0, 13, by=3)])
add("five", "the fifth replaces the one that was there first", FIVE,
    [take(1, 0, 1), take(1, 0, 1, by=1), take(1, 0, 1, by=2), take(1, 0, 1, by=3), give(1, 1, 0), take(1, 1, 1, by=4),
     look(1, 18, by=4), look(1, 12, by=3), look(1, 9, by=2), look(1, 6, by=1), look(1, 5)])
