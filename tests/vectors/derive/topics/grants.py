"""Rights of new keys: from a request, from a template, from another key."""

import made
from reference import bounding
from topic import Topic, claim

GRANTS = Topic(
    "grants.json",
    "The request for a new key, the record of the key that it derives from or null, and the time; and the rights that "
    "the new key gets, or the kind of error.",
)
TOPICS = [GRANTS]
T, DAY = made.NOW, made.DAY


def add(short, why, ask, outcome=None, attack=None, source=None, **wanted):
    """The outcome is a kind of error or None; `wanted` are some rights that the table states by hand."""
    name = f"grant-{short}"
    try:
        rights = bounding.issue(ask, T) if source is None else bounding.delegate(source, ask, T)
        expected = {"rights": rights, "error": None}
    except bounding.Refused as refused:
        rights, expected = {}, {"rights": None, "error": refused.args[0]}
    claim(name, outcome, expected["error"])
    for field, value in wanted.items():
        claim(f"{name}, {field}", value, rights[field])
    GRANTS.add(name, why, expected, attack, ask=ask, source=source, now=T)


def template(**fields):
    return {"name": "custom", "permissions": ["read"], "rate_limit": None, "allowed_endpoints": None, **fields}


# Without a template.
add("least", "what is left out is the least: no permissions, 90 days", {}, attack="J5", permissions=[], expires_at=T + 90 * DAY)
add("permissions", "what is asked for is granted", {"permissions": ["read", "invoices:*"]}, permissions=["read", "invoices:*"])
add("never", "a key without an end is asked for by a word of its own", {"never_expires": True}, attack="H6", expires_at=None)
add("shortest-life", "a millisecond", {"expires_in_ms": 1}, expires_at=T + 1)
add("no-endpoints", "an empty list of rules is not none", {"endpoints": []}, attack="J5", allowed_endpoints=[])
add("past-9999", "a lifetime past the year 9999 is an error, never none", {"expires_in_ms": 2**53}, "time", "H4")
add("everything", "every part at once", {
    "owner": "tenant", "environment": "live", "permissions": ["read"], "endpoints": ["GET /x"], "networks": ["192.0.2.0/24"],
    "rate_limit": made.limit(10, 1_000, 2), "uses": 3, "expires_in_ms": DAY,
}, remaining_uses=3)

# The article's templates.
add("monitoring", "read; 100 an hour; /api/metrics/*", {"template": "monitoring"}, permissions=["read"], scope_type="monitoring",
    rate_limit=made.limit(100, made.HOUR), allowed_endpoints=["/api/metrics/*"])
add("integration", "read, write; 1,000; /api/data/*", {"template": "integration"}, permissions=["read", "write"],
    rate_limit=made.limit(1_000, made.HOUR), allowed_endpoints=["/api/data/*"])
add("admin", "read, write, delete, admin; 5,000; /*", {"template": "admin"}, permissions=["read", "write", "delete", "admin"],
    rate_limit=made.limit(5_000, made.HOUR), allowed_endpoints=["/*"])
add("template-less", "less than a template", {"template": "integration", "permissions": ["read"]}, permissions=["read"])
add("template-none", "nothing at all is less", {"template": "integration", "permissions": []}, attack="J5", permissions=[])
add("template-more", "more permissions than it", {"template": "monitoring", "permissions": ["read", "write"]}, "exceeds", "J3")
add("template-star", "everything is more than any template", {"template": "admin", "permissions": ["*"]}, "exceeds", "J3")
add("template-narrower-path", "a path below its own", {"template": "monitoring", "endpoints": ["GET /api/metrics/cpu"]}, allowed_endpoints=["GET /api/metrics/cpu"])
add("template-wider-path", "a path above its own", {"template": "monitoring", "endpoints": ["/api/*"]}, "exceeds", "J2")
add("template-other-path", "a path beside its own", {"template": "monitoring", "endpoints": ["/api/metrics"]}, "exceeds", "A15")
add("template-slower", "a lower limit", {"template": "monitoring", "rate_limit": made.limit(50, made.HOUR)})
add("template-same-rate", "the same limit", {"template": "monitoring", "rate_limit": made.limit(100, made.HOUR)})
add("template-faster", "a higher limit", {"template": "monitoring", "rate_limit": made.limit(101, made.HOUR)}, "exceeds", "I8")
add("template-other-window", "the same rate in a longer window, with a larger burst", {"template": "monitoring", "rate_limit": made.limit(200, 2 * made.HOUR)}, "exceeds", "I7")
add("template-other-window-burst", "the same rate in a longer window, with the same burst", {"template": "monitoring", "rate_limit": made.limit(200, 2 * made.HOUR, 100)})
add("template-short-window", "a higher rate in a shorter window", {"template": "monitoring", "rate_limit": made.limit(2, 60_000)}, "exceeds", "I7")
add("template-zero", "a limit of 0 is within any", {"template": "monitoring", "rate_limit": made.limit(0, 1_000)}, attack="I8")
add("template-own", "a template of one's own", {"template": template()}, permissions=["read"], allowed_endpoints=None, rate_limit=None)
add("template-unlimited", "it sets no limit: any is less", {"template": template(), "rate_limit": made.limit(1_000_000, 1_000)})
add("template-unrestricted", "it sets no rules: any are less", {"template": template(), "endpoints": ["/*"]})
add("template-empty-rules", "it allows nowhere", {"template": template(allowed_endpoints=[]), "endpoints": ["/x"]}, "exceeds", "J5")
add("template-empty-permissions", "it grants nothing", {"template": template(permissions=[]), "permissions": ["read"]}, "exceeds", "J5")

# Derived from another key: P4.
SOURCE = made.record(
    made.key(),
    owner="tenant",
    permissions=["read", "invoices:*", "org:*:audit"],
    allowed_endpoints=["GET,HEAD /api/*", "/users/*/name"],
    allowed_networks=["192.0.2.0/24", "2001:db8::/32"],
    rate_limit=made.limit(100, made.HOUR),
    remaining_uses=10,
)
OPEN = made.record(made.key(), permissions=["*"], expires_at=None, environment=None)


def derive(short, why, ask, outcome=None, attack="J2", source=SOURCE, **wanted):
    add(f"derived-{short}", why, ask, outcome, attack, source=source, **wanted)


derive("nothing-asked", "restrictions are taken over, permissions are not", {}, permissions=[], allowed_endpoints=SOURCE["allowed_endpoints"],
       allowed_networks=SOURCE["allowed_networks"], rate_limit=SOURCE["rate_limit"], remaining_uses=10, owner="tenant", environment="live", expires_at=made.EXPIRES)
derive("same", "all that the source has", {"permissions": SOURCE["permissions"], "endpoints": SOURCE["allowed_endpoints"], "networks": SOURCE["allowed_networks"],
       "rate_limit": SOURCE["rate_limit"], "uses": 10, "owner": "tenant", "environment": "live"})
derive("permission-less", "one permission", {"permissions": ["invoices:read"]})
derive("permission-wildcard", "a wildcard within a wildcard", {"permissions": ["invoices:eu:*"]})
derive("permission-middle", "one segment for the star in the middle", {"permissions": ["org:7:audit"]})
derive("permission-other", "a permission that the source lacks", {"permissions": ["write"]}, "exceeds")
derive("permission-star", "everything is more than the source has", {"permissions": ["*"]}, "exceeds", "J3")
derive("permission-wider", "a wildcard instead of the source's word", {"permissions": ["read:*"]}, "exceeds", "J3")
derive("permission-parent", "the parent of what is granted", {"permissions": ["invoices"]}, "exceeds", "J6")
derive("permission-middle-rest", "the rest of the path instead of the source's one segment", {"permissions": ["org:*"]}, "exceeds", "J3")
derive("permission-middle-deep", "two segments instead of the source's one", {"permissions": ["org:7:8:audit"]}, "exceeds", "J3")
derive("endpoint-less", "a path below", {"endpoints": ["GET /api/data"]})
derive("endpoint-methods", "fewer methods", {"endpoints": ["HEAD /api/*"]})
derive("endpoint-more-methods", "more methods", {"endpoints": ["GET,POST /api/*"]}, "exceeds", "A31")
derive("endpoint-any-method", "any method is more than two", {"endpoints": ["/api/*"]}, "exceeds", "A31")
derive("endpoint-wider", "a path above", {"endpoints": ["GET /*"]}, "exceeds")
derive("endpoint-middle", "one segment for the star in the middle", {"endpoints": ["/users/7/name"]})
derive("endpoint-middle-same", "the same star", {"endpoints": ["POST /users/*/name"]})
derive("endpoint-middle-rest", "the rest of the path instead of the source's one segment", {"endpoints": ["/users/*"]}, "exceeds")
derive("endpoint-none", "nowhere is less", {"endpoints": []}, allowed_endpoints=[])
derive("endpoint-second-wider", "one rule of two goes beyond", {"endpoints": ["GET /api/x", "GET /admin"]}, "exceeds")
derive("network-less", "a smaller block", {"networks": ["192.0.2.128/25"]})
derive("network-mapped", "a smaller block, mapped to IPv6", {"networks": ["::ffff:192.0.2.0/121"]}, None, "I10")
derive("network-wider", "a larger block", {"networks": ["192.0.0.0/16"]}, "exceeds")
derive("network-other", "another block", {"networks": ["198.51.100.0/24"]}, "exceeds")
derive("network-all-v6", "all of IPv6 is more than a block of it", {"networks": ["::/0"]}, "exceeds")
derive("limit-less", "a lower limit", {"rate_limit": made.limit(10, made.HOUR)})
derive("limit-more", "a higher limit", {"rate_limit": made.limit(1_000, made.HOUR)}, "exceeds")
derive("limit-burst", "the same rate and a larger burst", {"rate_limit": made.limit(100, made.HOUR, 101)}, "exceeds", "I7")
derive("uses-less", "fewer uses than the source has", {"uses": 1}, remaining_uses=1)
derive("uses-more", "more uses than the source has", {"uses": 11}, "exceeds", "I12")
derive("life-less", "a shorter life", {"expires_in_ms": DAY}, expires_at=T + DAY)
derive("life-same", "to the same end", {"expires_in_ms": 80 * DAY}, expires_at=made.EXPIRES)
derive("life-more", "a millisecond more", {"expires_in_ms": 80 * DAY + 1}, "exceeds", "H8")
derive("life-for-ever", "no end, but the source has one", {"never_expires": True}, "exceeds", "H8")
derive("life-not-asked", "if no lifetime is requested, the source's end counts", {}, None, "H8", source={**SOURCE, "expires_at": T + 5}, expires_at=T + 5)
derive("life-not-asked-long", "or the usual one", {}, None, "H8", source={**SOURCE, "expires_at": T + 300 * DAY}, expires_at=T + 90 * DAY)
derive("life-of-overlap", "a source in its overlap ends with it", {}, None, "H8",
       source={**SOURCE, "replaced_by": made.key_id("second"), "overlap_until": T + DAY}, expires_at=T + DAY)
derive("life-past-overlap", "and nothing lives longer", {"expires_in_ms": 2 * DAY}, "exceeds", "H8",
       source={**SOURCE, "replaced_by": made.key_id("second"), "overlap_until": T + DAY})
derive("owner-same", "the owner is the source's", {"owner": "tenant"}, owner="tenant")
derive("owner-other", "another owner", {"owner": "other"}, "exceeds", "K8")
derive("owner-of-none", "an owner, but the source has none", {"owner": "other"}, "exceeds", "K8", source={**SOURCE, "owner": None})
derive("environment-same", "the environment is the source's", {"environment": "live"}, environment="live")
derive("environment-other", "another environment", {"environment": "test"}, "exceeds", "N4")
derive("environment-of-none", "an environment, but the source has none, and is refused in all", {"environment": "live"}, "exceeds", "N4",
       source={**SOURCE, "environment": None})
derive("template-within", "a template within the source", {"template": template(), "endpoints": ["GET /api/x"]}, permissions=["read"], scope_type="custom")
derive("template-beyond", "a template beyond it", {"template": "admin"}, "exceeds", "J3")
derive("revoked", "a revoked key derives none", {}, "state", "K9", source={**SOURCE, "status": made.revoked()})
derive("suspended", "nor does a suspended one", {}, "state", "K9", source={**SOURCE, "status": made.SUSPENDED})
derive("expired", "nor an expired one", {}, "state", "H8", source={**SOURCE, "expires_at": T})
derive("replaced", "nor one past its overlap", {}, "state", "K1", source={**SOURCE, "replaced_by": made.key_id("second"), "overlap_until": T})
derive("open-nothing-asked", "a source without restrictions has none to hand on", {}, None, "J5", source=OPEN, permissions=[], allowed_endpoints=None)
derive("open-everything", "what holds everything may hand on everything", {"permissions": ["*"], "never_expires": True}, source=OPEN, permissions=["*"], expires_at=None)
derive("open-restricted", "or hand on less than everything", {"permissions": ["read"], "endpoints": ["/x"], "networks": ["192.0.2.7"]}, source=OPEN)
derive("nowhere", "a source that is allowed nowhere hands on nowhere", {"permissions": ["read"]}, None, "J5", source={**SOURCE, "allowed_endpoints": []}, allowed_endpoints=[])
derive("nowhere-somewhere", "and nothing else", {"endpoints": ["GET /api/x"]}, "exceeds", "J5", source={**SOURCE, "allowed_endpoints": []})
derive("nothing-left", "a source without uses hands on none", {}, None, "I12", source={**SOURCE, "remaining_uses": 0}, remaining_uses=0)
