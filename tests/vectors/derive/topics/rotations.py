"""Timelines of one lineage: rotation, its overlap, and the other verbs."""

import re

import made
from reference import deciding, limiting, living
from topic import Topic, claim

ROTATIONS = Topic(
    "rotations.json",
    "A key of the lineage under the label A, a policy, and steps at given instants, each with its outcome: which keys "
    "live, whether a verb was carried out, how a use of a key was answered; and the records after the last step.",
)
POLICIES = Topic("policies.json", "Rotation policies, and whether each can be made.")
TOPICS = [ROTATIONS, POLICIES]
T, DAY, HOUR = made.NOW, made.DAY, made.HOUR


def policy(max_age_ms=90 * DAY, overlap_ms=7 * DAY, end_on_first_use=False, notice_leads_ms=(), retention_ms=30 * DAY):
    return {
        "max_age_ms": max_age_ms,
        "overlap_ms": overlap_ms,
        "end_on_first_use": end_on_first_use,
        "notice_leads_ms": list(notice_leads_ms),
        "retention_ms": retention_ms,
    }


class Timeline:
    """Plays the steps on the reference and writes down what happens."""

    def __init__(self, rotation_policy, record):
        self.policy, self.start = rotation_policy, record
        self.lineage = living.Lineage("A", record)
        self.remaining = record["remaining_uses"]
        limit = record["rate_limit"]
        self.limiter = None if limit is None else limiting.Limiter(limit)
        self.steps, self.outcomes, self.claims = [], [], []

    def play(self, text):
        """One step a word: `+1d:rotate:A:B`, `=:live:AB`, with a claim at the end of it."""
        for word in text.split():
            offset, verb, *rest = word.split(":")
            at = T + span(offset)
            getattr(self, verb)(at, *rest)

    def note(self, at, verb, key=None, as_key=None, reason=None, outcome=None, keys=None, code=None, remaining=None, claimed=None):
        self.steps.append({"at": at, "do": verb, "key": key, "as": as_key, "reason": reason})
        self.outcomes.append({"outcome": outcome, "keys": keys, "code": code, "remaining_uses": remaining})
        said = "".join(keys) if keys is not None else code or outcome
        claim(f"step {len(self.steps)}, {verb}", claimed, said)

    def live(self, at, claimed=""):
        self.note(at, "live", outcome="live", keys=self.lineage.live(at), claimed=claimed)

    def attempt(self, at, verb, claimed, change, **fields):
        try:
            change()
            outcome, code = "done", None
        except living.Refused as refused:
            outcome, code = "refused", refused.args[0]
        self.note(at, verb, outcome=outcome, code=code, claimed=claimed, **fields)

    def rotate(self, at, key, successor, claimed="done"):
        self.attempt(at, "rotate", claimed, lambda: self.lineage.rotate(key, successor, self.policy, at), key=key, as_key=successor)

    def revoke(self, at, key, claimed="done"):
        self.attempt(at, "revoke", claimed, lambda: self.lineage.revoke(key, at, "leaked"), key=key, reason="leaked")

    def suspend(self, at, key, claimed="done"):
        self.attempt(at, "suspend", claimed, lambda: self.lineage.suspend(key), key=key)

    def resume(self, at, key, claimed="done"):
        self.attempt(at, "resume", claimed, lambda: self.lineage.resume(key), key=key)

    def expire(self, at, key, claimed="done"):
        self.attempt(at, "expire", claimed, lambda: self.lineage.expire(key, at), key=key)

    def use(self, at, key, claimed="allow"):
        """A request that asks for nothing; the lineage shares one limit and one count of uses."""
        record = self.lineage.records[key]
        cause = next((cause for cause, fails in deciding.faults(record, IDLE, at) if fails), None)
        if cause is None and self.limiter is not None and not self.limiter.admit(at):
            cause = "rate_limit"
        elif cause is None and self.remaining == 0:
            raise SystemExit("the timeline would have to give back what the limit admitted")
        if cause is None and self.remaining is not None:
            self.remaining -= 1
        if cause is None and record["ends_at_first_use"] is not None:
            self.lineage.end_overlap(key, at)
        outcome, code = ("allow", None) if cause is None else ("deny", deciding.CODES[cause])
        self.note(at, "use", key=key, outcome=outcome, code=code, remaining=self.remaining, claimed=claimed)

    def spent(self, at, key):
        """A use if none is left."""
        self.note(at, "use", key=key, outcome="deny", code="uses_spent", remaining=0, claimed="uses_spent" if self.remaining == 0 else None)


IDLE = {"requires": None, "method": None, "path": None, "address": None, "environment": None}


def span(text):
    """`1d`, `-2h`, `7d-1`, `=` for no time: an offset in milliseconds."""
    units = {"d": DAY, "h": HOUR, "m": 60_000, "s": 1_000, "": 1}
    return sum(int(count) * units[unit] for count, unit in re.findall(r"([+-]?\d+)([dhms]?)", text))


def add(short, why, rotation_policy, steps, attack=None, **fields):
    start = made.record(made.key(), **{"expires_at": T + 80 * DAY, **fields})
    timeline = Timeline(rotation_policy, start)
    timeline.play(steps)
    kept = ("expires_at", "overlap_until", "version")
    records = {
        label: {
            "status": record["status"]["state"],
            "replaced_by": record["replaced_by"],
            "ends_at_first_use": record["ends_at_first_use"],
            **{field: record[field] for field in kept},
        }
        for label, record in timeline.lineage.records.items()
    }
    ROTATIONS.add(
        f"rotation-{short}", why, {"outcomes": timeline.outcomes, "records": records}, attack,
        format=made.STRUCTURED, policy=rotation_policy, key=made.key(), record=start, steps=timeline.steps,
    )


WEEK, AT_ONCE, FIRST_USE = policy(), policy(overlap_ms=0), policy(end_on_first_use=True)

add("plain", "both keys live through the overlap, only the successor after it", WEEK,
    "-1:live:A =:rotate:A:B =:live:AB 7d-1:live:AB 7d:live:B 7d+1:live:B", "K3")
add("uses", "each of them is accepted while it lives", WEEK,
    "=:use:A =:rotate:A:B =:use:A =:use:B 7d-1:use:A 7d:use:A:key_replaced 7d:use:B", "K2")
add("deadline", "the old key is refused at the deadline, to the millisecond", WEEK, "=:rotate:A:B 7d-1:use:A 7d:use:A:key_replaced 7d+1:use:A:key_replaced", "K1")
add("at-once", "without an overlap the old key ends as the new one begins", AT_ONCE, "-1:live:A =:rotate:A:B =:live:B =:use:A:key_replaced =:use:B", "K3")
add("one-millisecond", "the shortest overlap", policy(overlap_ms=1), "=:rotate:A:B =:live:AB 1:live:B", "K3")
add("longest-overlap", "an overlap as long as the greatest age: half of the successor's life is used", policy(overlap_ms=90 * DAY),
    "=:rotate:A:B 40d-1:live:AB 40d:live:B 80d-1:live:B 80d:live:", "H8", created_at=T)
add("own-expiry-first", "the old key never lives past its own expiry", WEEK, "=:rotate:A:B 2d-1:live:AB 2d:live:B 2d:use:A:key_expired", "H8", expires_at=T + 2 * DAY)
add("own-expiry-is-overlap-end", "both ends at one instant", WEEK, "=:rotate:A:B 7d-1:live:AB 7d:live:B 7d:use:A:key_expired", "H8", expires_at=T + 7 * DAY)
add("last-millisecond", "rotated in the last millisecond of its life", WEEK, "=:rotate:A:B =:live:AB 1:live:B", "K3", expires_at=T + 1)
add("never-expires", "a key without an end gets a successor without one", WEEK, "=:rotate:A:B 7d-1:live:AB 7d:live:B 9000d:live:B", "H7", expires_at=None)
add("hour", "an hour stays an hour, and half of it is the longest overlap", WEEK,
    "=:rotate:A:B 30m-1:live:AB 30m:live:B 1h-1:live:B 1h:live:", "H8", created_at=T, expires_at=T + HOUR)
add("hour-at-its-end", "however late it is rotated", WEEK, "59m:rotate:A:B 1h-1:live:AB 1h:live:B 119m-1:live:B 119m:live:", "H8", created_at=T, expires_at=T + HOUR)
add("hour-again", "so does the successor's successor", AT_ONCE, "=:rotate:A:B 1h-1:rotate:B:C 1h:live:C 2h-2:live:C 2h-1:live:", "H8", created_at=T, expires_at=T + HOUR)
add("successor-age", "the successor's expiry counts from the rotation, and not from the greatest age", policy(max_age_ms=30 * DAY),
    "10d:rotate:A:B 90d-1:live:B 90d:live: 90d:use:B:key_expired", "H4", created_at=T)
add("successor-longer", "it may be after the old one's", WEEK, "79d:rotate:A:B 80d:live:B 159d-1:live:B 159d:live:", "H8", created_at=T)

add("twice", "rotated again in the overlap: the oldest ends, two live", WEEK,
    "=:rotate:A:B 1d:live:AB 1d:rotate:B:C 1d:live:BC 1d:use:A:key_replaced 8d-1:live:BC 8d:live:C", "K5")
add("chain", "rotated each day: never more than two", WEEK,
    "=:rotate:A:B 1d:rotate:B:C 2d:rotate:C:D 3d:rotate:D:E 3d:live:DE 4d:live:DE 10d-1:live:DE 10d:live:E", "K5")
add("same-instant", "rotated twice at one instant", WEEK, "=:rotate:A:B =:rotate:B:C =:live:BC 7d-1:live:BC 7d:live:C", "K5")
add("chain-at-once", "a chain without overlaps: exactly one lives", AT_ONCE, "=:rotate:A:B =:rotate:B:C =:rotate:C:D =:live:D", "K5")
add("after-overlap", "rotated again after the overlap", WEEK, "=:rotate:A:B 8d:live:B 8d:rotate:B:C 8d:live:BC 15d:live:C")
add("overlap-never-grows", "a later rotation ends an overlap, and never prolongs one", policy(overlap_ms=90 * DAY),
    "=:rotate:A:B 1d:rotate:B:C 1d:live:BC 2d:use:A:key_replaced", "K1")

add("replaced-again", "a replaced key has its successor, and gets no second one", WEEK, "=:rotate:A:B 1d:rotate:A:C:state 1d:live:AB", "K5")
add("replaced-again-after", "also after its overlap", WEEK, "=:rotate:A:B 8d:rotate:A:C:state 8d:live:B", "K5")
add("expired", "an expired key gets no successor", WEEK, "=:live: =:rotate:A:B:state", "H4", expires_at=T)
add("expired-by-one", "valid a millisecond before", WEEK, "-1:live:A =:rotate:A:B:state -1:rotate:A:B", "H1", expires_at=T)
add("revoked", "a revoked key gets no successor", WEEK, "=:revoke:A =:live: =:rotate:A:B:state", "K10")
add("suspended", "a suspended key gets no successor until it is resumed", WEEK, "=:suspend:A =:rotate:A:B:state 1:resume:A 1:rotate:A:B 1:live:AB")
add("end-of-time", "an end of the year 9999 means never in many tables: the successor ends then too, and not later", policy(max_age_ms=90 * DAY),
    "=:live:A 2912100d:rotate:A:B 2912100d:live:AB", "H4", expires_at=living.YEAR_9999_END)

add("revoke-old", "the old key is revoked in its overlap", WEEK, "=:rotate:A:B 1d:revoke:A 1d:live:B 1d:use:A:key_revoked", "K9")
add("revoke-new", "the new key is revoked: the old one lives to the end of its overlap, and no longer", WEEK,
    "=:rotate:A:B 1d:revoke:B 1d:live:A 1d:use:B:key_revoked 7d-1:live:A 7d:live:", "K9")
add("revoke-new-rotate", "the old one may be rotated again, and lives no longer for it", WEEK,
    "=:rotate:A:B 1d:revoke:B 2d:rotate:A:C 2d:live:AC 7d-1:live:AC 7d:live:C", "K9")
add("revoke-new-rotate-late", "not after its overlap", WEEK, "=:rotate:A:B 1d:revoke:B 7d:rotate:A:C:state 7d:live:", "K9")
add("revoke-new-of-two", "nor if another key took over", WEEK, "=:rotate:A:B 1d:rotate:B:C 2d:revoke:B 2d:rotate:A:D:state 2d:live:C", "K9")
add("revoke-both", "both are revoked", WEEK, "=:rotate:A:B 1d:revoke:A 1d:revoke:B 1d:live:", "K9")
add("revoke-twice", "the first revocation is kept", WEEK, "=:revoke:A 1d:revoke:A:state 1d:live:", "K10")
add("revoke-then-resume", "no verb leads back from a revocation", WEEK, "=:revoke:A 1:resume:A:state 1:suspend:A:state 1:rotate:A:B:state 1:live:", "K10")
add("revoke-suspended", "a suspended key can be revoked", WEEK, "=:suspend:A 1:revoke:A 2:resume:A:state 2:live:", "K10")
add("revoke-expired", "an expired key can be revoked, for the audit", WEEK, "80d:live: 80d:revoke:A 80d:use:A:key_revoked", "H7")
add("revoke-never-expires", "a key without an end can be revoked", WEEK, "=:revoke:A 90d:live:", "H7", expires_at=None)
add("revoke-replaced", "a replaced key can be revoked after its overlap", WEEK, "=:rotate:A:B 8d:revoke:A 8d:use:A:key_revoked 8d:live:B", "H7")

add("suspend", "suspended and resumed", WEEK, "=:suspend:A =:live: =:use:A:key_suspended 1d:resume:A 1d:live:A 1d:use:A")
add("suspend-twice", "a suspended key cannot be suspended", WEEK, "=:suspend:A 1:suspend:A:state 1:live:")
add("resume-active", "nor an active one resumed", WEEK, "=:resume:A:state =:live:A")
add("suspend-past-expiry", "expiry runs on meanwhile", WEEK, "=:suspend:A 3d:resume:A 3d:live: 3d:use:A:key_expired", "H4", expires_at=T + 2 * DAY)
add("suspend-new", "a suspended successor: the old one lives to the end of its overlap", WEEK,
    "=:rotate:A:B 1d:suspend:B 1d:live:A 7d:live: 8d:resume:B 8d:live:B")
add("suspend-old", "the old key is suspended and resumed in its overlap", WEEK, "=:rotate:A:B 1d:suspend:A 1d:live:B 2d:resume:A 2d:live:AB 7d:live:B")
add("suspend-old-past-overlap", "the overlap runs on meanwhile", WEEK, "=:rotate:A:B 1d:suspend:A 8d:resume:A 8d:live:B 8d:use:A:key_replaced", "K1")
add("suspend-old-rotate", "a suspended key's overlap ends with a further rotation too, otherwise three would live", WEEK,
    "=:rotate:A:B 1d:suspend:A 2d:rotate:B:C 2d:live:BC 3d:resume:A 3d:live:BC 3d:use:A:key_replaced", "K5")
add("expire", "an expiry is reported after it has come", WEEK, "-1:expire:A:state =:expire:A", "H1", expires_at=T)
add("expire-overlap", "so is the end of an overlap", WEEK, "=:rotate:A:B 7d-1:expire:A:state 7d:expire:A 7d:expire:B:state", "K1")
add("expire-never", "a key without an end never expires", WEEK, "9000d:expire:A:state", "H6", expires_at=None)

add("first-use", "the successor's first use ends the overlap", FIRST_USE, "=:rotate:A:B 1d:live:AB 1d:use:A 1d:use:B 1d:live:B 1d:use:A:key_replaced", "K1")
add("first-use-once", "its second use changes nothing more", FIRST_USE, "=:rotate:A:B 1d:use:B 2d:use:B 2d:live:B")
add("first-use-never", "without one, the overlap ends in its own time", FIRST_USE, "=:rotate:A:B 6d:use:A 7d-1:live:AB 7d:live:B")
add("first-use-late", "a first use after the overlap does not extend it", FIRST_USE, "=:rotate:A:B 8d:use:B 8d:live:B 8d:use:A:key_replaced", "K1")
add("first-use-refused", "a refused use does not count", FIRST_USE, "=:rotate:A:B 1d:suspend:B 1d:use:B:key_suspended 1d:live:A 2d:resume:B 2d:live:AB 2d:use:B 2d:live:B")
add("first-use-not-asked", "without that policy, a use ends nothing", WEEK, "=:rotate:A:B 1d:use:B 1d:live:AB")
add("first-use-rotated-on", "a successor that is rotated before its first use", FIRST_USE, "=:rotate:A:B 1d:rotate:B:C 1d:live:BC 2d:use:B 2d:live:BC 3d:use:C 3d:live:C", "K5")
add("first-use-of-revoked", "the old key was revoked meanwhile", FIRST_USE, "=:rotate:A:B 1d:revoke:A 2d:use:B 2d:live:B 2d:use:A:key_revoked", "K9")

add("limit-shared", "both keys share one rate limit", WEEK, "=:use:A =:rotate:A:B =:use:B =:use:A:rate_limited =:use:B:rate_limited 30s:use:B 30s:use:A:rate_limited",
    "I13", rate_limit=made.limit(2, 60_000))
add("limit-not-reset", "a rotation gives no second allowance", AT_ONCE, "=:use:A =:use:A =:rotate:A:B =:use:B:rate_limited 30s:use:B", "I13", rate_limit=made.limit(2, 60_000))
add("uses-shared", "both keys share one count of uses", WEEK, "=:use:A =:rotate:A:B =:use:B =:use:A =:spent:B =:spent:A", "I12", remaining_uses=3)
add("uses-not-reset", "a rotation gives no new uses", AT_ONCE, "=:use:A =:rotate:A:B =:spent:B", "I12", remaining_uses=1)

for short, why, made_policy, legal in [
    ("default", "90 days, 7 of overlap", policy(), True),
    ("thirty-days", "30 days, the short end of what is usual", policy(max_age_ms=30 * DAY), True),
    ("ninety-days", "90 days, the longest", policy(max_age_ms=90 * DAY), True),
    ("longer", "a millisecond more than 90 days", policy(max_age_ms=90 * DAY + 1), False),
    ("year", "a year is no rotation", policy(max_age_ms=365 * DAY), False),
    ("no-age", "no age at all", policy(max_age_ms=0, overlap_ms=0), False),
    ("no-overlap", "no overlap is legal", policy(overlap_ms=0), True),
    ("overlap-of-age", "an overlap as long as the age", policy(max_age_ms=30 * DAY, overlap_ms=30 * DAY), True),
    ("overlap-longer", "an overlap longer than the age: half of the age is used", policy(max_age_ms=30 * DAY, overlap_ms=30 * DAY + 1), True),
    ("overlap-longest", "an overlap of 90 days, the longest", policy(overlap_ms=90 * DAY), True),
    ("overlap-too-long", "a millisecond more", policy(overlap_ms=90 * DAY + 1), False),
    ("overlap-largest", "an overlap of geological length", policy(overlap_ms=2**53), False),
    ("no-notices", "a policy without notices", policy(notice_leads_ms=[]), True),
    ("notice-at-the-end", "a notice at the end itself", policy(notice_leads_ms=[0]), True),
    ("no-retention", "an ended key can be cleaned up at once", policy(retention_ms=0), True),
]:
    within = made_policy["overlap_ms"] <= 90 * DAY and 30 * DAY <= made_policy["max_age_ms"] <= 90 * DAY
    claim(short, legal, within)
    POLICIES.add(f"policy-{short}", why, {"legal": legal}, policy=made_policy)
