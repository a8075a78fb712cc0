"""A process that checks keys from memory over a shared store: scenarios, with their outcomes by hand."""

import made
from topic import Topic

AUTHENTICATOR = Topic(
    "authenticator.json",
    "A store with keys, and processes that check them from memory; steps, each with its outcome: what this process, "
    "other processes, the clock and the store do, how a check is answered, and whether the store was asked for it.",
)
TOPICS = [AUTHENTICATOR]
NOW, MINUTE, HOUR, DAY = made.NOW, made.MINUTE, made.HOUR, made.DAY
BOUND = MINUTE


def key(label, stored=True, **fields):
    text = made.key(label=f"protocol {label}")
    return {"label": label, "text": text, "stored": stored, "record": made.record(text, label=f"protocol {label}", **fields)}


def guess(label, of):
    """A text with the id of a key and another secret."""
    covered = made.covered(label=f"protocol {of}")
    wrong = covered[:-1] + ("a" if covered[-1] != "a" else "b")
    return {"label": label, "text": made.seal(wrong), "stored": False, "record": None}


A, B = key("A"), key("B")


def step(do, outcome=None, **fields):
    return {"do": do, **fields}, outcome


def start(process=1):
    return step("start", process=process)


def stop(outcome="done", process=1):
    return step("stop", {"outcome": outcome}, process=process)


def clock(ms):
    return step("clock", ms=ms)


def pause():
    return step("pause")


def check(label, answer, finds, requires=None, process=1):
    return step("check", {"answer": answer, "finds": finds}, key=label, requires=requires, process=process)


def begin(label, name):
    return step("begin", key=label, name=name)


def end(name, answer=None):
    """Without an answer, it depends on which of two fetches comes first."""
    return step("end", answer and {"answer": answer}, name=name, open=answer is None)


def hold():
    return step("hold")


def release(finds):
    return step("release", {"finds": finds})


def trouble(what):
    return step("trouble", what=what)


def poll(lease_age_ms=0):
    return step("poll", {"lease_age_ms": lease_age_ms})


def flush():
    return step("flush")


def settle(commits):
    return step("settle", {"commits": commits})


def recorded(label, version=1, digest="sha256", last_used_at=None, remaining_uses=None, full_at=None):
    outcome = {
        "version": version,
        "digest": digest,
        "last_used_at": last_used_at,
        "remaining_uses": remaining_uses,
        "full_at": full_at,
    }
    return step("recorded", outcome, key=label)


def verb(do, label, changed=True):
    return step("verb", {"changed": changed}, verb=do, key=label)


def invalidate(label):
    return step("invalidate", key=label)


def elsewhere(do, label):
    """What another process does: issue, revoke, suspend, resume."""
    return step(do, key=label)


def rotate(label, successor, overlap_ms, end_on_first_use=False):
    return step("rotate", key=label, successor=successor, overlap_ms=overlap_ms, end_on_first_use=end_on_first_use)


def change(label, *permissions):
    return step("change", key=label, permissions=list(permissions))


def gone(label):
    return step("gone", key=label)


def scenario(name, why, keys, *steps, attack=None, peppers=(), bound_ms=BOUND, serve_stale_ms=None):
    AUTHENTICATOR.add(
        name,
        why,
        {"outcomes": [outcome for _, outcome in steps]},
        attack=attack,
        keys=keys,
        peppers=list(peppers),
        bound_ms=bound_ms,
        serve_stale_ms=serve_stale_ms,
        steps=[fields for fields, _ in steps],
    )


PEPPER = [{"version": 1, "secret_hex": made.secret_hex("protocol pepper")}]

# Fetch and admit

scenario(
    "a-record-is-fetched-once",
    "memory answers until the TTL of 300 s, and judges each request",
    [A],
    start(),
    check("A", "allow", 1),
    check("A", "allow", 0),
    check("A", "permission_missing", 0, requires="admin"),
    clock(299_000),
    poll(),
    check("A", "allow", 0),
    clock(2_000),
    poll(),
    check("A", "allow", 1),
)
scenario(
    "a-store-that-fails-allows-only-what-is-cached",
    "an error of the store is no answer, and is not cached",
    [A, B],
    start(),
    check("A", "allow", 1),
    trouble("finds"),
    check("A", "allow", 0),
    check("B", "store_unavailable", 1),
    trouble("none"),
    check("B", "allow", 1),
)
scenario(
    "a-replica-that-lags-admits-no-older-version",
    "an event brings the version below which no record is accepted",
    [A],
    start(),
    trouble("lags"),
    elsewhere("suspend", "A"),
    poll(),
    check("A", "store_unavailable", 8),
    trouble("none"),
    check("A", "key_suspended", 1),
)
scenario(
    "a-replica-that-has-caught-up-is-believed",
    "a record of the version of the event is new enough",
    [A],
    start(),
    check("A", "allow", 1),
    trouble("lags"),
    elsewhere("suspend", "A"),
    elsewhere("resume", "A"),
    poll(),
    check("A", "store_unavailable", 8),
    trouble("none"),
    check("A", "allow", 1),
    check("A", "allow", 0),
)

# Single flight

scenario(
    "checks-that-wait-share-one-fetch",
    "a later check joins the fetch that is under way, and one after its end begins another",
    [A, B],
    start(),
    hold(),
    begin("A", "first"),
    begin("A", "second"),
    begin("B", "third"),
    release(2),
    end("first", "allow"),
    end("second", "allow"),
    end("third", "allow"),
    check("A", "allow", 0),
    invalidate("A"),
    check("A", "allow", 1),
)
scenario(
    "a-check-that-joined-answers-for-what-was-revoked-since",
    "a fetch that was joined began before the ticket of the joiner",
    [A],
    start(),
    hold(),
    begin("A", "first"),
    elsewhere("revoke", "A"),
    invalidate("A"),
    begin("A", "second"),
    release(1),
    end("first", "key_revoked"),
    end("second", "key_revoked"),
    check("A", "key_revoked", 0),
)
scenario(
    "after-the-bound-an-old-fetch-is-not-joined",
    "a fetch is a read of the store as that of changes is, and grows as old",
    [A],
    start(),
    check("A", "allow", 1),
    trouble("events"),
    poll(),
    clock(BOUND + 1),
    check("A", "allow", 1),
    hold(),
    begin("A", "early"),
    elsewhere("suspend", "A"),
    clock(BOUND + 1),
    begin("A", "late"),
    release(2),
    end("early"),
    end("late", "key_suspended"),
)

# Keys that the store does not have

scenario(
    "an-unknown-key-is-not-asked-for-again-at-once",
    "absence is cached for 10 s",
    [key("A", stored=False)],
    start(),
    check("A", "invalid_key", 1),
    check("A", "invalid_key", 0),
    clock(9_000),
    check("A", "invalid_key", 0),
)
scenario(
    "an-unknown-key-is-asked-for-again-after-its-time",
    "absence is cached for a shorter time than a record",
    [key("A", stored=False)],
    start(),
    check("A", "invalid_key", 1),
    clock(11_000),
    check("A", "invalid_key", 1),
)
scenario(
    "a-key-that-is-issued-elsewhere-is-accepted-after-a-poll",
    "its event clears that it was absent",
    [key("A", stored=False)],
    start(),
    check("A", "invalid_key", 1),
    elsewhere("issue", "A"),
    check("A", "invalid_key", 0),
    poll(),
    check("A", "allow", 1),
)
scenario(
    "a-wrong-secret-of-a-counted-key-spends-nothing",
    "it is refused by the fetched record, and remembered",
    [key("A", remaining_uses=2), guess("X", "A")],
    start(),
    check("X", "invalid_key", 1),
    check("X", "invalid_key", 0),
    recorded("A", remaining_uses=2),
    check("A", "allow", 2),
    flush(),
    recorded("A", remaining_uses=1, last_used_at=NOW),
)

# The feed

scenario(
    "what-happened-before-the-first-poll-is-not-missed",
    "the reader starts at the end, and invalidates what was cached until then",
    [A],
    trouble("events"),
    start(),
    check("A", "allow", 1),
    elsewhere("suspend", "A"),
    check("A", "allow", 0),
    trouble("none"),
    poll(),
    check("A", "key_suspended", 1),
)
scenario(
    "a-revocation-elsewhere-is-in-force-after-a-poll",
    "an event invalidates its key",
    [A, B],
    start(),
    check("A", "allow", 1),
    check("B", "allow", 1),
    elsewhere("revoke", "A"),
    check("A", "allow", 0),
    poll(),
    check("A", "key_revoked", 1),
    check("A", "key_revoked", 0),
    check("B", "allow", 0),
)
scenario(
    "a-change-elsewhere-is-in-force-after-a-poll",
    "an event of any kind invalidates its key",
    [A],
    start(),
    check("A", "allow", 1, requires="write"),
    change("A", "read"),
    check("A", "allow", 0, requires="write"),
    poll(),
    check("A", "permission_missing", 1, requires="write"),
    check("A", "allow", 0, requires="read"),
)
scenario(
    "a-rotation-elsewhere-concerns-both-keys",
    "the overlap of the older key is known here too",
    [A],
    start(),
    check("A", "allow", 1),
    rotate("A", "B", 1_000),
    poll(),
    check("A", "allow", 1),
    clock(2_000),
    check("A", "key_replaced", 1),
    check("B", "allow", 1),
)
scenario(
    "an-event-of-all-keys-invalidates-everything",
    "many changes at once share an event that names no key",
    [A, B],
    start(),
    check("A", "allow", 1),
    check("B", "allow", 1),
    step("event"),
    poll(),
    check("A", "allow", 1),
    check("B", "allow", 1),
)
scenario(
    "a-damaged-event-invalidates-everything",
    "what it changed is not known, and the reader goes on after it",
    [A, B],
    start(),
    check("A", "allow", 1),
    check("B", "allow", 1),
    elsewhere("suspend", "A"),
    trouble("damaged_event"),
    clock(1_000),
    poll(),
    trouble("none"),
    check("A", "key_suspended", 1),
    check("B", "allow", 1),
    poll(),
    check("B", "allow", 0),
)
scenario(
    "a-page-that-cannot-be-read-is-skipped",
    "it would fail each time, so the reader starts at the end again",
    [A, B],
    start(),
    check("A", "allow", 1),
    check("B", "allow", 1),
    elsewhere("suspend", "A"),
    trouble("damaged_page"),
    clock(1_000),
    poll(),
    trouble("none"),
    check("A", "key_suspended", 1),
    check("B", "allow", 1),
    poll(),
    check("B", "allow", 0),
)
scenario(
    "what-happened-during-an-outage-is-caught-up-with",
    "the position stays while reads fail",
    [A, B],
    start(),
    check("A", "allow", 1),
    check("B", "allow", 1),
    trouble("all"),
    elsewhere("suspend", "A"),
    clock(30_000),
    poll(30_000),
    check("A", "allow", 0),
    trouble("none"),
    poll(),
    check("A", "key_suspended", 1),
    check("B", "allow", 0),
)

# The lease

scenario(
    "memory-answers-until-the-bound-and-no-longer",
    "the lease is judged by each check",
    [A],
    start(),
    check("A", "allow", 1),
    trouble("all"),
    poll(),
    clock(BOUND),
    check("A", "allow", 0),
    clock(1),
    check("A", "store_unavailable", 1),
    trouble("none"),
    poll(),
    check("A", "allow", 0),
)
scenario(
    "a-bound-of-two-seconds-is-kept",
    "the bound is an option",
    [A],
    start(),
    check("A", "allow", 1),
    trouble("all"),
    poll(),
    clock(2_000),
    check("A", "allow", 0),
    clock(1),
    poll(2_001),
    check("A", "store_unavailable", 1),
    bound_ms=2_000,
)
scenario(
    "after-the-bound-each-request-reads-its-record",
    "changes cannot be read, but records can",
    [A],
    start(),
    check("A", "allow", 1),
    trouble("events"),
    poll(),
    clock(BOUND + 1),
    check("A", "allow", 1),
    check("A", "allow", 1),
    elsewhere("suspend", "A"),
    check("A", "key_suspended", 1),
)
scenario(
    "while-the-store-is-away-one-request-tries-it",
    "all others are refused at once, and without the store",
    [A],
    start(),
    check("A", "allow", 1),
    trouble("events"),
    poll(),
    clock(BOUND + 1),
    hold(),
    begin("A", "probe"),
    check("A", "store_unavailable", 0),
    check("A", "store_unavailable", 0),
    release(1),
    end("probe", "allow"),
    check("A", "allow", 1),
)
scenario(
    "a-probe-that-fails-makes-way-for-the-next",
    "the store is tried again by each request that finds no other one trying",
    [A],
    start(),
    check("A", "allow", 1),
    trouble("all"),
    poll(),
    clock(BOUND + 1),
    check("A", "store_unavailable", 1),
    check("A", "store_unavailable", 1),
    trouble("events"),
    check("A", "allow", 1),
)
scenario(
    "stale-records-are-served-for-as-long-as-was-asked-for",
    "a longer time than the bound is an option",
    [A],
    start(),
    check("A", "allow", 1),
    trouble("all"),
    poll(),
    clock(2 * BOUND),
    check("A", "allow", 0),
    clock(1),
    check("A", "store_unavailable", 1),
    serve_stale_ms=2 * BOUND,
)

# A restored backup

scenario(
    "a-restored-backup-is-noticed",
    "the last event is below the position of the reader",
    [A],
    start(),
    elsewhere("suspend", "A"),
    poll(),
    check("A", "key_suspended", 1),
    step("restore"),
    check("A", "key_suspended", 0),
    poll(),
    check("A", "allow", 1),
)
scenario(
    "the-older-records-of-a-backup-are-accepted",
    "which versions were seen is forgotten",
    [A],
    start(),
    elsewhere("suspend", "A"),
    elsewhere("resume", "A"),
    poll(),
    check("A", "allow", 1),
    step("restore"),
    poll(),
    check("A", "allow", 1),
    elsewhere("revoke", "A"),
    poll(),
    check("A", "key_revoked", 1),
)

# After a use

scenario(
    "an-outdated-digest-is-renewed",
    "once, and not on the way of the request",
    [A],
    start(),
    check("A", "allow", 1),
    settle(1),
    recorded("A", version=2, digest="hmac-sha256:1"),
    check("A", "allow", 1),
    settle(0),
    peppers=PEPPER,
)
scenario(
    "a-digest-is-renewed-only-under-its-version",
    "a change that came between is not undone, and the next use tries again",
    [A],
    start(),
    hold(),
    begin("A", "first"),
    change("A", "read"),
    release(1),
    end("first", "allow"),
    settle(1),
    recorded("A", version=2),
    check("A", "permission_missing", 1, requires="write"),
    check("A", "allow", 0),
    settle(1),
    recorded("A", version=3, digest="hmac-sha256:1"),
    check("A", "permission_missing", 1, requires="write"),
    peppers=PEPPER,
)
scenario(
    "a-digest-that-cannot-be-written-waits-before-the-next-try",
    "a store in trouble is not asked at each use",
    [A],
    start(),
    trouble("commits"),
    check("A", "allow", 1),
    settle(1),
    check("A", "allow", 1),
    check("A", "allow", 0),
    settle(0),
    pause(),
    trouble("none"),
    check("A", "allow", 0),
    settle(1),
    flush(),
    recorded("A", version=2, digest="hmac-sha256:1", last_used_at=NOW + 5_000),
    peppers=PEPPER,
)
scenario(
    "the-first-use-of-a-successor-ends-the-overlap",
    "both keys are known to have changed",
    [A],
    rotate("A", "B", 7 * DAY, end_on_first_use=True),
    start(),
    check("A", "allow", 1),
    check("B", "allow", 1),
    settle(1),
    check("A", "key_replaced", 1),
    check("B", "allow", 1),
    settle(0),
)
scenario(
    "a-predecessor-that-is-gone-is-forgotten",
    "later uses of the successor do not try again",
    [A],
    rotate("A", "B", 7 * DAY, end_on_first_use=True),
    gone("A"),
    start(),
    check("B", "allow", 1),
    settle(1),
    recorded("B", version=2),
    check("B", "allow", 1),
    settle(0),
)

# Last uses and rate states

TEN_AN_HOUR = made.limit(10, HOUR)
scenario(
    "a-flush-waits-for-a-store-that-fails",
    "what cannot be written is written later",
    [key("A", rate_limit=TEN_AN_HOUR)],
    start(),
    check("A", "allow", 1),
    trouble("notes"),
    flush(),
    recorded("A"),
    trouble("none"),
    flush(),
    recorded("A", last_used_at=NOW, full_at=NOW + 360_000),
)
scenario(
    "of-two-processes-the-one-that-spent-more-counts",
    "states are merged by the maximum, in any order",
    [key("A", rate_limit=TEN_AN_HOUR)],
    start(1),
    start(2),
    check("A", "allow", 1),
    check("A", "allow", 0),
    check("A", "allow", 0),
    clock(1_000),
    check("A", "allow", 1, process=2),
    flush(),
    recorded("A", last_used_at=NOW + 1_000, full_at=NOW + 3 * 360_000),
)
scenario(
    "a-limit-that-is-free-again-soon-is-recorded-at-the-stop",
    "a restart takes longer than two seconds",
    [key("A", rate_limit=made.limit(10, 10_000))],
    start(),
    check("A", "allow", 1),
    flush(),
    recorded("A", last_used_at=NOW),
    stop(),
    recorded("A", last_used_at=NOW, full_at=NOW + 1_000),
)
scenario(
    "a-limit-survives-a-restart",
    "what is spent is read with the record",
    [key("A", rate_limit=made.limit(3, HOUR))],
    start(),
    check("A", "allow", 1),
    check("A", "allow", 0),
    stop(),
    start(),
    check("A", "allow", 1),
    check("A", "rate_limited", 0),
)
scenario(
    "a-limit-that-was-flushed-survives-a-crash",
    "what is spent is recorded while the process runs",
    [key("A", rate_limit=made.limit(3, HOUR))],
    start(),
    check("A", "allow", 1),
    check("A", "allow", 0),
    flush(),
    start(),
    check("A", "allow", 1),
    check("A", "rate_limited", 0),
)

# Counted uses

scenario(
    "counted-uses-are-exact-over-processes",
    "the store decides about each request",
    [key("A", remaining_uses=3)],
    start(1),
    start(2),
    check("A", "allow", 2),
    check("A", "allow", 2, process=2),
    check("A", "allow", 2),
    check("A", "uses_spent", 2, process=2),
    check("A", "uses_spent", 2),
    flush(),
    recorded("A", remaining_uses=0, last_used_at=NOW),
)

# Verbs and the stop

scenario(
    "a-verb-is-in-force-when-it-returns",
    "it invalidates its key",
    [A],
    start(),
    check("A", "allow", 1),
    verb("suspend", "A"),
    check("A", "key_suspended", 1),
    verb("resume", "A"),
    check("A", "allow", 1),
    verb("revoke", "A"),
    check("A", "key_revoked", 1),
)
scenario(
    "a-verb-that-changes-nothing-is-in-force-too",
    "another process was first, and its event was not read yet",
    [A],
    start(),
    check("A", "allow", 1),
    elsewhere("revoke", "A"),
    check("A", "allow", 0),
    verb("revoke", "A", changed=False),
    check("A", "key_revoked", 1),
)
scenario(
    "a-stop-denies-and-records-the-rest",
    "it can be called again if the store fails",
    [key("A", rate_limit=made.limit(10, 10_000))],
    start(),
    check("A", "allow", 1),
    trouble("notes"),
    stop("failed"),
    check("A", "store_unavailable", 0),
    trouble("none"),
    stop(),
    check("A", "store_unavailable", 0),
    recorded("A", last_used_at=NOW, full_at=NOW + 1_000),
)
