"""Explanations: the scenes of decisions, and each check with what it compared."""

import made
from reference import deciding, explaining
from topic import Topic, claim
from topics.decisions import DAY, KEY, NOW, OPAQUE, P1, P2, P3, SECOND, ask, scene

EXPLAIN = Topic(
    "explain.json",
    "A scene as in decisions.json, and its explanation as JSON: the decision, and each check in order with what it compared. "
    "The key's text is not needed: with the right one, the decision is the same.",
)
TOPICS = [EXPLAIN]


def add(short, why, refused_by, attack=None, **parts):
    """`refused_by` is "allow" or the name of the first check that refuses."""
    name = f"explain-{short}"
    given = scene(**parts)
    explained = explaining.explain(given)
    claim(name, refused_by, explained["refused_by"] or "allow")
    # The explanation and the decision are two implementations even here.
    claim(name, deciding.decide(given).get("code"), explained["code"])
    EXPLAIN.add(name, why, explained, attack, **given)


GET = ("GET", "/api/data/7")
RULES = ["GET,HEAD /api/data/*", "/api/*/7", "POST /api/data/*"]

add("plain", "a request that asks for nothing, and a key without restrictions", "allow")
add("everything", "every check has something to compare, and passes", "allow", request=ask("read AND write", GET, "192.0.2.7", "live"),
    allowed_endpoints=RULES, allowed_networks=["192.0.2.0/24"], rate_limit=made.limit(10, 1_000), remaining=3)
add("opaque", "an opaque key has a record like any other", "allow", key=OPAQUE, formats=[made.OPAQUE], environment=None)
add("everything-fails", "the first check that refuses decides, and the others are listed too", "status",
    request=ask("delete", ("PUT", "/admin"), "203.0.113.1", "test"), status=made.revoked(), expires_at=NOW, replaced_by=SECOND,
    overlap_until=NOW, allowed_endpoints=RULES, allowed_networks=["192.0.2.0/24"], rate_limit=made.limit(0, 1_000), remaining=0)

add("pepper-known", "the version of the pepper is no secret, the digest is", "allow", "D7", peppers=[P1])
add("pepper-retired", "a retired pepper is known", "allow", "D7", peppers=[P2, P1], digest_peppers=[P1])
add("pepper-staged", "a pepper that is not yet current is known", "allow", "D7", peppers=[None, P1], digest_peppers=[P1])
add("pepper-missing", "the digest cannot be verified: that is no state of the key", "secret", "D7", peppers=[P3, P2], digest_peppers=[P1])
add("pepper-none", "no pepper is known", "secret", "D7", peppers=[], digest_peppers=[P1])
add("pepper-missing-revoked", "a missing pepper comes before the status", "secret", "C8", peppers=[P2], digest_peppers=[P1], status=made.revoked())

add("suspended", "a suspended key", "status", status=made.SUSPENDED)
add("revoked", "a revoked key, with the instant and the reason", "status", "K10", status=made.revoked())
add("revoked-and-expired", "the status comes before the expiry", "status", status=made.revoked(), expires_at=NOW - DAY)

add("never-expires", "a key without an end", "allow", "H7", expires_at=None)
add("expiry-before", "valid while now is before the expiry, to the millisecond", "allow", "H1", expires_at=NOW + 1)
add("expiry-at", "refused at the instant itself", "expiry", "H1", expires_at=NOW)
add("expiry-millis", "instants are spelled to the millisecond", "expiry", expires_at=NOW - 7)
add("expiry-leap", "an expiry on a leap day", "expiry", expires_at=1_709_164_800_000, created_at=1_709_000_000_000)
add("expiry-last", "the last instant of all", "allow", now=253_402_300_799_998, expires_at=253_402_300_799_999)

add("overlap-before", "a replaced key in its overlap", "allow", replaced_by=SECOND, overlap_until=NOW + 1)
add("overlap-at", "the overlap is over at its end", "overlap", "H1", replaced_by=SECOND, overlap_until=NOW)

add("environment-same", "the environment of the request is the key's", "allow", request=ask(environment="live"))
add("environment-other", "another environment", "environment", request=ask(environment="test"))
add("environment-none", "a key without an environment", "environment", request=ask(environment="test"),
    key=made.key(environment=None), environment=None)

add("network-any", "a key that may be used from any address", "allow", request=ask(address="203.0.113.9"))
add("network-within", "an address in the second block", "allow", request=ask(address="192.0.2.9"), allowed_networks=["198.51.100.7", "192.0.2.0/24"])
add("network-mapped", "an IPv4 address that is mapped to IPv6 is shown as IPv4", "allow", request=ask(address="::ffff:192.0.2.9"), allowed_networks=["192.0.2.0/24"])
add("network-outside", "an address in none of the blocks", "network", request=ask(address="2001:db8:1::1"), allowed_networks=["192.0.2.0/24", "2001:db8:2::/48"])
add("network-unknown", "the address of the client is not known", "network", allowed_networks=["192.0.2.0/24"])
add("network-none", "an empty list allows no address", "network", request=ask(address="192.0.2.9"), allowed_networks=[])

add("endpoint-any", "a key without rules", "allow", request=ask(endpoint=GET))
add("endpoint-first", "the first rule that matches is named", "allow", request=ask(endpoint=GET), allowed_endpoints=RULES)
add("endpoint-second", "the second rule matches", "allow", request=ask(endpoint=("PUT", "/api/x/7")), allowed_endpoints=RULES)
add("endpoint-method", "the path fits, and the method does not", "endpoint", request=ask(endpoint=("PUT", "/api/data/8")), allowed_endpoints=RULES)
add("endpoint-path", "the method fits, and the path does not", "endpoint", request=ask(endpoint=("GET", "/api/database")), allowed_endpoints=RULES)
add("endpoint-no-path", "the request has no path", "endpoint", allowed_endpoints=RULES)
add("endpoint-none", "an empty list of rules allows no endpoint", "endpoint", request=ask(endpoint=GET), allowed_endpoints=[])
add("endpoint-not-canonical", "a path that is not canonical is named as it was sent", "endpoint", request=ask(endpoint=("GET", "/api/data/../7")))
add("endpoint-not-canonical-first", "the path comes before the rules", "endpoint", request=ask(endpoint=("GET", "/api//data")), allowed_endpoints=["/x"])
add("endpoint-bytes", "bytes that a terminal would interpret are escaped", "endpoint",
    request={**ask(endpoint=("GET", "")), "path_hex": b"/a\x1b[2J\"'\\\t\r\n\xff".hex()})
add("endpoint-long", "a long path is cut", "allow", request=ask(endpoint=("GET", "/" + "a" * 300)))
add("endpoint-key", "a key in the path is not shown", "allow", request=ask(endpoint=("GET", f"/api/{KEY}")))
add("endpoint-key-far", "nor half of one where a long path is cut", "allow", request=ask(endpoint=("GET", "/" + "a" * 160 + f"/{KEY}")))

add("permission-none-asked", "the request needs no permission", "allow", permissions=["read", "a:*"])
add("permission-none-held", "a key without permissions", "permission", request=ask("read"), permissions=[])
add("permission-missing", "what is missing is named", "permission", request=ask("read AND (delete OR admin)"))
add("permission-met", "a wildcard grants it", "allow", request=ask("a:b:c"), permissions=["read", "a:*"])

add("limit-unused", "a limit of which nothing is spent", "allow", rate_limit=made.limit(100, 3_600_000))
add("limit-left", "what is left now, before the request", "allow", rate_limit=made.limit(3, 60_000), admitted_at=[NOW - 5, NOW - 1])
add("limit-burst", "a burst of its own", "allow", rate_limit=made.limit(100, 86_400_000, 7), admitted_at=[NOW])
add("limit-spent", "nothing is left, and the next is some time away", "rate_limit", rate_limit=made.limit(1, 90_000), admitted_at=[NOW - 500])
add("limit-spent-minutes", "a wait in minutes is rounded up", "rate_limit", rate_limit=made.limit(1, 3_600_000), admitted_at=[NOW - 1])
add("limit-spent-hours", "a wait in hours is rounded up", "rate_limit", rate_limit=made.limit(1, 86_400_000), admitted_at=[NOW - 1])
add("limit-zero", "a limit of 0 lets nothing pass, ever", "rate_limit", rate_limit=made.limit(0, 1_500))
add("limit-odd", "a window that is no whole number of seconds", "allow", rate_limit=made.limit(3, 1_500))

add("uses-left", "several uses", "allow", remaining=12)
add("uses-last", "the last use", "allow", remaining=1)
add("uses-spent", "no use is left", "uses", remaining=0)
add("limit-and-uses-spent", "the limit comes before the uses", "rate_limit", rate_limit=made.limit(0, 1_000), remaining=0)
