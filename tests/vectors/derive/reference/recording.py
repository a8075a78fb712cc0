"""Records as JSON, read strictly: what is not understood is refused, never dropped."""

import json

from reference import digesting, granting, limiting, living, netting, routing, spelling

INSTANT_MIN = 100_000_000_000


class Twice(Exception):
    pass


def once(pairs):
    if len(dict(pairs)) != len(pairs):
        raise Twice
    return dict(pairs)


def is_number(value, most):
    return type(value) is int and 0 <= value <= most


def is_instant(value):
    return is_number(value, living.YEAR_9999_END) and value >= INSTANT_MIN


def is_text(value, most, least=0):
    # Controls: C0, DEL and C1. They would let a name forge lines of a log.
    fits = isinstance(value, str) and least <= len(value.encode("utf-8")) <= most
    return fits and not any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in value)


# What is not seen, or changes the direction of what is.
INVISIBLE = (
    (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5),
    (0x180B, 0x180F), (0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164),
    (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFFB), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A),
    (0xE0000, 0xE0FFF),
)


def is_seen_text(value, most, least=0):
    """A text that someone sets; a record that has another one already is still read."""
    hidden = any(first <= ord(c) <= last for c in value for first, last in INVISIBLE)
    return is_text(value, most, least) and not hidden


def is_list(value, test):
    return isinstance(value, list) and all(isinstance(item, str) for item in value) and test(value)


def is_label(kind):
    return lambda value: isinstance(value, str) and spelling.is_label(kind, value)


def is_limit(value):
    return (
        isinstance(value, dict)
        and value.keys() == {"limit", "window_ms", "burst"}
        and is_number(value["limit"], 2**32 - 1)
        and is_number(value["window_ms"], 2**64 - 1)
        and is_number(value["burst"], 2**32 - 1)
        and limiting.is_limit(value)
    )


def is_status(value):
    if value in ({"state": "active"}, {"state": "suspended"}):
        return True
    return (
        isinstance(value, dict)
        and value.keys() == {"state", "at", "reason"}
        and value["state"] == "revoked"
        and is_instant(value["at"])
        and is_text(value["reason"], 255)
    )


def optional(test):
    return lambda value: value is None or test(value)


FIELDS = {
    "id": is_label("key_id"),
    "digest": lambda value: isinstance(value, str) and digesting.parse(value) is not None,
    "key_prefix": lambda value: is_text(value, 40),
    "client_name": lambda value: is_text(value, 255, 1),
    "client_email": optional(lambda value: is_text(value, 255)),
    "owner": optional(lambda value: is_text(value, 255)),
    "environment": optional(is_label("environment")),
    "permissions": lambda value: is_list(value, granting.is_set),
    "allowed_endpoints": optional(lambda value: is_list(value, routing.are_rules)),
    "allowed_networks": optional(lambda value: is_list(value, netting.are_networks)),
    "rate_limit": optional(is_limit),
    "remaining_uses": optional(lambda value: is_number(value, 2**64 - 1)),
    "scope_type": optional(is_label("template_name")),
    "metadata": optional(lambda value: isinstance(value, str) and len(value.encode("utf-8")) <= 16 * 1_024),
    "created_at": is_instant,
    "last_used_at": optional(is_instant),
    "expires_at": optional(is_instant),
    "status": is_status,
    "lineage": is_label("key_id"),
    "replaced_by": optional(is_label("key_id")),
    "overlap_until": optional(is_instant),
    "ends_at_first_use": optional(is_label("key_id")),
    "version": lambda value: is_number(value, 2**63 - 1) and value >= 1,
}


def is_record(text):
    try:
        record = json.loads(text, object_pairs_hook=once)
    except (json.JSONDecodeError, Twice):
        return False
    if not isinstance(record, dict) or record.keys() != FIELDS.keys():
        return False
    if not all(test(record[field]) for field, test in FIELDS.items()):
        return False
    own_successor = record["id"] in (record["replaced_by"], record["ends_at_first_use"])
    return not own_successor and (record["replaced_by"] is None) == (record["overlap_until"] is None)
