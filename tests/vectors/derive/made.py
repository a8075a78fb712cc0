"""What the vectors are made of: instants, keys and records, all from fixed bytes."""

import hashlib

from reference import digesting, spelling

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
NOW = 1_790_000_000_000
CREATED = NOW - 10 * DAY
EXPIRES = NOW + 80 * DAY


def stream(label):
    """Endless bytes: SHA-256 of the label and a counter, block by block."""
    counter = 0
    while True:
        yield from hashlib.sha256(f"keystile vectors {label} {counter}".encode()).digest()
        counter += 1


def base62(label, count):
    """Characters as the specification draws them, from the label's stream."""
    drawn = (spelling.ALPHABET[byte % 62] for byte in stream(label) if byte < 248)
    return "".join(next(drawn) for _ in range(count))


def hexadecimal(label, count):
    source = stream(label)
    return bytes(next(source) for _ in range(count)).hex()


def secret_hex(label, count=32):
    """A pepper or a checksum key."""
    return hexadecimal(f"secret {label}", count)


def key_id(label):
    return "1" + base62(f"id {label}", 15)


def covered(prefix="acme", environment="live", label="first"):
    """A structured key up to its check."""
    head = prefix if environment is None else f"{prefix}_{environment}"
    return f"{head}_{key_id(label)}_{base62(f'secret {label}', 43)}"


def seal(text, checksum_key_hex=None):
    """The text followed by its check."""
    return text + spelling.check(text.encode("utf-8"), checksum_key_hex)


def key(prefix="acme", environment="live", label="first", checksum_key_hex=None):
    return seal(covered(prefix, environment, label), checksum_key_hex)


def opaque(prefix="dt", label="first", count=32):
    return f"{prefix}_{hexadecimal(f'opaque {label}', count)}"


STRUCTURED = {"kind": "structured", "prefix": "acme"}
OPAQUE = {"kind": "opaque", "prefix": "dt"}


def limit(count, window_ms, burst=None):
    return {"limit": count, "window_ms": window_ms, "burst": count if burst is None else burst}


ACTIVE = {"state": "active"}
SUSPENDED = {"state": "suspended"}


def revoked(at=NOW - DAY, reason="left in a log"):
    return {"state": "revoked", "at": at, "reason": reason}


def record(text, label="first", peppers=(), **fields):
    """The record of a key, with every field said."""
    own = key_id(label)
    made = {
        "id": own,
        "digest": digesting.digest(text.encode("utf-8"), list(peppers)),
        "key_prefix": text[: text.index(own) + 4] if own in text else text[:10],
        "client_name": "Acme Ltd",
        "client_email": None,
        "owner": None,
        "environment": "live",
        "permissions": ["read", "write"],
        "allowed_endpoints": None,
        "allowed_networks": None,
        "rate_limit": None,
        "remaining_uses": None,
        "scope_type": None,
        "metadata": None,
        "created_at": CREATED,
        "last_used_at": None,
        "expires_at": EXPIRES,
        "status": ACTIVE,
        "lineage": own,
        "replaced_by": None,
        "overlap_until": None,
        "ends_at_first_use": None,
        "version": 1,
    }
    unknown = fields.keys() - made.keys()
    if unknown:
        raise SystemExit(f"no such fields: {unknown}")
    made.update(fields)
    return made
