"""Decisions: a key, a record, a request and the time, and the decision."""

import itertools

import made
from reference import answering, deciding
from topic import Topic, claim

DECISIONS = Topic(
    "decisions.json",
    "A presented key, the record that a lookup returned for it or null, what its lineage has spent, a request and the time; "
    "and the decision. A denial spends nothing.",
)
RESPONSES = Topic(
    "responses.json",
    "A cause, or a scene as in decisions.json, and the HTTP response: for a denial its status, header fields and "
    "the contents of its body; for an allowed request only the header fields.",
)
TOPICS = [DECISIONS, RESPONSES]

NOW, DAY = made.NOW, made.DAY
KEY, OTHER, OPAQUE = made.key(), made.key(label="second"), made.opaque()
FIRST, SECOND, THIRD = (made.key_id(label) for label in ("first", "second", "third"))
ANY_REQUEST = {"requires": None, "method": None, "path": None, "address": None, "environment": None}
P1, P2, P3 = ({"version": n, "secret_hex": made.secret_hex(f"pepper {n}")} for n in (1, 2, 3))


def scene(request=(), key=KEY, now=NOW, peppers=(), formats=(made.STRUCTURED,), admitted_at=(), remaining=None, found=True, **fields):
    """Everything that a decision depends on; what is not given is harmless."""
    record = made.record(fields.pop("record_of", key), peppers=fields.pop("digest_peppers", peppers), **fields)
    path = {"path_hex"} & dict(request).keys()
    asked = {**ANY_REQUEST, **dict(request)}
    if path:
        del asked["path"]
    return {
        "formats": list(formats),
        "peppers": list(peppers),
        "key": key,
        "record": record if found else None,
        "usage": {"admitted_at": list(admitted_at), "remaining": remaining},
        "request": asked,
        "now": now,
    }


def add(short, why, outcome, attack=None, **parts):
    """The outcome is "allow" or the cause of the denial."""
    name = f"decision-{short}"
    given = scene(**parts)
    decision = deciding.decide(given)
    claim(name, outcome, decision.get("cause", "allow"))
    DECISIONS.add(name, why, decision, attack, **given)


def ask(requires=None, endpoint=None, address=None, environment=None):
    method, path = endpoint or (None, None)
    return {"requires": requires, "method": method, "path": path, "address": address, "environment": environment}


# Allowed.
add("plain", "a live key and a request that asks for nothing else", "allow")
add("everything-asked", "every check is asked, and passes", "allow", request=ask("read AND write", ("GET", "/api/data/7"), "192.0.2.7", "live"),
    allowed_endpoints=["GET /api/data/*"], allowed_networks=["192.0.2.0/24"], rate_limit=made.limit(10, 1_000), remaining=3)
add("bare", "a key without an environment", "allow", key=made.key(environment=None), environment=None)
add("opaque", "an opaque key is found by its digest", "allow", key=OPAQUE, formats=[made.OPAQUE], environment=None)
add("any-structured", "a reader of any prefix: the prefix is in what the digest covers", "allow", formats=[{"kind": "any_structured"}])
add("keyed", "a keyed check", "allow", key=made.key(checksum_key_hex=made.secret_hex("checksum")),
    formats=[{**made.STRUCTURED, "checksum_key_hex": made.secret_hex("checksum")}])
add("second-format", "two formats at once, as while moving from one to another", "allow", formats=[made.OPAQUE, made.STRUCTURED])
add("second-format-opaque", "the other one of the two", "allow", key=OPAQUE, formats=[made.STRUCTURED, made.OPAQUE], environment=None)
add("never-expires", "a key without an end", "allow", expires_at=None)
add("far-future", "the last instant that a key can see", "allow", now=253_402_300_799_998, expires_at=253_402_300_799_999)
add("lineage", "the lineage is reported, since usage is kept by lineage", "allow", lineage=SECOND)
add("unused-fields", "what is kept for people decides nothing", "allow", owner="tenant", client_email="a@example.com", metadata='{"a":1}',
    scope_type="monitoring", last_used_at=NOW - 5, version=42)
add("before-created", "a clock that is a little slow refuses no new key", "allow", created_at=NOW + 1_000, attack="H12")

# Not proved: one outcome outside.
add("malformed", "a text that is no key", "malformed", "C8", key="acme_live_x", record_of=KEY)
add("malformed-check", "a typo: the check is wrong", "malformed", "C8", key=KEY[:-1] + ("0" if KEY[-1] != "0" else "1"), record_of=KEY)
add("malformed-empty", "an empty text, whose digest a record might have", "malformed", "B1", key="")
add("malformed-other-format", "a format that this verifier does not read", "malformed", key=OPAQUE, environment=None)
add("malformed-unknown", "no lookup for a text that is not a key", "malformed", "G9", key="acme_live_x", record_of=KEY, found=False)
add("unknown", "no record was found: the same code as for a wrong secret", "unknown_key", "C4", found=False)
add("unknown-opaque", "an opaque key that is not in the store", "unknown_key", "C4", key=OPAQUE, formats=[made.OPAQUE], found=False)
add("unknown-peppered", "also under a pepper", "unknown_key", "C4", found=False, peppers=[P1])
add("record-of-other-id", "a record of another key counts as none, whichever lookup returned it", "unknown_key", "G10", key=OTHER, record_of=KEY)
forged = made.seal(made.covered().replace(made.base62("secret first", 43), made.base62("secret forged", 43)))
add("wrong-secret", "the right id with another secret: the same code as for no record", "wrong_secret", "C4", key=forged, record_of=KEY)
add("wrong-secret-environment", "the id and secret of a test key under live", "wrong_secret", "N4",
    key=KEY, record_of=made.key(environment="test"))
add("wrong-secret-prefix", "the id and secret of a key with another prefix", "wrong_secret", "N4",
    key=KEY, record_of=made.key("acma"), formats=[{"kind": "any_structured"}])
add("wrong-secret-opaque", "a store answered with the record of another key", "wrong_secret", "G10",
    key=OPAQUE, record_of=made.opaque(label="second"), formats=[made.OPAQUE], environment=None)
add("wrong-secret-peppered", "also under a pepper", "wrong_secret", "C4", key=forged, record_of=KEY, peppers=[P1])
add("digest-of-digest", "who presents the stored digest presents no key", "malformed", "D9", key=made.record(KEY)["digest"], record_of=KEY)
mac = made.record(KEY, peppers=[P1])["digest"].rpartition(":")[2]
plain = made.record(KEY)["digest"].rpartition(":")[2]
add("kind-confused", "the bytes of an HMAC under the name of SHA-256", "wrong_secret", "D10", peppers=[P1], digest=f"sha256:{mac}")
add("kind-confused-other", "the bytes of SHA-256 under the name of an HMAC", "wrong_secret", "D10", peppers=[P1], digest=f"hmac-sha256:1:{plain}")
add("pepper-confused", "an HMAC under the name of another pepper", "wrong_secret", "D10", peppers=[P1, P2], digest=f"hmac-sha256:2:{mac}")
for state, fields in [
    ("revoked", {"status": made.revoked()}),
    ("suspended", {"status": made.SUSPENDED}),
    ("expired", {"expires_at": NOW - 1}),
    ("replaced", {"replaced_by": SECOND, "overlap_until": NOW - 1}),
    ("limited", {"rate_limit": made.limit(0, 1_000)}),
    ("spent", {"remaining": 0}),
]:
    add(f"wrong-secret-{state}", f"a key that is {state} says so only to its holder", "wrong_secret", "C8", key=forged, record_of=KEY, **fields)
add("wrong-secret-everything", "nothing is asked before the secret is proved", "wrong_secret", "C8", key=forged, record_of=KEY,
    request=ask("delete", ("GET", "/a/../b"), "203.0.113.1", "test"), allowed_endpoints=[], allowed_networks=[])

# Peppers and rehashing.
add("pepper-current", "a digest under the current pepper", "allow", peppers=[P1])
add("pepper-retired", "a retired pepper proves, and asks for a new digest", "allow", "D7", peppers=[P2, P1], digest_peppers=[P1])
add("pepper-second-retired", "any retired one", "allow", "D7", peppers=[P3, P2, P1], digest_peppers=[P1])
add("pepper-introduced", "a plain digest proves, and asks for a peppered one", "allow", "D7", peppers=[P1], digest_peppers=[])
add("pepper-unknown", "a pepper that the ring does not hold: nothing can be proved", "pepper_unavailable", "D7", peppers=[P2], digest_peppers=[P1])
add("pepper-abolished", "a peppered digest and an empty ring", "pepper_unavailable", "D7", peppers=[], digest_peppers=[P1])
add("pepper-same-version", "another pepper under the same version", "wrong_secret", "D7", peppers=[{**P2, "version": 1}], digest_peppers=[P1])
add("pepper-unknown-revoked", "without proof, no state is disclosed", "pepper_unavailable", "C8", peppers=[P2], digest_peppers=[P1], status=made.revoked())
add("pepper-staged-plain", "a first pepper is known and not yet current: a plain digest stays", "allow", "D7", peppers=[None, P1], digest_peppers=[])
add("pepper-staged", "and a digest that another process made with it proves, and stays too", "allow", "D7", peppers=[None, P1], digest_peppers=[P1])
add("pepper-staged-second", "any of several", "allow", "D7", peppers=[None, P2, P1], digest_peppers=[P1])
add("pepper-staged-unknown", "another one is missing", "pepper_unavailable", "D7", peppers=[None, P2], digest_peppers=[P1])
add("pepper-opaque-staged", "an opaque key under a pepper that is not yet current", "allow", "D7", key=OPAQUE, formats=[made.OPAQUE], environment=None, peppers=[None, P1], digest_peppers=[P1])
add("pepper-opaque", "an opaque key under a retired pepper", "allow", "D7", key=OPAQUE, formats=[made.OPAQUE], environment=None, peppers=[P2, P1], digest_peppers=[P1])

# Status.
add("revoked", "a revoked key", "revoked", "K10", status=made.revoked())
add("revoked-now", "from the very instant on", "revoked", "K10", status=made.revoked(at=NOW))
add("revoked-later", "revoked is revoked, whatever its instant", "revoked", "K10", status=made.revoked(at=NOW + DAY))
add("revoked-never-expires", "a key without an end can be revoked", "revoked", "H7", status=made.revoked(), expires_at=None)
add("revoked-no-reason", "an empty reason is a reason", "revoked", "H7", status=made.revoked(reason=""))
add("suspended", "a suspended key", "suspended", status=made.SUSPENDED)
add("suspended-never-expires", "a suspended key without an end", "suspended", "H7", status=made.SUSPENDED, expires_at=None)

# Expiry: valid while now < expires_at.
for label, offset, outcome in [("before", 1, "allow"), ("at", 0, "expired"), ("after", -1, "expired"), ("day-after", -DAY, "expired")]:
    add(f"expiry-{label}", "valid while now is less than expires_at, to the millisecond", outcome, "H1", expires_at=NOW + offset)
add("expiry-same-day", "the day is not rounded up", "expired", "H1", expires_at=NOW - 60_000)
add("expiry-earliest", "an expiry of long ago", "expired", "H2", expires_at=100_000_000_000, created_at=100_000_000_000)
add("expiry-before-created", "an end before the beginning is an end", "expired", "H5", expires_at=made.CREATED - 1)
add("expiry-latest", "the last instant of all is an end too", "expired", "H4", now=253_402_300_799_999, expires_at=253_402_300_799_999)
add("expiry-and-uses", "an expired key spends no use", "expired", "H9", expires_at=NOW, remaining=1)

# Overlap.
REPLACED = {"replaced_by": SECOND}
for label, offset, outcome in [("before", 1, "allow"), ("at", 0, "replaced"), ("after", -1, "replaced")]:
    attack = "K2" if outcome == "allow" else "K1"
    add(f"overlap-{label}", "a replaced key lives while now is less than overlap_until", outcome, attack, overlap_until=NOW + offset, **REPLACED)
add("overlap-notice", "a key in its overlap is notified of its successor and its end", "allow", overlap_until=NOW + 3 * DAY, **REPLACED)
for label, expiry, overlap, outcome in [
    ("both-ahead", 1, 1, "allow"), ("expiry-first", 0, 1, "expired"), ("overlap-first", 1, 0, "replaced"), ("both-over", 0, 0, "expired"),
]:
    add(f"ends-{label}", "expiry is asked before the overlap; whichever comes first ends the key", outcome, "H8",
        expires_at=NOW + expiry, overlap_until=NOW + overlap, **REPLACED)
add("overlap-no-expiry", "an overlap ends a key that had no end", "replaced", "K1", expires_at=None, overlap_until=NOW, **REPLACED)
add("overlap-revoked", "revoked in its overlap", "revoked", "K9", status=made.revoked(), overlap_until=NOW + DAY, **REPLACED)
add("successor", "the successor is a key like others", "allow", key=OTHER, label="second", lineage=FIRST)
add("successor-first-use", "the first use of a successor that ends the overlap reports it", "allow", key=OTHER, label="second", lineage=FIRST, ends_at_first_use=FIRST)
add("successor-refused", "a refused use ends no overlap", "permission", key=OTHER, label="second", lineage=FIRST, ends_at_first_use=FIRST, request=ask("admin"))
add("successor-replaced", "a successor that is being replaced itself", "allow", "K5", key=OTHER, label="second", lineage=FIRST, replaced_by=THIRD, overlap_until=NOW + DAY)

# Environment.
add("environment-same", "a key of the environment that asks", "allow", request=ask(environment="live"))
add("environment-other", "a key of another", "environment", "N4", request=ask(environment="test"))
add("environment-none-asked", "if the request names none, any will do", "allow", environment="test", key=made.key(environment="test"))
add("environment-none-held", "a key of none is refused if the request names one", "environment", "N4", request=ask(environment="live"), environment=None)
add("environment-prefix", "a longer name is another", "environment", "N4", request=ask(environment="live2"))
add("environment-of-record", "the record decides, not the key's text: here they differ", "environment", "N4", request=ask(environment="live"), environment="test")

# Networks.
OFFICE = {"allowed_networks": ["192.0.2.0/24", "2001:db8::/32"]}
add("network-inside", "an address of the list", "allow", request=ask(address="192.0.2.7"), **OFFICE)
add("network-inside-v6", "an address of the list", "allow", request=ask(address="2001:db8::7"), **OFFICE)
add("network-mapped", "an IPv4 address mapped to IPv6", "allow", "I10", request=ask(address="::ffff:192.0.2.7"), **OFFICE)
add("network-outside", "an address from elsewhere", "network", request=ask(address="198.51.100.1"), **OFFICE)
add("network-outside-mapped", "an address from elsewhere, mapped to IPv6", "network", "I10", request=ask(address="::ffff:198.51.100.1"), **OFFICE)
add("network-no-address", "a restricted key, and a request that does not say its address", "network", "G11", **OFFICE)
add("network-none", "a key that is not restricted", "allow", request=ask(address="203.0.113.1"))
add("network-empty", "an empty list is no missing list: from nowhere", "network", "J5", request=ask(address="192.0.2.7"), allowed_networks=[])
add("network-empty-no-address", "an empty list and no address", "network", "J5", allowed_networks=[])

# Endpoints.
RULES = {"allowed_endpoints": ["GET,HEAD /api/metrics/*", "/api/data/*"]}
add("endpoint-inside", "a rule matches", "allow", request=ask(endpoint=("GET", "/api/metrics/cpu")), **RULES)
add("endpoint-second", "any rule of the list", "allow", request=ask(endpoint=("DELETE", "/api/data/7")), **RULES)
add("endpoint-method", "the method is part of the rule", "endpoint", "A31", request=ask(endpoint=("POST", "/api/metrics/cpu")), **RULES)
add("endpoint-outside", "a route that no rule names", "endpoint", "A28", request=ask(endpoint=("GET", "/api/users")), **RULES)
add("endpoint-boundary", "a segment is whole", "endpoint", "A15", request=ask(endpoint=("GET", "/api/database")), **RULES)
add("endpoint-not-said", "a restricted key, and a request that does not state its path", "endpoint", "G11", **RULES)
add("endpoint-none", "no list: not restricted", "allow", request=ask(endpoint=("PATCH", "/anything")))
add("endpoint-empty", "an empty list is no missing list: nowhere", "endpoint", "J5", request=ask(endpoint=("GET", "/")), allowed_endpoints=[])
add("endpoint-empty-not-said", "an empty list and no path", "endpoint", "J5", allowed_endpoints=[])
add("endpoint-all", "/* is everything", "allow", request=ask(endpoint=("GET", "/")), allowed_endpoints=["/*"])
PATHS = [
    ("dot-dot", "/api/data/../users", "A1"), ("escaped-slash", "/api/data/..%2fusers", "A2"), ("double-slash", "//api/data/7", "A17"),
    ("escaped-dots", "/api/data/%2e%2e/users", "A20"), ("matrix", "/api/data;x/7", "A21"), ("twice-escaped", "/api/data/%252e", "A10"),
    ("relative", "api/data/7", "A11"), ("query", "/api/data/7?x=1", "B15"), ("empty", "", "A11"),
]
for label, path, attack in PATHS:
    add(f"path-{label}", "a path that is not canonical is refused as such", "path_not_canonical", attack, request=ask(endpoint=("GET", path)), **RULES)
add("path-unrestricted", "even if the key is not restricted", "path_not_canonical", "A1", request=ask(endpoint=("GET", "/a/../b")))
add("path-all", "and if everything is allowed", "path_not_canonical", "A1", request=ask(endpoint=("GET", "/a/../b")), allowed_endpoints=["/*"])
add("path-nowhere", "an invalid path is checked before an empty list", "path_not_canonical", "A1", request=ask(endpoint=("GET", "/a/../b")), allowed_endpoints=[])
for label, raw in [("latin-1", b"/caf\xe9"), ("overlong", b"/a\xc0\xaf"), ("utf-8", "/caf\u00e9".encode())]:
    add(f"path-bytes-{label}", "bytes beyond ASCII are sent escaped", "path_not_canonical", "A5",
        request={"method": "GET", "path_hex": raw.hex()}, allowed_endpoints=["/*"])

# Permissions.
add("permission-held", "the key has what is required", "allow", request=ask("read"))
add("permission-missing", "what is missing is named", "permission", request=ask("read AND delete"))
add("permission-either", "each alternative is named", "permission", request=ask("delete OR admin"))
add("permission-none-asked", "a route that asks for nothing", "allow", permissions=[])
add("permission-empty", "an empty set grants nothing", "permission", "J5", request=ask("read"), permissions=[])
add("permission-star", "* grants everything", "allow", "J5", request=ask("delete AND a:b:c"), permissions=["*"])
add("permission-substring", "read_write is not read", "permission", "J6", request=ask("read"), permissions=["read_write"])
add("permission-case", "READ is not read", "permission", "J6", request=ask("read"), permissions=["READ"])
add("permission-verb", "to read is not to write", "permission", "J7", request=ask("write"), permissions=["read"])
add("permission-scope-type", "the template's name grants nothing", "permission", "J3", request=ask("delete"), scope_type="admin", permissions=["read"])

# Limits.
LIMIT = {"rate_limit": made.limit(2, 1_000)}
add("limit-first", "what is left of the limit is reported", "allow", **LIMIT)
add("limit-last", "the last one of the burst", "allow", admitted_at=[NOW], **LIMIT)
add("limit-spent", "one more, and when it would pass", "rate_limit", admitted_at=[NOW, NOW], **LIMIT)
add("limit-early", "a millisecond early", "rate_limit", admitted_at=[NOW - 499, NOW - 499], **LIMIT)
add("limit-on-time", "on time is admitted", "allow", admitted_at=[NOW - 500, NOW - 500], **LIMIT)
add("limit-zero", "a limit of 0 denies all, and no waiting helps", "rate_limit", "I8", rate_limit=made.limit(0, 1_000))
add("limit-none", "no limit, no quota", "allow", admitted_at=[])
add("limit-and-uses", "both are spent by one request", "allow", remaining=5, **LIMIT)
add("uses-many", "uses are counted down", "allow", remaining=2**53)
add("uses-last", "the last use", "allow", "I12", remaining=1)
add("uses-spent", "none is left", "uses_spent", "I12", remaining=0)
add("uses-not-counted", "none is not no limit: null is", "allow", remaining=None)
add("uses-of-usage", "the usage decides, the record's own number is from when it was read", "uses_spent", "I3", remaining=0, remaining_uses=5)
add("uses-of-usage-other", "in the other direction too", "allow", remaining=5, remaining_uses=0)
add("uses-spent-limit-kept", "if no uses are left, the limit is not spent", "uses_spent", "I5", remaining=0, **LIMIT)
add("limit-spent-uses-kept", "if the limit is spent, no use is counted", "rate_limit", "I5", admitted_at=[NOW, NOW], remaining=1, **LIMIT)
add("limit-shared", "a successor finds the limit as its predecessor left it", "rate_limit", key=OTHER, label="second", lineage=FIRST, admitted_at=[NOW, NOW], **LIMIT)

# Two faults at once: the first in the order of the checks is reported, and nothing is spent.
FAULTS = [
    ("revoked", {"status": made.revoked()}, {}),
    ("suspended", {"status": made.SUSPENDED}, {}),
    ("expired", {"expires_at": NOW}, {}),
    ("replaced", {"replaced_by": SECOND, "overlap_until": NOW}, {}),
    ("environment", {}, {"environment": "test"}),
    ("network", {"allowed_networks": ["192.0.2.0/24"]}, {"address": "198.51.100.1"}),
    ("path_not_canonical", {}, {"method": "GET", "path": "/a/../b"}),
    ("endpoint", {"allowed_endpoints": ["/api/*"]}, {"method": "GET", "path": "/admin"}),
    ("permission", {}, {"requires": "admin"}),
    ("rate_limit", {"rate_limit": made.limit(1, 1_000), "admitted_at": [NOW]}, {}),
    ("uses_spent", {"remaining": 0}, {}),
]
for (one, fields, asked), (two, more_fields, more_asked) in itertools.combinations(FAULTS, 2):
    if fields.keys() & more_fields.keys() == {"status"} or (asked.keys() & more_asked.keys()):
        continue  # A key has one status, a request one path.
    spending = {"rate_limit": made.limit(5, 1_000), "remaining": 7}
    first, second = one.replace("_", "-"), two.replace("_", "-")
    add(f"order-{first}-{second}", f"{first} is asked before {second}", one, None,
        request={**asked, **more_asked}, **{**spending, **fields, **more_fields})
EVERY = {key: value for _, fields, _ in FAULTS[2:] for key, value in fields.items()}
add("order-everything", "everything is wrong at once: revoked comes first", "revoked", None,
    request=ask("admin", ("GET", "/a/../b"), "198.51.100.1", "test"), **EVERY, status=made.revoked())
add("order-everything-but-secret", "and the secret before that", "wrong_secret", "C8", key=forged, record_of=KEY,
    request=ask("admin", ("GET", "/a/../b"), "198.51.100.1", "test"), **EVERY, status=made.revoked())


# Responses.
for cause in answering.STATUSES:
    for policy in ("rfc9110", "express"):
        decision = deciding.deny(cause)
        name = f"response-{cause.replace('_', '-')}-{policy}"
        attack = "C8" if decision["code"] == "invalid_key" else None
        of_cause = {
            "pepper_unavailable": "503 for a key that cannot be checked, and no guess",
            "record_damaged": "500 for a row that cannot be read: to try again is of no use",
        }
        why = of_cause[cause] if cause in of_cause else {
            "rfc9110": "401 for a key that is not valid, 403 for one that may not",
            "express": "403 for an unknown or ended key",
        }[policy]
        RESPONSES.add(name, why, answering.respond(decision, policy), attack, policy=policy, fields="6", rules=None, cause=cause, scene=None)


def respond(short, why, outcome, policy="rfc9110", attack=None, fields="6", **parts):
    given = scene(**parts)
    decision, limit = deciding.decide(given), given["record"] and given["record"]["rate_limit"]
    claim(short, outcome, decision.get("cause", "allow"))
    if outcome == "allow":
        headers = answering.allowed_headers(decision, limit, given["now"], fields)
        expected = {"status": None, "headers": headers, "code": None, "missing": []}
    else:
        expected = answering.respond(decision, policy, limit, fields, given["now"])
    RESPONSES.add(f"response-scene-{short}", why, expected, attack, policy=policy, fields=fields, rules=None, cause=None, scene=given)


def challenge(short, why, challenge, cause="missing_credential", defaults=False, headers=(), schemes=(), basic=False):
    """The response of a service that reads keys from these sources."""
    rules = {"defaults": defaults, "headers": list(headers), "schemes": list(schemes), "basic": basic, "formats": None}
    expected = answering.respond(deciding.deny(cause), "rfc9110", rules=rules)
    claim(short, challenge, expected["headers"].get("www-authenticate"))
    RESPONSES.add(f"response-challenge-{short}", why, expected, policy="rfc9110", fields="6", rules=rules, cause=cause, scene=None)


respond("allowed", "an allowed request without a limit adds nothing", "allow")
respond("allowed-limit", "what is left of the limit", "allow", **LIMIT)
respond("allowed-limit-last", "0 is left, and no less", "allow", attack="I14", admitted_at=[NOW], **LIMIT)
respond("allowed-hour", "a limit of an hour", "allow", rate_limit=made.limit(100, made.HOUR))
respond("allowed-odd", "seconds are rounded up", "allow", rate_limit=made.limit(3, 2_500))
respond("allowed-short-window", "a window below a second is one second to a header", "allow", rate_limit=made.limit(1, 10))
respond("notice", "a key that is being replaced: Deprecation and Sunset", "allow", overlap_until=NOW + 3 * DAY, **REPLACED)
respond("notice-and-limit", "both at once", "allow", overlap_until=NOW + 1, **REPLACED, **LIMIT)
for label, until, why in [
    ("leap-day", 1_835_440_496_000, "the 29th of February 2028"),
    ("year-end", 1_798_761_599_999, "the last millisecond of a year; milliseconds are cut off"),
    ("year-begin", 1_798_761_600_000, "the first of a year"),
    ("common-century", 4_107_542_399_000, "2100 is no leap year: the day after is the first of March"),
    ("march-of-century", 4_107_542_400_000, "the first of March 2100"),
    ("leap-century", 13_574_563_200_000, "2400 is a leap year: the 29th of February"),
    ("last-second", 253_402_300_799_000, "the last second of the year 9999"),
]:
    respond(f"sunset-{label}", why, "allow", expires_at=None, overlap_until=until, **REPLACED)
for fields in ("7", "8", "x"):
    respond(f"fields-{fields}", "another form of the same", "allow", fields=fields, rate_limit=made.limit(3, 2_500), admitted_at=[NOW])
    respond(f"fields-{fields}-short-window", "a window below a second counts as one", "allow", fields=fields, rate_limit=made.limit(1, 10))
    respond(f"fields-{fields}-limited", "a refusal has them too", "rate_limit", fields=fields, rate_limit=made.limit(1, 1_001), admitted_at=[NOW])
    respond(f"fields-{fields}-never", "a limit of 0", "rate_limit", fields=fields, attack="I8", rate_limit=made.limit(0, 60_000))
    respond(f"fields-{fields}-none", "without a limit there is nothing to say", "allow", fields=fields)
respond("fields-express", "the policy of statuses changes no field", "rate_limit", "express", fields="8", rate_limit=made.limit(1, 1_001), admitted_at=[NOW])
respond("missing", "what is missing is named", "permission", request=ask("read AND delete AND invoices:void"))
respond("missing-one", "also if it is one", "permission", request=ask("delete"))
respond("missing-express", "under either policy", "permission", "express", request=ask("delete OR admin"))
respond("limited", "Retry-After in seconds, rounded up", "rate_limit", admitted_at=[NOW, NOW], **LIMIT)
respond("limited-express", "under either policy", "rate_limit", "express", admitted_at=[NOW, NOW], **LIMIT)
respond("limited-hour", "36 s for the next one, an hour for all", "rate_limit", rate_limit=made.limit(100, made.HOUR), admitted_at=[NOW] * 100)
respond("limited-odd", "a part of a second is a second", "rate_limit", rate_limit=made.limit(1, 1_001), admitted_at=[NOW])
respond("limited-almost", "a millisecond is a second", "rate_limit", rate_limit=made.limit(1, 1_000), admitted_at=[NOW - 999])
respond("limited-never", "a limit of 0 has no time after which to come back", "rate_limit", attack="I8", rate_limit=made.limit(0, 60_000))
respond("uses-spent", "spent uses do not come back: no Retry-After", "uses_spent", remaining=0)
respond("uses-spent-limit", "nor does the limit speak, which has room", "uses_spent", remaining=0, **LIMIT)
respond("wrong-secret", "the same response for a wrong secret", "wrong_secret", attack="C8", key=forged, record_of=KEY)
respond("unknown", "and for an unknown id", "unknown_key", attack="C8", found=False)
respond("malformed", "and for a typo", "malformed", attack="C8", key="acme_live_x", record_of=KEY)

BASIC, INVALID = 'Basic realm="API key"', 'Bearer error="invalid_token"'
challenge("defaults", "what is read by default", "Bearer", defaults=True)
challenge("defaults-invalid", "RFC 6750, section 3: an error code if a credential was sent", INVALID, "malformed", defaults=True)
challenge("header", "a header alone: no client is told to send its key in Authorization", 'ApiKey header="X-Acme-Key"', headers=["X-Acme-Key"])
challenge("header-invalid", "the same for a key that is not valid", 'ApiKey header="X-Acme-Key"', "revoked", headers=["X-Acme-Key"])
challenge("headers", "each header that is read", 'ApiKey header="X-API-Key", ApiKey header="X-Acme-Key"', headers=["X-API-Key", "X-Acme-Key"])
challenge("scheme", "another scheme instead of Bearer", "Token", schemes=["Token"])
challenge("scheme-invalid", "only Bearer has an error code", "Token", "unknown_key", schemes=["Token"])
challenge("schemes", "each scheme that is read, and not the header beside them", "Bearer, Api-Key", defaults=True, headers=["X-Acme-Key"], schemes=["Api-Key"])
challenge("basic", "RFC 7617, section 2: a realm", BASIC, basic=True)
challenge("basic-too", "beside the default ones", f"{INVALID}, {BASIC}", "expired", defaults=True, basic=True)
challenge("nothing", "if nothing is read there is nothing to name", "Bearer")
challenge("forbidden", "a response that is no 401 has none", None, "network", headers=["X-Acme-Key"])
