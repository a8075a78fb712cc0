"""Changing a key: what is written, what the event names, and what is refused."""

from reference import bounding, granting, limiting, living, netting, recording, routing
from reference.bounding import Refused

# In the order of a record. Of the first two only that they changed: they can be personal data.
PERSONAL = ("client_email", "metadata")
FIELDS = (
    "client_name",
    "client_email",
    "owner",
    "permissions",
    "allowed_endpoints",
    "allowed_networks",
    "rate_limit",
    "remaining_uses",
    "scope_type",
    "metadata",
    "expires_at",
)
PERMISSION_LISTS = ("permissions", "add_permissions", "remove_permissions")


def check(ask):
    """Each value for itself, as for a new key; null clears, and needs no check."""
    # In this order, whatever the order of the request.
    tests = {
        **{name: ("permission", granting.is_set) for name in PERMISSION_LISTS},
        "endpoints": ("endpoint", routing.are_rules),
        "networks": ("network", netting.are_networks),
        "rate_limit": ("limit", limiting.is_limit),
        "client_name": ("record", lambda text: recording.is_seen_text(text, 255, 1)),
        "client_email": ("record", lambda text: recording.is_seen_text(text, 255)),
        "owner": ("record", lambda text: recording.is_seen_text(text, 255)),
        "metadata": ("record", lambda text: len(text.encode("utf-8")) <= 16 * 1_024),
        "uses": ("limit", lambda count: 1 <= count < 2**63),
        "expires_in_ms": ("time", lambda span: span > 0),
    }
    for name, (kind, is_legal) in tests.items():
        if ask.get(name) is not None and not is_legal(ask[name]):
            raise Refused(kind)


def once(texts):
    return list(dict.fromkeys(texts))


def permissions(held, ask):
    held = once(ask.get("permissions", held))
    removed = ask.get("remove_permissions", [])
    if any(one not in held for one in removed):
        raise Refused("state")
    left = once([one for one in held if one not in removed] + ask.get("add_permissions", []))
    if len(left) > granting.PERMISSIONS_MAX:
        raise Refused("permission")
    # What is removed must not be granted by anything that stays or comes.
    if any(bounding.permissions_within([one], left) for one in removed):
        raise Refused("state")
    return left


def change(record, ask, now):
    """The changed record and the fields of the event, or `Refused`."""
    check(ask)
    end = living.ends_at(record)
    has_ended = end is not None and end <= now
    if record["status"]["state"] == "revoked" or record["replaced_by"] is not None or has_ended:
        raise Refused("state")
    after = dict(record)
    for name in ("client_name", "client_email", "owner", "metadata"):
        if name in ask:
            after[name] = ask[name]
    template = ask.get("template")
    if isinstance(template, str):
        template = bounding.preset(template)
    if template is not None:
        after["scope_type"] = template["name"]
        for name in ("permissions", "allowed_endpoints", "rate_limit"):
            after[name] = template[name]
    elif "template" in ask:
        after["scope_type"] = None
    after["permissions"] = permissions(after["permissions"], ask)
    if "endpoints" in ask:
        after["allowed_endpoints"] = None if ask["endpoints"] is None else once(ask["endpoints"])
    if "networks" in ask:
        blocks = ask["networks"]
        after["allowed_networks"] = None if blocks is None else [str(netting.network(one)) for one in blocks]
    if "rate_limit" in ask:
        after["rate_limit"] = ask["rate_limit"]
    if "uses" in ask:
        after["remaining_uses"] = ask["uses"]
    if ask.get("never_expires"):
        after["expires_at"] = None
        after.pop("lifetime_ms", None)
    elif "expires_in_ms" in ask:
        after["expires_at"] = now + ask["expires_in_ms"]
        if after["expires_at"] > living.YEAR_9999_END:
            raise Refused("time")
        after["lifetime_ms"] = ask["expires_in_ms"]
    # P4: of the template that a key was issued from only the name is known, so the key itself
    # is the limit, unless the template is set or cleared in the same change.
    held = template
    if "template" not in ask and record["scope_type"] is not None:
        held = record
    if held is not None and not is_within(after, held):
        raise Refused("exceeds")
    changes = [field_change(name, record, after) for name in FIELDS if record[name] != after[name]]
    # Another end is another length of life too, and says so itself.
    if record["expires_at"] == after["expires_at"] and given(record) != given(after):
        changes.append({"field": "lifetime", "from": str(given(record)), "to": str(given(after))})
    if not changes:
        raise Refused("state")
    after["version"] = record["version"] + 1
    return after, changes


def given(record):
    """The length of life that a key was given, which its successor gets."""
    if record["expires_at"] is None:
        return None
    return record.get("lifetime_ms", record["expires_at"] - record["created_at"])


def is_within(own, held):
    return bounding.permissions_within(own["permissions"], held["permissions"]) and all(
        held[name] is None or (own[name] is not None and test(own[name], held[name]))
        for name, test in (("allowed_endpoints", bounding.rules_within), ("rate_limit", bounding.limit_within))
    )


def field_change(name, before, after):
    return {"field": name, "from": shown(name, before[name]), "to": shown(name, after[name])}


def shown(name, value):
    """The value as text; none if it is not set, or personal."""
    if value is None or name in PERSONAL:
        return None
    if name == "rate_limit":
        return f"{value['limit']} in {value['window_ms']} ms, burst {value['burst']}"
    return ", ".join(value) if isinstance(value, list) else str(value)
