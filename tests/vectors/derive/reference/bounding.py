"""Whether one grant lies within another, by trying out all that it could stand for."""

import itertools
from fractions import Fraction

from reference import granting, living, netting, routing

LIFETIME_MS = 90 * 86_400_000
PRESETS = {
    "monitoring": (["read"], 100, "/api/metrics/*"),
    "integration": (["read", "write"], 1_000, "/api/data/*"),
    "admin": (["read", "write", "delete", "admin"], 5_000, "/*"),
}


def preset(name):
    permissions, an_hour, rule = PRESETS[name]
    return {
        "name": name,
        "permissions": permissions,
        "rate_limit": {"limit": an_hour, "window_ms": 3_600_000, "burst": an_hour},
        "allowed_endpoints": [rule],
    }


def samples(wide, narrow, stranger):
    """Concrete texts as lists of segments: own words and a stranger, a little longer."""
    words = sorted({word for word in wide + narrow if word != "*"} | {stranger})
    longest = max(len(wide), len(narrow)) + 2
    return itertools.chain.from_iterable(
        itertools.product(words, repeat=count) for count in range(1, min(longest, 6) + 1)
    )


def permission_within(narrow, wide):
    narrow, wide = narrow.split(":"), wide.split(":")
    tried = [list(sample) for sample in samples(wide, narrow, "stranger")]
    return all(granting.matches(wide, text) for text in tried if granting.matches(narrow, text))


def permissions_within(narrow, wide):
    return all(any(permission_within(own, held) for held in wide) for own in narrow)


def rule_within(narrow, wide):
    own_methods, own = routing.split(narrow)
    held_methods, held = routing.split(wide)
    if held_methods is not None and (own_methods is None or not set(own_methods) <= set(held_methods)):
        return False
    own, held = own[1:].split("/"), held[1:].split("/")
    for sample in samples(held, own, "stranger"):
        for path in (list(sample), [*sample, ""], [""]):
            if "" not in path[:-1] and routing.matches(own, path) and not routing.matches(held, path):
                return False
    return True


def rules_within(narrow, wide):
    return all(any(rule_within(own, held) for held in wide) for own in narrow)


def networks_within(narrow, wide):
    narrow, wide = [netting.network(n) for n in narrow], [netting.network(n) for n in wide]
    return all(any(own.version == held.version and own.subnet_of(held) for held in wide) for own in narrow)


def limit_within(narrow, wide):
    if narrow["limit"] == 0:
        return True
    rate = [Fraction(limit["limit"], limit["window_ms"]) for limit in (narrow, wide)]
    return narrow["burst"] <= wide["burst"] and rate[0] <= rate[1]


class Refused(Exception):
    """The kind of error is the argument."""


def issue(ask, now):
    """The rights of a new key, or `Refused`."""
    template = ask.get("template")
    if isinstance(template, str):
        template = preset(template)
    if template is not None:
        held = template["allowed_endpoints"], template["rate_limit"]
        if (
            not permissions_within(ask.get("permissions", []), template["permissions"])
            or ("endpoints" in ask and held[0] is not None and not rules_within(ask["endpoints"], held[0]))
            or ("rate_limit" in ask and held[1] is not None and not limit_within(ask["rate_limit"], held[1]))
        ):
            raise Refused("exceeds")
    expires_at = None if ask.get("never_expires") else now + ask.get("expires_in_ms", LIFETIME_MS)
    if expires_at is not None and expires_at > living.YEAR_9999_END:
        raise Refused("time")
    template = template or {"name": None, "permissions": [], "rate_limit": None, "allowed_endpoints": None}
    return {
        "owner": ask.get("owner"),
        "environment": ask.get("environment"),
        "permissions": ask.get("permissions", template["permissions"]),
        "allowed_endpoints": ask.get("endpoints", template["allowed_endpoints"]),
        "allowed_networks": ask.get("networks"),
        "rate_limit": ask.get("rate_limit", template["rate_limit"]),
        "remaining_uses": ask.get("uses"),
        "scope_type": template["name"],
        "expires_at": expires_at,
    }


def delegate(source, ask, now):
    """The rights of a key that is derived from `source`, or `Refused`."""
    if not living.is_live(source, now):
        raise Refused("state")
    for field in ("owner", "environment"):
        # Owner and environment are the source's, even if it has none.
        if field in ask and ask[field] != source[field]:
            raise Refused("exceeds")
    derived, end = issue(ask, now), living.ends_at(source)
    derived.update(owner=source["owner"], environment=source["environment"])
    for field in ("allowed_endpoints", "allowed_networks", "rate_limit", "remaining_uses"):
        if derived[field] is None:
            derived[field] = source[field]
    lifetime_said = "expires_in_ms" in ask or ask.get("never_expires")
    if end is not None and not lifetime_said:
        derived["expires_at"] = min(derived["expires_at"], end)
    if not is_within(derived, source, end):
        raise Refused("exceeds")
    return derived


def is_within(derived, source, end):
    within = {
        "allowed_endpoints": rules_within,
        "allowed_networks": networks_within,
        "rate_limit": limit_within,
        "remaining_uses": lambda own, held: own <= held,
    }
    if not permissions_within(derived["permissions"], source["permissions"]):
        return False
    if end is not None and (derived["expires_at"] is None or derived["expires_at"] > end):
        return False
    return all(
        source[field] is None or (derived[field] is not None and test(derived[field], source[field]))
        for field, test in within.items()
    )
