"""Rate limits: timelines of requests, and long runs of them."""

import made
from reference import limiting
from topic import Topic, claim

LIMITS = Topic(
    "limits.json",
    "A rate limit and requests at given instants, in that order: which are admitted, what is left after each, "
    "and after what time one more would pass; or the kind of error if it is not a limit.",
)
RUNS = Topic(
    "limit_runs.json",
    "A rate limit and evenly spaced requests: how many of them are admitted, and which is the first to be refused.",
)
TOPICS = [LIMITS, RUNS]
T = made.NOW


def add(short, why, limit, requests, admitted, attack=None):
    """`admitted` is a text of + and -, or "error"; the requests are offsets from an instant."""
    name = f"limit-{short}"
    instants = [T + offset for offset in requests]
    if not limiting.is_limit(limit):
        claim(name, admitted, "error")
        LIMITS.add(name, why, {"steps": None, "error": "limit"}, attack, limit=limit, requests=instants)
        return
    limiter, steps = limiting.Limiter(limit), []
    for now in instants:
        passed = limiter.admit(now)
        steps.append({"admitted": passed, **limiter.quota(now)})
    claim(name, admitted, "".join("-+"[step["admitted"]] for step in steps))
    LIMITS.add(name, why, {"steps": steps, "error": None}, attack, limit=limit, requests=instants)


TWO = made.limit(2, 1_000)
add("first", "an unused limit admits", TWO, [0], "+")
add("burst", "the whole burst at once, and no more", TWO, [0, 0, 0], "++-")
add("refusal-is-free", "a refusal costs nothing, however many there are", TWO, [0, 0, 0, 0, 0, 499, 500], "++----+", "I8")
add("retry-after-is-true", "a millisecond early is refused, on time is admitted", TWO, [0, 0, 499, 500, 999, 1_000], "++-+-+")
add("back-after-window", "after a window the burst is back", TWO, [0, 0, 1_000, 1_000, 1_000], "++++-")
add("not-before-window", "and not before", TWO, [0, 0, 999, 999], "+++-")
add("long-rest-is-no-saving", "unused allowance is not saved up beyond the burst", TWO, [0, 3_600_000, 3_600_000, 3_600_000], "+++-")
add("steady", "steady traffic at the limit is never refused", TWO, [0, 500, 1_000, 1_500, 2_000, 2_500], "++++++")
add("steady-with-burst", "nor does a burst before it hurt", TWO, [0, 0, 500, 1_000, 1_500, 2_000], "++++++")
add("too-fast", "a little faster than the limit is refused in the end", TWO, [0, 400, 800, 1_200, 1_600, 2_000, 2_400], "++++++-")
add("window-edge", "no double burst at the edge of two windows", made.limit(10, 1_000), [999] * 10 + [1_000] * 10, "+" * 10 + "-" * 10, "I7")
add("window-edge-later", "nor a moment later", made.limit(10, 1_000), [0] * 10 + [1_000] * 10 + [1_001] * 10, "+" * 20 + "-" * 10, "I7")
add("one", "a single one in a window", made.limit(1, 1_000), [0, 0, 999, 1_000, 1_999, 2_000], "+--+-+")
add("zero", "a limit of 0 refuses all", made.limit(0, 1_000), [0, 1_000, 1_000_000], "---", "I8")
add("zero-with-burst", "also with a burst", made.limit(0, 1_000, 5), [0], "-", "I8")
add("burst-of-one", "without a burst, only the rate counts", made.limit(10, 1_000, 1), [0, 0, 99, 100, 200, 299], "+--++-")
add("burst-below-limit", "a burst smaller than the limit", made.limit(10, 1_000, 3), [0, 0, 0, 0, 100, 100], "+++-+-")
add("burst-above-limit", "a burst larger than the limit", made.limit(2, 1_000, 5), [0, 0, 0, 0, 0, 0, 500, 500], "+++++-+-")
add("burst-comes-back-slowly", "a large burst comes back at the rate", made.limit(1, 1_000, 3), [0, 0, 0, 1_000, 1_000, 3_000, 3_000, 3_000], "++++-++-")
add("thirds", "a third of a millisecond is not lost", made.limit(3, 1), [0, 0, 0, 0, 1, 1, 1, 1], "+++-+++-")
add("thirds-of-a-second", "333 ms would be too early, 334 is on time", made.limit(3, 1_000), [0, 0, 0, 333, 334, 667, 1_000], "+++-+++")
add("thirds-steady", "at 334 ms each, nothing is refused", made.limit(3, 1_000, 1), [0, 334, 668, 1_002], "++++")
add("thirds-too-fast", "at 333 ms each, it is", made.limit(3, 1_000, 1), [0, 333, 666, 999], "+-+-")
add("sevenths", "a seventh of a second, seven times, is a second", made.limit(7, 1_000, 1), [0, 143, 286, 429, 572, 715, 858, 1_000], "+++++++-", None)
add("sevenths-on-time", "and each at its own rounded instant", made.limit(7, 1_000, 1), [0, 143, 286, 429, 572, 715, 858, 1_001], "++++++++")
add("article", "the article's 100 an hour: one each 36 s", made.limit(100, made.HOUR), [0] * 101 + [35_999, 36_000], "+" * 100 + "--+")
add("million-a-second", "a thousand in each millisecond", made.limit(1_000_000, 1_000, 3), [0, 0, 0, 0, 1, 1, 1, 1], "+++-+++-")
add("slow", "one request a year", made.limit(1, 366 * made.DAY), [0, made.DAY, 366 * made.DAY - 1, 366 * made.DAY], "+--+")
add("millisecond-window", "the shortest window", made.limit(1, 1), [0, 0, 1, 1], "+-+-")
add("same-instant-twice", "an instant is no request: two requests at one count twice", TWO, [0, 0, 0], "++-", "I5")
add("step-back-little", "a clock that steps back grants nothing twice", TWO, [0, 0, -100], "++-", "H12")
add("step-back-admits", "what is left is left", made.limit(10, 1_000), [0, -100, -200], "+++", "H12")
add("step-back-and-forth", "and when it is right again, all is as before", TWO, [0, 0, -400, 499, 500], "++--+", "H12")
add("step-back-unused", "what was admitted counts even if it is now ahead of the clock", made.limit(10, 1_000), [0, -300, -600, -900], "+++-", "H12")
add("step-back-hour", "a long step back grants no second burst, and reports how long it takes", TWO, [0, 0, -made.HOUR, -1, 500], "++--+", "H12, I14")
add("order-of-requests", "requests whose instants are out of order are counted on the safe side", TWO, [300, 100, 200, 800], "+--+", "H12")

DAY366 = 366 * made.DAY
ILLEGAL = [
    ("no-window", "a limit has a window", made.limit(1, 0), "I8"),
    ("long-window", "a window is 366 days at most", made.limit(1, DAY366 + 1), None),
    ("zero-no-window", "also a limit of 0", made.limit(0, 0), "I8"),
    ("no-burst", "a limit that admits has a burst", made.limit(1, 1_000, 0), "I8"),
    ("burst-of-decades", "a burst comes back within ten years", made.limit(1, DAY366, 11), None),
    ("largest-burst", "the largest burst at a slow rate", made.limit(1, 1_000, 2**32 - 1), None),
    ("odd-and-large", "parts of a millisecond are counted in 20 bits", made.limit(2**20 + 7, 1_000), None),
    ("largest", "the largest number is prime to the window", made.limit(2**32 - 1, 1_000), None),
]
for short, why, limit, attack in ILLEGAL:
    add(f"illegal-{short}", why, limit, [0], "error", attack)
add("longest-window", "366 days, the longest", made.limit(1, DAY366), [0, 0], "+-")
add("burst-of-nine-years", "a burst that takes nine years to come back", made.limit(1, DAY366, 9), [0] * 10, "+" * 9 + "-")
add("large-and-round", "four thousand million a day", made.limit(4_000_000_000, made.DAY, 1), [0, 0, 1], "+-+")


def run(short, why, limit, count, every_ms, admitted, attack=None):
    limiter = limiting.Limiter(limit)
    passed = [limiter.admit(T + n * every_ms) for n in range(count)]
    first = passed.index(False) if False in passed else None
    claim(short, admitted, sum(passed))
    RUNS.add(f"limit-run-{short}", why, {"admitted": sum(passed), "first_refused": first}, attack,
             limit=limit, first_at=T, every_ms=every_ms, count=count)


HUNDRED = made.limit(100, made.HOUR)
run("at-the-limit", "steady traffic at the limit is never refused", HUNDRED, 1_000, 36_000, 1_000)
run("slower", "nor is slower traffic", HUNDRED, 1_000, 40_000, 1_000)
run("twice-as-fast", "twice as fast: the burst, then every second one", HUNDRED, 1_000, 18_000, 599, "I7")
run("each-second", "an hour of a request each second: the burst and what comes back", HUNDRED, 3_600, 1_000, 199, "I7")
run("at-once", "all at one instant: the burst", HUNDRED, 500, 0, 100, "I2")
run("each-millisecond", "a flood of a request each millisecond", made.limit(10, 1_000), 10_000, 1, 109, "I7")
run("burst-of-one", "a flood without a burst", made.limit(10, 1_000, 1), 10_000, 1, 100, "I7")
run("large-burst", "a flood with a large burst", made.limit(10, 1_000, 50), 10_000, 1, 149, "I7")
run("sevenths", "parts of a millisecond add up: 7 a second and the burst, for 1,000 s", made.limit(7, 1_000, 2), 100_000, 10, 7_001)
run("sevenths-late", "without a burst, each waits for the next multiple of 10 ms", made.limit(7, 1_000, 1), 100_000, 10, 6_667)
run("thirds-at-once", "3 each millisecond, one request each", made.limit(3, 1), 1_000, 1, 1_000)
run("prime", "997 in 1,009 ms, a request each millisecond", made.limit(997, 1_009, 2), 10_090, 1, 9_970 + 1, "I7")
run("zero", "a limit of 0 admits none of many", made.limit(0, 1_000), 100, 1_000, 0, "I8")
run("article-monitoring", "100 an hour, one each half minute, for a day", HUNDRED, 2_880, 30_000, 2_499)
run("article-admin", "5,000 an hour, one each second, for a day", made.limit(5_000, made.HOUR), 86_400, 1_000, 86_400)
