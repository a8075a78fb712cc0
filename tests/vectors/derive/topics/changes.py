"""Changes of a key: each field set, cleared and left, what the event names, and refusals."""

import changed_records
import made
from reference import changing
from topic import Topic, claim

CHANGE = Topic(
    "change.json",
    "A record, what is to be changed of it, and the time; and the changed record with its event, or the kind of error.",
)
TOPICS = [CHANGE]
T, DAY, HOUR = made.NOW, made.DAY, made.HOUR
LAST = 253_402_300_799_999

# Nothing optional is set.
BARE = made.record(made.key(), permissions=["read"])
# Everything optional is set.
FULL = made.record(
    made.key(),
    client_email="ops@acme.example",
    owner="tenant-1",
    permissions=["read", "invoices:*"],
    allowed_endpoints=["GET,HEAD /api/*", "/users/*/name"],
    allowed_networks=["192.0.2.0/24", "2001:db8::/32"],
    rate_limit=made.limit(100, HOUR),
    remaining_uses=10,
    metadata='{"plan": "basic"}',
    last_used_at=T - DAY,
    version=7,
)
TEMPLATED = made.record(
    made.key(),
    permissions=["read", "write"],
    allowed_endpoints=["/api/data/*"],
    rate_limit=made.limit(1_000, HOUR),
    scope_type="integration",
)


def add(short, why, ask, outcome, attack=None, record=FULL, now=T, whole=None):
    """The outcome is a kind of error, or each field of the event with its values before and after, by hand.

    So is `whole`, the record as it is written, for a few cases."""
    name = f"change-{short}"
    try:
        after, changes = changing.change(record, ask, now)
        event = {"kind": "changed", "key_id": record["id"], "at": now, "version": after["version"], "changes": changes}
        expected = {"record": after, "event": event, "error": None}
        claim(name, outcome, [(one["field"], one["from"], one["to"]) for one in changes])
        if whole is not None:
            claim(name, whole, after)
    except changing.Refused as refused:
        expected = {"record": None, "event": None, "error": refused.args[0]}
        claim(name, outcome, refused.args[0])
    CHANGE.add(name, why, expected, attack, record=record, change=ask, now=now)


def rate(limit):
    return f"{limit['limit']} in {limit['window_ms']} ms, burst {limit['burst']}"


SLOW, FAST = made.limit(10, 60_000), made.limit(5_000, HOUR, 50)
END = str(made.EXPIRES)

# Each field that may be unset: by name, its field in the record, another value, both as the event shows them.
OPTIONAL = [
    ("email", "client_email", "client_email", "new@acme.example", None, None),
    ("owner", "owner", "owner", "tenant-2", "tenant-1", "tenant-2"),
    ("endpoints", "endpoints", "allowed_endpoints", ["POST /x"], "GET,HEAD /api/*, /users/*/name", "POST /x"),
    ("networks", "networks", "allowed_networks", ["198.51.100.0/24"], "192.0.2.0/24, 2001:db8::/32", "198.51.100.0/24"),
    ("rate-limit", "rate_limit", "rate_limit", FAST, rate(made.limit(100, HOUR)), rate(FAST)),
    ("uses", "uses", "remaining_uses", 500, "10", "500"),
    ("metadata", "metadata", "metadata", '{"plan": "pro"}', None, None),
]
for short, asked, field, value, before, after in OPTIONAL:
    add(f"{short}-replaced", "a value instead of another", {asked: value}, [(field, before, after)])
    add(f"{short}-set", "a value instead of none", {asked: value}, [(field, None, after)], record=BARE)
    add(f"{short}-cleared", "none instead of a value", {asked: None}, [(field, before, None)], "J5")
    add(f"{short}-cleared-twice", "none instead of none changes nothing", {asked: None}, "state", record=BARE)
    add(f"{short}-same", "the value that it has changes nothing", {asked: FULL[field]}, "state")
    add(f"{short}-beside", "what does not change is not named beside what does", {asked: FULL[field], "client_name": "New"},
        [("client_name", "Acme Ltd", "New")])
add("name", "the client's name", {"client_name": "New"}, [("client_name", "Acme Ltd", "New")])
add("name-same", "the name that it has changes nothing", {"client_name": "Acme Ltd"}, "state")
add("nothing", "a change of nothing is refused", {}, "state")
add("nothing-bare", "also of a key without optional fields", {}, "state", record=BARE)

# The permissions.
add("permissions", "all permissions, whatever it had", {"permissions": ["write"]}, [("permissions", "read, invoices:*", "write")])
add("permissions-none", "an empty list grants nothing", {"permissions": []}, [("permissions", "read, invoices:*", "")], "J5")
add("permissions-from-none", "instead of none", {"permissions": ["read"]}, [("permissions", "", "read")], record={**BARE, "permissions": []})
add("permissions-everything", "everything, if that is asked for", {"permissions": ["*"]}, [("permissions", "read, invoices:*", "*")])
add("permissions-order", "the order is part of a record", {"permissions": ["invoices:*", "read"]}, [("permissions", "read, invoices:*", "invoices:*, read")])
add("permissions-twice", "the same one twice is one", {"permissions": ["read", "invoices:*", "read"]}, "state")
add("permissions-same", "those that it has", {"permissions": ["read", "invoices:*"]}, "state")
add("permissions-added", "one more, at the end", {"add_permissions": ["write"]}, [("permissions", "read, invoices:*", "read, invoices:*, write")])
add("permissions-added-known", "one that it has already changes nothing", {"add_permissions": ["read"]}, "state")
add("permissions-added-both", "one that it has, and another", {"add_permissions": ["read", "write"]}, [("permissions", "read, invoices:*", "read, invoices:*, write")])
add("permissions-added-covered", "a part of a wildcard that it has is a permission of its own", {"add_permissions": ["invoices:read"]},
    [("permissions", "read, invoices:*", "read, invoices:*, invoices:read")])
add("permissions-added-none", "an empty list adds nothing", {"add_permissions": []}, "state", "J5")
add("permissions-removed", "one of its own", {"remove_permissions": ["read"]}, [("permissions", "read, invoices:*", "invoices:*")])
add("permissions-removed-wildcard", "a wildcard, as it was granted", {"remove_permissions": ["invoices:*"]}, [("permissions", "read, invoices:*", "read")])
add("permissions-removed-all", "all of its own", {"remove_permissions": ["read", "invoices:*"]}, [("permissions", "read, invoices:*", "")], "J5")
add("permissions-removed-none", "an empty list removes nothing", {"remove_permissions": []}, "state", "J5")
add("permissions-removed-part", "a part of a wildcard cannot be taken out of it", {"remove_permissions": ["invoices:read"]}, "state", "J8")
add("permissions-removed-unknown", "one that it does not have", {"remove_permissions": ["write"]}, "state")
add("permissions-removed-one-unknown", "one of two that it does not have", {"remove_permissions": ["read", "write"]}, "state")
add("permissions-removed-star", "everything, which it does not have", {"remove_permissions": ["*"]}, "state", "J3")
add("permissions-removed-granted", "one that another of its own still grants", {"remove_permissions": ["read"]}, "state", "J8",
    record={**BARE, "permissions": ["read", "*"]})
add("permissions-removed-granted-deep", "one that a longer wildcard still grants", {"remove_permissions": ["org:7:audit"]}, "state", "J8",
    record={**BARE, "permissions": ["org:7:audit", "org:*:audit"]})
add("permissions-removed-with-its-cover", "together with the one that grants it", {"remove_permissions": ["read", "*"]},
    [("permissions", "read, *, write", "write")], record={**BARE, "permissions": ["read", "*", "write"]})
add("permissions-removed-narrower", "a wildcard of which a part stays", {"remove_permissions": ["invoices:*"], "add_permissions": ["invoices:read"]},
    [("permissions", "read, invoices:*", "read, invoices:read")])
add("permissions-both", "one more and one less", {"add_permissions": ["write"], "remove_permissions": ["read"]},
    [("permissions", "read, invoices:*", "invoices:*, write")])
add("permissions-both-same", "the same one added and removed is a contradiction", {"add_permissions": ["read"], "remove_permissions": ["read"]}, "state")
add("permissions-removed-added-wider", "removed, and granted again by a wildcard", {"add_permissions": ["*"], "remove_permissions": ["read"]}, "state", "J3")
add("permissions-set-and-added", "all of them, and one more", {"permissions": ["a"], "add_permissions": ["b"]}, [("permissions", "read, invoices:*", "a, b")])
add("permissions-set-and-removed", "one of those that are set", {"permissions": ["a", "b"], "remove_permissions": ["a"]}, [("permissions", "read, invoices:*", "b")])
add("permissions-set-and-removed-old", "one that is not among those that are set", {"permissions": ["a"], "remove_permissions": ["read"]}, "state")
add("permissions-case", "another spelling is another permission", {"remove_permissions": ["READ"]}, "state", "J6")
SIXTY_FOUR = [f"p{number}" for number in range(64)]
add("permissions-sixty-four", "as many as a key can have", {"permissions": SIXTY_FOUR}, [("permissions", "read", ", ".join(SIXTY_FOUR))], record=BARE)
add("permissions-sixty-five", "one more than a key can have", {"permissions": [*SIXTY_FOUR, "one-more"]}, "permission", record=BARE)
add("permissions-added-sixty-five", "one more than a key can have, added", {"add_permissions": ["one-more"]}, "permission", record={**BARE, "permissions": SIXTY_FOUR})
add("permissions-added-known-at-sixty-four", "one that it has already does not count twice", {"add_permissions": ["p0"]}, "state", record={**BARE, "permissions": SIXTY_FOUR})
add("permissions-added-all-at-sixty-four", "nor do all that it has", {"add_permissions": SIXTY_FOUR}, "state", record={**BARE, "permissions": SIXTY_FOUR})
add("permissions-added-known-and-sixty-fourth", "one that it has already, and the last that it can have", {"add_permissions": ["p0", "p63"]},
    [("permissions", ", ".join(SIXTY_FOUR[:63]), ", ".join(SIXTY_FOUR))], record={**BARE, "permissions": SIXTY_FOUR[:63]})
add("permissions-added-known-and-sixty-fifth", "one that it has already, and one more than it can have", {"add_permissions": ["p0", "one-more"]}, "permission",
    record={**BARE, "permissions": SIXTY_FOUR})
add("permissions-exchanged-at-sixty-four", "one for another", {"add_permissions": ["one-more"], "remove_permissions": ["p0"]},
    [("permissions", ", ".join(SIXTY_FOUR), ", ".join([*SIXTY_FOUR[1:], "one-more"]))], record={**BARE, "permissions": SIXTY_FOUR})

# Restrictions: an empty list allows nothing, which is not the same as none.
add("endpoints-nowhere", "an empty list of rules is not none", {"endpoints": []}, [("allowed_endpoints", None, "")], "J5", record=BARE)
add("endpoints-nowhere-cleared", "and can be cleared", {"endpoints": None}, [("allowed_endpoints", "", None)], "J5", record={**BARE, "allowed_endpoints": []})
add("endpoints-nowhere-twice", "set again it changes nothing", {"endpoints": []}, "state", record={**BARE, "allowed_endpoints": []})
add("endpoints-twice", "the same rule twice is one", {"endpoints": ["/x", "/x"]}, [("allowed_endpoints", None, "/x")], record=BARE)
add("networks-nowhere", "an empty list of networks is not none", {"networks": []}, [("allowed_networks", None, "")], "J5", record=BARE)
add("networks-nowhere-cleared", "and can be cleared", {"networks": None}, [("allowed_networks", "", None)], "J5", record={**BARE, "allowed_networks": []})
add("networks-address", "an address is a block of one", {"networks": ["192.0.2.7", "2001:db8::1"]}, [("allowed_networks", None, "192.0.2.7/32, 2001:db8::1/128")], record=BARE)
add("networks-mapped", "a block that is mapped to IPv6 is one of IPv4", {"networks": ["::ffff:192.0.2.0/120"]}, [("allowed_networks", None, "192.0.2.0/24")], "I10", record=BARE)
add("rate-limit-zero", "a limit of 0 refuses all, and is not none", {"rate_limit": made.limit(0, 1_000)}, [("rate_limit", None, "0 in 1000 ms, burst 0")], "I8", record=BARE)
add("rate-limit-window", "only another window", {"rate_limit": made.limit(100, 60_000)}, [("rate_limit", rate(made.limit(100, HOUR)), rate(made.limit(100, 60_000)))])
add("rate-limit-burst", "only another burst", {"rate_limit": made.limit(100, HOUR, 5)}, [("rate_limit", rate(made.limit(100, HOUR)), rate(made.limit(100, HOUR, 5)))], "I7")
add("uses-raised", "more uses than are left", {"uses": 11}, [("remaining_uses", "10", "11")], "I12")
add("uses-lowered", "fewer uses than are left", {"uses": 1}, [("remaining_uses", "10", "1")], "I12")
add("uses-spent-raised", "a key whose uses are spent can be used again", {"uses": 3}, [("remaining_uses", "0", "3")], record={**BARE, "remaining_uses": 0})
add("uses-spent-cleared", "or is not counted any more", {"uses": None}, [("remaining_uses", "0", None)], record={**BARE, "remaining_uses": 0})
add("uses-large", "the largest number of these files", {"uses": 2**53}, [("remaining_uses", None, str(2**53))], record=BARE)

# Texts.
add("owner-empty", "an empty text is not none", {"owner": ""}, [("owner", "tenant-1", "")])
add("owner-empty-cleared", "and can be cleared", {"owner": None}, [("owner", "", None)], record={**BARE, "owner": ""})
add("email-empty", "an empty address is not none", {"client_email": ""}, [("client_email", None, None)], record=BARE)
add("metadata-empty", "an empty text is not none", {"metadata": ""}, [("metadata", None, None)], record=BARE)
add("metadata-whole", "it is replaced, and not merged", {"metadata": '{"seats": 5}'}, [("metadata", None, None)])
add("metadata-lines", "metadata may have line breaks", {"metadata": '{\n  "a": 1\n}'}, [("metadata", None, None)])
add("metadata-longest", "16 KiB are allowed", {"metadata": "x" * 16_384}, [("metadata", None, None)], record=BARE)
add("name-longest", "255 bytes are allowed", {"client_name": "x" * 255}, [("client_name", "Acme Ltd", "x" * 255)], record=BARE)
add("name-unicode", "text in any script", {"client_name": "\u00c5cme \u2713"}, [("client_name", "Acme Ltd", "\u00c5cme \u2713")], record=BARE)
add("name-emoji", "a variation selector is part of an emoji", {"client_name": "Acme \u2764\ufe0f"}, [("client_name", "Acme Ltd", "Acme \u2764\ufe0f")], record=BARE)
add("name-right-to-left-letters", "letters that are read from the right", {"client_name": "\u05d0\u05d1"}, [("client_name", "Acme Ltd", "\u05d0\u05d1")], record=BARE)
add("name-comma", "a comma in a name is part of it", {"client_name": "Acme, Ltd"}, [("client_name", "Acme Ltd", "Acme, Ltd")], record=BARE)

# What no key can have.
for short, ask, kind in [
    ("name-empty", {"client_name": ""}, "record"),
    ("name-long", {"client_name": "x" * 256}, "record"),
    ("name-long-bytes", {"client_name": "\u00e9" * 128}, "record"),
    ("name-line", {"client_name": "a\nb"}, "record"),
    ("name-nul", {"client_name": "a\u0000b"}, "record"),
    ("name-right-to-left", {"client_name": "Acme \u202edtL"}, "record"),
    ("name-isolate", {"client_name": "Acme \u2066Ltd\u2069"}, "record"),
    ("name-mark", {"client_name": "Acme\u200f"}, "record"),
    ("name-zero-width-space", {"client_name": "Ac\u200bme"}, "record"),
    ("name-zero-width-joiner", {"client_name": "Ac\u200dme"}, "record"),
    ("name-byte-order-mark", {"client_name": "\ufeffAcme"}, "record"),
    ("name-soft-hyphen", {"client_name": "Ac\u00adme"}, "record"),
    ("name-filler", {"client_name": "\u3164"}, "record"),
    ("name-line-separator", {"client_name": "a\u2028b"}, "record"),
    ("name-tag", {"client_name": "Acme\U000e0041"}, "record"),
    ("email-invisible", {"client_email": "a\u200b@b"}, "record"),
    ("owner-invisible", {"owner": "acme\u2060"}, "record"),
    ("email-long", {"client_email": "x" * 256}, "record"),
    ("email-control", {"client_email": "a\u0007b"}, "record"),
    ("owner-long", {"owner": "x" * 256}, "record"),
    ("owner-control", {"owner": "a\u0085b"}, "record"),
    ("metadata-long", {"metadata": "x" * 16_385}, "record"),
    ("permissions-part-wildcard", {"permissions": ["inv*"]}, "permission"),
    ("permissions-empty-text", {"permissions": [""]}, "permission"),
    ("permissions-space", {"permissions": ["a b"]}, "permission"),
    ("permissions-long", {"permissions": ["x" * 129]}, "permission"),
    ("permissions-added-bad", {"add_permissions": ["a::b"]}, "permission"),
    ("permissions-removed-bad", {"remove_permissions": ["a::b"]}, "permission"),
    ("permissions-second-bad", {"permissions": ["read", "wr ite"]}, "permission"),
    ("endpoints-relative", {"endpoints": ["api/*"]}, "endpoint"),
    ("endpoints-methods", {"endpoints": ["get /api"]}, "endpoint"),
    ("endpoints-empty-text", {"endpoints": [""]}, "endpoint"),
    ("endpoints-many", {"endpoints": [f"/{number}" for number in range(65)]}, "endpoint"),
    ("networks-host-bits", {"networks": ["192.0.2.7/24"]}, "network"),
    ("networks-name", {"networks": ["localhost"]}, "network"),
    ("networks-zeros", {"networks": ["192.0.02.7"]}, "network"),
    ("networks-many", {"networks": [f"192.0.2.{number}" for number in range(65)]}, "network"),
    ("rate-limit-no-window", {"rate_limit": made.limit(10, 0)}, "limit"),
    ("rate-limit-no-burst", {"rate_limit": made.limit(10, 1_000, 0)}, "limit"),
    ("rate-limit-long-window", {"rate_limit": made.limit(10, 367 * DAY)}, "limit"),
    ("uses-zero", {"uses": 0}, "limit"),
    ("life-zero", {"expires_in_ms": 0}, "time"),
    ("life-past-9999", {"expires_in_ms": LAST - T + 1}, "time"),
    ("life-largest", {"expires_in_ms": 2**53}, "time"),
]:
    add(short, "refused as for a new key", ask, kind, {"time": "H5", "limit": "I8"}.get(kind))
    if short in ("name-empty", "permissions-part-wildcard", "endpoints-relative", "networks-name", "rate-limit-no-window", "uses-zero", "life-zero", "metadata-long"):
        add(f"{short}-with-more", "a good value beside it is not written either", {**ask, "owner": "tenant-2"}, kind)

# Of several values that no key can have, the first in this order counts, whatever the order of the request.
ILLEGAL = [
    ("permissions", ["inv*"], "permission"), ("add_permissions", ["a::b"], "permission"), ("remove_permissions", ["a b"], "permission"),
    ("endpoints", ["api"], "endpoint"), ("networks", ["localhost"], "network"), ("rate_limit", made.limit(1, 0), "limit"), ("client_name", "", "record"),
    ("client_email", "a\nb", "record"), ("owner", "a\nb", "record"), ("metadata", "x" * 16_385, "record"), ("uses", 0, "limit"), ("expires_in_ms", 0, "time"),
]
for (first, value, kind), (second, other, other_kind) in zip(ILLEGAL, ILLEGAL[1:]):
    if kind != other_kind:
        add(f"two-illegal-{first}-{second}".replace("_", "-"), "the first of two that no key can have", {second: other, first: value}, kind)
add("all-illegal", "the first of all", {name: value for name, value, _ in reversed(ILLEGAL)}, "permission")

# The end.
add("life", "from the change on", {"expires_in_ms": 30 * DAY}, [("expires_at", END, str(T + 30 * DAY))])
add("life-shorter", "a millisecond", {"expires_in_ms": 1}, [("expires_at", END, str(T + 1))])
add("life-longer", "years from now", {"expires_in_ms": 3_650 * DAY}, [("expires_at", END, str(T + 3_650 * DAY))])
add("life-same", "to the same end, which is sooner from now than it was at first: what its successor gets", {"expires_in_ms": made.EXPIRES - T},
    [("lifetime", "7776000000", "6912000000")])
add("life-never", "no end instead of one", {"never_expires": True}, [("expires_at", END, None)], "H6")
add("life-never-twice", "no end instead of none changes nothing", {"never_expires": True}, "state", "H6", record={**BARE, "expires_at": None})
add("life-not-never", "a word that is not said", {"never_expires": False}, "state", "H6")
add("life-from-never", "an end instead of none", {"expires_in_ms": DAY}, [("expires_at", None, str(T + DAY))], "H6", record={**BARE, "expires_at": None})
ENDLESS = {**BARE, "expires_at": None}
add("life-last", "the last instant of the year 9999", {"expires_in_ms": DAY}, [("expires_at", None, str(LAST))], "H4", record=ENDLESS, now=LAST - DAY)
add("life-after-last", "a millisecond after the year 9999", {"expires_in_ms": DAY + 1}, "time", "H4", record=ENDLESS, now=LAST - DAY)
add("life-of-ending", "a key in its last millisecond", {"expires_in_ms": DAY}, [("expires_at", str(T + 1), str(T + DAY))], "H1", record={**BARE, "expires_at": T + 1})
add("life-untouched", "another field does not touch the end", {"owner": "x"}, [("owner", None, "x")], "H4", record={**BARE, "expires_at": T + 1})

# Templates.
add("template", "permissions, limit and endpoints are the template's", {"template": "monitoring"}, [
    ("permissions", "read, invoices:*", "read"), ("allowed_endpoints", "GET,HEAD /api/*, /users/*/name", "/api/metrics/*"),
    ("scope_type", None, "monitoring")])
add("template-other", "another template", {"template": "admin"}, [
    ("permissions", "read, write", "read, write, delete, admin"), ("allowed_endpoints", "/api/data/*", "/*"),
    ("rate_limit", rate(made.limit(1_000, HOUR)), rate(made.limit(5_000, HOUR))), ("scope_type", "integration", "admin")], record=TEMPLATED)
add("template-same", "the template that it has changes nothing", {"template": "integration"}, "state", record=TEMPLATED)
add("template-again", "rights that were narrowed are the template's again", {"template": "integration"}, [("permissions", "read", "read, write")],
    record={**TEMPLATED, "permissions": ["read"]})
add("template-cleared", "only the name is cleared, the rights stay", {"template": None}, [("scope_type", "integration", None)], record=TEMPLATED)
add("template-cleared-twice", "none instead of none changes nothing", {"template": None}, "state")
add("template-cleared-more", "without the name it may be given more", {"template": None, "permissions": ["*"]},
    [("permissions", "read, write", "*"), ("scope_type", "integration", None)], record=TEMPLATED)
add("template-narrowed", "less than the template", {"template": "admin", "permissions": ["read"], "rate_limit": SLOW},
    [("permissions", "read, write", "read"), ("allowed_endpoints", "/api/data/*", "/*"), ("rate_limit", rate(made.limit(1_000, HOUR)), rate(SLOW)),
     ("scope_type", "integration", "admin")], record=TEMPLATED)
add("template-narrowed-removed", "one of the template's taken away", {"template": "admin", "remove_permissions": ["admin"]},
    [("permissions", "read, write", "read, write, delete"), ("allowed_endpoints", "/api/data/*", "/*"),
     ("rate_limit", rate(made.limit(1_000, HOUR)), rate(made.limit(5_000, HOUR))), ("scope_type", "integration", "admin")], record=TEMPLATED)
OWN = {"name": "custom", "permissions": ["a:*"], "rate_limit": None, "allowed_endpoints": None}
add("template-own", "a custom template, which restricts neither", {"template": OWN},
    [("permissions", "read, write", "a:*"), ("allowed_endpoints", "/api/data/*", None), ("rate_limit", rate(made.limit(1_000, HOUR)), None),
     ("scope_type", "integration", "custom")], record=TEMPLATED)
add("template-own-restricted", "restricted in the same change", {"template": OWN, "endpoints": ["/x"], "rate_limit": SLOW},
    [("permissions", "read, write", "a:*"), ("allowed_endpoints", "/api/data/*", "/x"), ("rate_limit", rate(made.limit(1_000, HOUR)), rate(SLOW)),
     ("scope_type", "integration", "custom")], record=TEMPLATED)
for short, why, ask in [
    ("permission", "more permissions than the template", {"permissions": ["read", "delete"]}),
    ("star", "everything is more than the template", {"permissions": ["*"]}),
    ("added", "a permission added that the template lacks", {"add_permissions": ["delete"]}),
    ("endpoint", "a path above the template's", {"endpoints": ["/api/*"]}),
    ("any-endpoint", "any endpoint is more than the template's", {"endpoints": None}),
    ("limit", "a higher limit than the template's", {"rate_limit": made.limit(1_001, HOUR)}),
    ("burst", "a larger burst than the template's", {"rate_limit": made.limit(1_000, HOUR, 1_001)}),
    ("no-limit", "no limit is more than the template's", {"rate_limit": None}),
]:
    add(f"template-exceeded-{short}", why, ask, "exceeds", "J3", record=TEMPLATED)
    add(f"template-set-exceeded-{short}", f"{why}, in the change that sets it", {"template": "integration", **ask}, "exceeds", "J3")
add("template-name-kept-less", "less than before needs no template", {"remove_permissions": ["write"]}, [("permissions", "read, write", "read")], record=TEMPLATED)
add("template-name-kept-lost", "what was given up does not come back", {"add_permissions": ["write"]}, "exceeds", "J9", record={**TEMPLATED, "permissions": ["read"]})
add("template-name-kept-life", "a template says nothing of the end", {"never_expires": True}, [("expires_at", END, None)], record=TEMPLATED)
add("template-name-kept-uses", "it says nothing of uses", {"uses": 3}, [("remaining_uses", None, "3")], record=TEMPLATED)
add("template-name-kept-networks", "it says nothing of networks", {"networks": None}, [("allowed_networks", "192.0.2.0/24", None)],
    record={**TEMPLATED, "allowed_networks": ["192.0.2.0/24"]})
add("template-limit-zero", "a limit of 0 is within any", {"rate_limit": made.limit(0, 1_000)}, [("rate_limit", rate(made.limit(1_000, HOUR)), "0 in 1000 ms, burst 0")],
    "I8", record=TEMPLATED)

# The state of the key.
ASKS = [
    ("name", {"client_name": "New"}), ("email", {"client_email": None}), ("owner", {"owner": None}), ("permissions", {"permissions": []}),
    ("endpoints", {"endpoints": []}), ("networks", {"networks": []}), ("rate-limit", {"rate_limit": SLOW}), ("uses", {"uses": 1}),
    ("life", {"expires_in_ms": DAY}), ("never", {"never_expires": True}), ("template", {"template": "monitoring"}), ("metadata", {"metadata": None}),
]
REPLACED = {"replaced_by": made.key_id("second"), "overlap_until": T + DAY}
for state, why, fields, attack in [
    ("revoked", "a revoked key is not changed", {"status": made.revoked()}, "K10"),
    ("expired", "nor is an expired one, not even to a later end", {"expires_at": T}, "H2"),
    ("replaced", "nor is a replaced one, during its overlap too", REPLACED, "K5"),
]:
    for short, ask in ASKS:
        add(f"{state}-{short}", why, ask, "state", attack, record={**FULL, **fields})
# What each of these changes, by hand: the same as of an active key.
OF_SUSPENDED = {
    "name": [("client_name", "Acme Ltd", "New")],
    "email": [("client_email", None, None)],
    "owner": [("owner", "tenant-1", None)],
    "permissions": [("permissions", "read, invoices:*", "")],
    "endpoints": [("allowed_endpoints", "GET,HEAD /api/*, /users/*/name", "")],
    "networks": [("allowed_networks", "192.0.2.0/24, 2001:db8::/32", "")],
    "rate-limit": [("rate_limit", "100 in 3600000 ms, burst 100", "10 in 60000 ms, burst 10")],
    "uses": [("remaining_uses", "10", "1")],
    "life": [("expires_at", END, str(T + DAY))],
    "never": [("expires_at", END, None)],
    "template": [("permissions", "read, invoices:*", "read"), ("allowed_endpoints", "GET,HEAD /api/*, /users/*/name", "/api/metrics/*"), ("scope_type", None, "monitoring")],
    "metadata": [("metadata", None, None)],
}
for short, ask in ASKS:
    add(f"suspended-{short}", "a suspended key is changed, and stays suspended", ask, OF_SUSPENDED[short], record={**FULL, "status": made.SUSPENDED},
        whole={"template": changed_records.SUSPENDED_WITH_TEMPLATE, "life": changed_records.SUSPENDED_WITH_ANOTHER_END}.get(short))
add("expired-long-ago", "an end in the past", {"never_expires": True}, "state", "H7", record={**BARE, "expires_at": T - 300 * DAY})
add("expired-suspended", "a suspended key that has expired", {"never_expires": True}, "state", "H2", record={**BARE, "status": made.SUSPENDED, "expires_at": T})
add("revoked-never-expires", "a revoked key without an end", {"expires_in_ms": DAY}, "state", "H7", record={**BARE, "status": made.revoked(), "expires_at": None})
add("replaced-over", "a replaced key after its overlap", {"client_name": "New"}, "state", "K1", record={**BARE, **REPLACED, "overlap_until": T})
add("ended-nothing", "a change of nothing of a revoked key", {}, "state", record={**BARE, "status": made.revoked()})
add("ended-bad", "a value that no key can have is refused first", {"uses": 0}, "limit", record={**BARE, "status": made.revoked()})
add("successor", "a successor, whose first use will end its predecessor's overlap", {"client_name": "New"}, [("client_name", "Acme Ltd", "New")], "K1",
    record={**BARE, "lineage": made.key_id("second"), "ends_at_first_use": made.key_id("second")})

# Several at once, in the order of a record and not of the request.
add("several", "each that differs, in the order of a record", {"expires_in_ms": DAY, "uses": None, "metadata": "{}", "client_name": "New", "rate_limit": None},
    [("client_name", "Acme Ltd", "New"), ("rate_limit", rate(made.limit(100, HOUR)), None), ("remaining_uses", "10", None), ("metadata", None, None),
     ("expires_at", END, str(T + DAY))])
add("everything-set", "every field of a bare key", {
    "client_name": "New", "client_email": "a@b.example", "owner": "o", "permissions": ["write"], "endpoints": ["/x"], "networks": ["192.0.2.7/32"],
    "rate_limit": SLOW, "uses": 5, "metadata": "{}", "never_expires": True,
}, [("client_name", "Acme Ltd", "New"), ("client_email", None, None), ("owner", None, "o"), ("permissions", "read", "write"), ("allowed_endpoints", None, "/x"),
    ("allowed_networks", None, "192.0.2.7/32"), ("rate_limit", None, rate(SLOW)), ("remaining_uses", None, "5"), ("metadata", None, None), ("expires_at", END, None)],
    record=BARE, whole=changed_records.EVERYTHING_SET)
add("everything-cleared", "every field that may be unset", {
    "client_email": None, "owner": None, "permissions": [], "endpoints": None, "networks": None, "rate_limit": None, "uses": None, "metadata": None,
    "never_expires": True, "template": None,
}, [("client_email", None, None), ("owner", "tenant-1", None), ("permissions", "read, invoices:*", ""), ("allowed_endpoints", "GET,HEAD /api/*, /users/*/name", None),
    ("allowed_networks", "192.0.2.0/24, 2001:db8::/32", None), ("rate_limit", rate(made.limit(100, HOUR)), None), ("remaining_uses", "10", None),
    ("metadata", None, None), ("expires_at", END, None)], whole=changed_records.EVERYTHING_CLEARED)
add("one-of-two-same", "of two fields one has its value already", {"owner": "tenant-1", "uses": 9}, [("remaining_uses", "10", "9")])
add("personal-both", "of e-mail and metadata only that they changed", {"client_email": "b@c.example", "metadata": None}, [("client_email", None, None), ("metadata", None, None)])
add("version-high", "the version goes up by one", {"owner": None}, [("owner", "tenant-1", None)], record={**FULL, "version": 2**52})
