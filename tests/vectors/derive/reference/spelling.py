"""How keys are spelled, as regular expressions over whole texts."""

import hashlib
import hmac
import re
import zlib

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
TEXT_BYTES_MAX = 256

PREFIX = rb"[a-z](?:[a-z0-9_]{0,14}[a-z0-9])?"
ENVIRONMENT = rb"[a-z0-9]{1,12}"
KEY_ID = rb"1[0-9A-Za-z]{15}"
TEMPLATE_NAME = rb"[a-z][a-z0-9_-]{0,31}"
LABELS = {
    "prefix": PREFIX,
    "environment": ENVIRONMENT,
    "key_id": KEY_ID,
    "template_name": TEMPLATE_NAME,
}


def is_label(kind, text):
    return re.fullmatch(LABELS[kind], text.encode("utf-8")) is not None


def check_value(covered, checksum_key_hex=None):
    """CRC-32, or the first 35 bits of HMAC-SHA-256."""
    if checksum_key_hex is None:
        return zlib.crc32(covered)
    mac = hmac.digest(bytes.fromhex(checksum_key_hex), covered, hashlib.sha256)
    return int("".join(f"{byte:08b}" for byte in mac)[:35], 2)


def check(covered, checksum_key_hex=None):
    """Six base62 digits, most significant first."""
    value = check_value(covered, checksum_key_hex)
    return "".join(ALPHABET[value // 62**place % 62] for place in (5, 4, 3, 2, 1, 0))


def shape(spec, text):
    """The parts of a text of this format before its check is looked at, or None."""
    if len(text) > TEXT_BYTES_MAX:
        return None
    kind = spec["kind"]
    own = re.escape(spec["prefix"].encode()) if "prefix" in spec else PREFIX
    if kind in ("structured", "any_structured"):
        form = rb"(?P<prefix>%b)(?:_(?P<environment>%b))?_(?P<id>%b)_[0-9A-Za-z]{43}(?P<check>[0-9A-Za-z]{6})"
        found = re.fullmatch(form % (own, ENVIRONMENT, KEY_ID), text)
        if found is None:
            return None
        named = found["environment"] is not None and kind == "structured"
        return {
            # If any prefix will do, `a_b_` may be only a prefix or one with an environment.
            "environment": found["environment"].decode() if named else None,
            "key_id": found["id"].decode(),
            "check": found["check"].decode(),
        }
    found = re.fullmatch(rb"(?:%b)_((?:[0-9a-f]{2})+)" % own, text)
    if found is None:
        return None
    count = len(found[1]) // 2
    right = count == spec.get("random_bytes", 32) if kind == "opaque" else 16 <= count <= 64
    return {"environment": None, "key_id": None, "check": None} if right else None


def has_right_check(spec, text, found):
    return found["check"] is None or found["check"] == check(text[:-6], spec.get("checksum_key_hex"))


def parse(spec, text):
    """The parts of a well-formed key, or None."""
    found = shape(spec, text)
    return found if found is not None and has_right_check(spec, text, found) else None
