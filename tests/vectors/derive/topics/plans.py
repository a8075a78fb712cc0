"""Plans: what is due for which key."""

import made
from reference import planning
from topic import Topic, claim

PLANS = Topic(
    "plans.json",
    "Records, a policy and the time, and what is due, in the order of the records: a notice that a key ends, "
    "its rotation, or the clean-up of its record.",
)
TOPICS = [PLANS]
T, DAY, HOUR = made.NOW, made.DAY, made.HOUR
MINUTE = 60_000


def policy(**fields):
    return {
        "max_age_ms": 90 * DAY,
        "overlap_ms": 7 * DAY,
        "end_on_first_use": False,
        "notice_leads_ms": [14 * DAY, 7 * DAY, DAY],
        "retention_ms": 30 * DAY,
        **fields,
    }


def one(label="first", **fields):
    return made.record(made.key(label=label), label, **{"created_at": T, "expires_at": T + 60 * DAY, **fields})


def add(short, why, records, due, attack=None, policy=policy()):
    """`due` is a list of words such as `notice 14d` and `rotate`."""
    name = f"plan-{short}"
    actions = planning.plan(records, policy, T)
    said = [
        action["action"] if action["lead_ms"] is None else f"notice {action['lead_ms'] // DAY}d" for action in actions
    ]
    claim(name, due, said)
    PLANS.add(name, why, {"due": actions}, attack, policy=policy, records=records, now=T)


add("nothing", "no records, nothing due", [], [])
add("fresh", "a fresh key is due for nothing", [one()], [])
for label, left, due in [
    ("before-first", 14 * DAY + 1, []),
    ("first", 14 * DAY, ["notice 14d"]),
    ("past-first", 14 * DAY - 1, ["notice 14d"]),
    ("before-second", 7 * DAY + 1, ["notice 14d"]),
    ("second-and-rotation", 7 * DAY, ["notice 7d", "rotate"]),
    ("before-third", DAY + 1, ["notice 7d", "rotate"]),
    ("third", DAY, ["notice 1d", "rotate"]),
    ("last-millisecond", 1, ["notice 1d", "rotate"]),
]:
    add(f"notice-{label}", "the shortest lead time that has been reached", [one(created_at=T - 60 * DAY, expires_at=T + left)], due)
add("at-expiry", "at its end a key is due for neither", [one(expires_at=T)], [], "H1")
add("leads-unsorted", "the order of lead times does not matter", [one(expires_at=T + 3 * DAY)], ["notice 7d"],
    policy=policy(notice_leads_ms=[DAY, 14 * DAY, 7 * DAY]))
add("leads-none", "no lead times, no notices", [one(created_at=T - 60 * DAY, expires_at=T + 3 * DAY)], ["rotate"], policy=policy(notice_leads_ms=[]))
add("leads-long", "a lead time longer than the key's life", [one(expires_at=T + 60 * DAY)], ["notice 365d"], policy=policy(notice_leads_ms=[365 * DAY]))
add("rotation-before", "a millisecond before its overlap would reach its end", [one(expires_at=T + 7 * DAY + 1)], ["notice 14d"])
add("rotation-no-overlap", "without an overlap, rotation is due at the end, which is too late", [one(expires_at=T + 1)], ["notice 1d"], policy=policy(overlap_ms=0))
add("hour-before", "a key of an hour uses an overlap of half an hour", [one(created_at=T - 30 * MINUTE + 1, expires_at=T + 30 * MINUTE + 1)], ["notice 1d"], "H8")
add("hour", "so it is due half an hour before its end, and its successor is not due at once", [one(created_at=T - 30 * MINUTE, expires_at=T + 30 * MINUTE)], ["notice 1d", "rotate"], "H8")
add("overlap-of-age-before", "an overlap as long as the greatest age is used by half", [one(created_at=T - 45 * DAY + 1, expires_at=None)], [], "H8", policy=policy(overlap_ms=90 * DAY))
add("overlap-of-age", "otherwise a rotation would be due at every run", [one(created_at=T - 45 * DAY, expires_at=None)], ["rotate"], "H8", policy=policy(overlap_ms=90 * DAY))
add("age-first", "a key older than the policy's age, whatever its expiry", [one(created_at=T - 90 * DAY, expires_at=T + 300 * DAY)], ["rotate"], "H8")
add("age-at-overlap", "its overlap would reach the greatest age", [one(created_at=T - 83 * DAY, expires_at=T + 300 * DAY)], ["rotate"], "H8")
add("age-before", "a millisecond before that", [one(created_at=T - 83 * DAY + 1, expires_at=T + 300 * DAY)], [], "H8")
add("never-expires-young", "a key without an end is not announced", [one(expires_at=None)], [])
add("never-expires-old", "and is due for rotation by its age", [one(created_at=T - 90 * DAY, expires_at=None)], ["rotate"], "H6")
add("never-expires-very-old", "however old it is", [one(created_at=100_000_000_000, expires_at=None)], ["rotate"], "H6")
add("shorter-age", "under a stricter policy", [one(created_at=T - 25 * DAY, expires_at=T + 60 * DAY)], ["rotate"], policy=policy(max_age_ms=30 * DAY))
add("expired-kept", "an ended key is kept for a while", [one(expires_at=T - 30 * DAY + 1)], [])
add("expired-clean-up", "and then need not be", [one(expires_at=T - 30 * DAY)], ["clean_up"])
add("expired-at-once", "or not at all", [one(expires_at=T)], ["clean_up"], policy=policy(retention_ms=0))
add("revoked-kept", "a revoked key is kept for a while", [one(status=made.revoked(at=T - 30 * DAY + 1))], [])
add("revoked-clean-up", "counted from its revocation", [one(status=made.revoked(at=T - 30 * DAY))], ["clean_up"])
add("revoked-expired", "even if it has expired since", [one(status=made.revoked(at=T - 40 * DAY), expires_at=T - DAY)], ["clean_up"])
add("revoked-later-than-expired", "and if it had expired before", [one(status=made.revoked(at=T - DAY), expires_at=T - 40 * DAY)], [])
add("revoked-not-rotated", "it is neither announced nor rotated", [one(status=made.revoked(at=T - DAY), expires_at=T + DAY)], [], "K10")
add("revoked-never-expires", "a revoked key without an end ends", [one(status=made.revoked(at=T - 31 * DAY), expires_at=None)], ["clean_up"], "H7")
add("suspended", "a suspended key is neither announced nor rotated", [one(status=made.SUSPENDED, expires_at=T + DAY)], [])
add("suspended-expired", "but ends like others", [one(status=made.SUSPENDED, expires_at=T - 31 * DAY)], ["clean_up"])
add("replaced", "a replaced key has its successor", [one(expires_at=T + DAY, replaced_by=made.key_id("second"), overlap_until=T + DAY)], [], "K5")
add("replaced-kept", "it ends with its overlap, and is kept for a while", [one(replaced_by=made.key_id("second"), overlap_until=T - 29 * DAY)], [], "K1")
add("replaced-clean-up", "counted from the end of its overlap", [one(replaced_by=made.key_id("second"), overlap_until=T - 30 * DAY)], ["clean_up"], "K1")
add("replaced-never-expires", "a replaced key without an end of its own", [one(expires_at=None, replaced_by=made.key_id("second"), overlap_until=T - 30 * DAY)], ["clean_up"], "K1")
add("several", "each record for itself, in their order",
    [one(created_at=T - 60 * DAY, expires_at=T + DAY), one("second", expires_at=T - 31 * DAY), one("third"), one("fourth", expires_at=T + 10 * DAY)],
    ["notice 1d", "rotate", "clean_up", "notice 14d"])
add("same-twice", "a record twice is due twice: nothing is remembered", [one(expires_at=T + 10 * DAY)] * 2, ["notice 14d", "notice 14d"])
