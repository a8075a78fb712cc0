"""Records as JSON texts: what is understood whole, and what is refused."""

import json

import made
from reference import recording
from topic import Topic, claim

RECORDS = Topic(
    "records.json",
    "Texts that may be a record: read whole or refused. One that is read is written again with the same fields and values.",
)
TOPICS = [RECORDS]
KEY = made.key()
BASE = made.record(
    KEY,
    allowed_endpoints=["GET /api/*"],
    allowed_networks=["192.0.2.0/24"],
    rate_limit=made.limit(10, 60_000),
    remaining_uses=5,
    scope_type="integration",
    metadata='{"team":"a"}',
    owner="tenant",
    client_email="a@example.com",
    last_used_at=made.NOW - 1,
)


def add_text(short, why, text, accepted, attack=None):
    name = f"record-{short}"
    claim(name, accepted, recording.is_record(text))
    RECORDS.add(name, why, {"accepted": accepted}, attack, json=text)


def add(short, why, accepted, attack=None, without=(), extra=(), **fields):
    record = {**BASE, **fields, **dict(extra)}
    for field in without:
        del record[field]
    add_text(short, why, json.dumps(record), accepted, attack)


TEXT = json.dumps(BASE)
add("full", "every field has a value", True, "J11")
add("least", "what may be absent is null", True, None, client_email=None, owner=None, environment=None, permissions=[], allowed_endpoints=None,
    allowed_networks=None, rate_limit=None, remaining_uses=None, scope_type=None, metadata=None, last_used_at=None, expires_at=None)
add("nothing-allowed", "an empty list of rules is kept apart from none", True, "J11", allowed_endpoints=[], allowed_networks=[])
add("suspended", "a suspended key", True, None, status=made.SUSPENDED)
add("revoked", "a revoked key, with instant and reason", True, None, status=made.revoked())
add("replaced", "a replaced key, with its end", True, None, replaced_by=made.key_id("second"), overlap_until=made.NOW)
add("successor", "a successor whose first use ends an overlap", True, None, ends_at_first_use=made.key_id("zeroth"), lineage=made.key_id("zeroth"))
add("peppered", "a digest under a pepper", True, None, digest="hmac-sha256:3:" + "ab" * 32)
add("name-unicode", "a name in any script", True, None, client_name="\u00c5kerstr\u00f6m \u682a\u5f0f\u4f1a\u793e")
add("name-longest", "255 bytes, the longest", True, None, client_name="a" * 255)
add("zero-uses", "no uses left is not the same as not counted", True, "J11", remaining_uses=0)
add("largest-version", "the largest version that a store can hold", True, None, version=2**63 - 1)
add("version-zero", "versions count from 1", False, None, version=0)
add("version-too-large", "no store could hold it", False, None, version=2**63)
add("version-of-64-bits", "it has no next version", False, None, version=2**64 - 1)
add("limit-with-burst", "the burst is kept", True, "J11", rate_limit=made.limit(10, 60_000, 3))
add("metadata-longest", "16 KiB, the longest", True, None, metadata="x" * 16_384)
add("metadata-not-json", "metadata is not looked into", True, None, metadata="not {json")
add_text("white-space", "white space between fields means nothing", json.dumps(BASE, indent=1), True)
add_text("escapes", "a character may be escaped", TEXT.replace('"read"', '"\\u0072ead"'), True, "J12")
add_text("reversed", "the order of fields means nothing", json.dumps(dict(reversed(BASE.items()))), True)

add("unknown-field", "a restriction that is not understood is no record", False, "J11", extra={"allowed_hours": "9-17"})
add("unknown-field-null", "even if it is null", False, "J11", extra={"allowed_hours": None})
add("key-text", "a record has no field for the key", False, "D9", extra={"key": KEY})
add("camel-case", "a field of another spelling is unknown", False, "J4", without=["allowed_endpoints"], extra={"allowedEndpoints": ["/x"]})
for field in ("id", "digest", "key_prefix", "client_name", "permissions", "created_at", "status", "lineage", "version"):
    add(f"without-{field.replace('_', '-')}", "a field that every record has", False, "J11", without=[field])
    add(f"null-{field.replace('_', '-')}", "null is no value of it", False, "J12", extra={field: None})
for field in recording.FIELDS:
    if field not in ("id", "digest", "key_prefix", "client_name", "permissions", "created_at", "status", "lineage", "version"):
        add(f"without-{field.replace('_', '-')}", "null is explicit: a missing field may be a restriction that was lost", False, "J11", without=[field])
for field, twice in [("permissions", '["*"]'), ("status", '{"state":"active"}'), ("expires_at", "null"), ("allowed_endpoints", "null")]:
    add_text(f"twice-{field.replace('_', '-')}", "a field twice: one reader takes the first, one the last", TEXT[:-1] + f', "{field}": {twice}}}', False, "J12")
add("permissions-text", "one text is no list", False, "J12", permissions="admin")
add("permissions-object", "an object is no list", False, "J12", permissions={"admin": True})
add("permissions-nested", "a list of lists", False, "J12", permissions=[["admin"]])
add("permissions-number", "a number is no permission", False, "J12", permissions=[1])
add("permissions-partial-star", "each is checked", False, "J12", permissions=["inv*"])
add("permissions-many", "65 of them, one more than the most", False, "J12", permissions=[f"p{n}" for n in range(65)])
add("endpoints-text", "one text is no list", False, "J12", allowed_endpoints="/*")
add("endpoints-illegal", "each is checked", False, "J12", allowed_endpoints=["/api/**"])
add("networks-illegal", "each is checked", False, "J12", allowed_networks=["any"])
add("environment-illegal", "an environment is a short name", False, "J12", environment="Live")
add("environment-empty", "an empty one would mean none, and none is null", False, "J12", environment="")
add("scope-type-illegal", "a template's name is one", False, "J12", scope_type="Admin!")
add("id-illegal", "an id is sixteen characters", False, "J12", id="1' OR 1=1")
add("id-number", "an id is text", False, "J12", id=1)
add("digest-illegal", "a digest names how it was made", False, "D3", digest="md5:00")
add("digest-is-key", "the key in the column of its digest", False, "D9", digest=KEY)
add("digest-empty", "an empty digest", False, "D3", digest="")
add("time-seconds", "an instant in seconds", False, "H3", expires_at=1_790_000_000)
add("time-zero", "0 is an unset field, not 1970, and not never", False, "H6", expires_at=0)
add("time-negative", "an instant before 1970", False, "H5", expires_at=-1)
add("time-text", "an instant is a number", False, "H2", expires_at="2026-09-21T00:00:00Z")
add("time-fraction", "in whole milliseconds", False, "H2", expires_at=1_790_000_000_000.5)
add("time-year-10000", "an instant past the year 9999", False, "H11", expires_at=253_402_300_800_000)
add("created-zero", "a key was made at some time", False, "H3", created_at=0)
add("version-negative", "a version counts up from 0", False, "J12", version=-1)
add("version-text", "a version is a number", False, "J12", version="1")
add("version-large", "a number of 65 bits", False, "H11", version=2**64)
add("uses-negative", "fewer uses than none", False, "I8", remaining_uses=-1)
add("uses-infinite", "a word is no number", False, "I8", remaining_uses="unlimited")
add("limit-number", "a limit has a window", False, "J12", rate_limit=100)
add("limit-no-burst", "a limit has a burst", False, "J11", rate_limit={"limit": 10, "window_ms": 1_000})
add("limit-no-window", "a window of no time", False, "I8", rate_limit=made.limit(10, 0))
add("limit-negative", "fewer requests than none", False, "I8", rate_limit=made.limit(-1, 1_000))
add("limit-unknown-field", "a part of a limit that is not understood", False, "J11", rate_limit={**made.limit(10, 1_000), "per": "ip"})
add("limit-large", "more than 32 bits", False, "I8", rate_limit=made.limit(2**32, 1_000))
add("status-text", "a status has its story", False, "J12", status="active")
add("status-unknown", "a status that is not understood", False, "J11", status={"state": "paused"})
add("status-upper-case", "spelled otherwise", False, "J12", status={"state": "Active"})
add("status-empty", "a status without a state", False, "J12", status={})
add("status-extra", "an active key has no reason", False, "J12", status={"state": "active", "reason": "x"})
add("status-no-instant", "a revocation has an instant", False, "K10", status={"state": "revoked", "reason": "x"})
add("status-no-reason", "and a reason, be it empty", False, "K10", status={"state": "revoked", "at": made.NOW})
add("status-long-reason", "256 bytes of reason", False, None, status=made.revoked(reason="a" * 256))
add("status-reason-lines", "a reason of two lines would forge a line of a log", False, "F6", status=made.revoked(reason="x\nadmin logged in"))
add("name-empty", "a client has a name", False, None, client_name="")
add("name-long", "256 bytes of name", False, None, client_name="a" * 256)
add("name-long-in-bytes", "bytes are counted, not characters", False, None, client_name="\u00e9" * 128)
add("name-lines", "a name of two lines would forge a line of a log", False, "F6", client_name="x\nadmin")
add("name-escape", "a name that would write to a terminal", False, "F6", client_name="x\u001b[2J")
add("name-c1", "controls beyond ASCII too", False, "F6", client_name="x\u009b2J")
add("email-lines", "an address of two lines would be two headers", False, "F6", client_email="a@example.com\nBcc: b@example.com")
add("owner-nul", "a C string would end here", False, "F6", owner="tenant\u0000other")
add("metadata-long", "16 KiB and one byte", False, None, metadata="x" * 16_385)
add("metadata-object", "metadata is JSON text, not JSON", False, "J12", metadata={"team": "a"})
add("prefix-long", "more of a key than may be shown", False, "F4", key_prefix=KEY[:41])
add("own-successor", "a key cannot take its own place", False, "K5", replaced_by=made.key_id("first"), overlap_until=made.NOW)
add("own-predecessor", "nor end its own overlap", False, "K5", ends_at_first_use=made.key_id("first"))
add("replaced-no-end", "a replaced key without an end would live on", False, "K1", replaced_by=made.key_id("second"))
add("end-not-replaced", "an overlap without a successor", False, "K1", overlap_until=made.NOW)
add_text("empty", "no text is no record", "", False, "D3")
add_text("null", "null is no record", "null", False, "D3")
add_text("list", "a list of records is not a record", f"[{TEXT}, {TEXT}]", False, "J12")
add_text("number", "a number is no record", "1", False, "D3")
add_text("cut-off", "a damaged row", TEXT[:-20], False, "D3")
add_text("trailing", "something after the record", TEXT + "x", False, "D3")
add_text("two", "two records in a row", TEXT + TEXT, False, "J12")
add_text("comment", "JSON has no comments", "/* */" + TEXT, False, "J12")
add_text("trailing-comma", "nor commas at the end", TEXT[:-1] + ",}", False, "J12")
add_text("single-quotes", "nor single quotes", TEXT.replace('"', "'"), False, "J12")
add_text("not-a-number", "nor words for numbers", TEXT.replace('"version": 1', '"version": NaN'), False, "J12")
add_text("leading-zero", "nor leading zeros", TEXT.replace('"version": 1', '"version": 01'), False, "J12")
add_text("exponent", "a whole number has no exponent", TEXT.replace('"version": 1', '"version": 1e0'), False, "J12")
add_text("deep", "depth that would overflow a careless stack", "[" * 5_000, False, "J12")
