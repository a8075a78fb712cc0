"""What a text is, as far as can be told without a store."""

import re

from reference import spelling

SPACE = b" \t\n\r\x0c"


def unwrapped(text):
    """The text without white space, a Bearer scheme, and one pair of quotes around it."""
    text = text.strip(SPACE)
    if text[:7].lower() == b"bearer ":
        text = text[7:].strip(SPACE)
    quoted = re.fullmatch(rb"(?s)([\"'`])(.*)\1", text)
    return quoted[2].strip(SPACE) if quoted else text


def inspect(spec, text):
    bare = unwrapped(text)
    if bare == b"":
        return finding("empty")
    found = spelling.shape(spec, bare)
    if found is None:
        if "prefix" not in spec or not bare.startswith(spec["prefix"].encode() + b"_"):
            return finding("foreign")
        return finding("wrong_length" if re.fullmatch(rb"[0-9A-Za-z_]*", bare) else "wrong_character")
    if not spelling.has_right_check(spec, bare, found):
        verdict = "wrong_checksum"
    else:
        verdict = "well_formed" if bare == text else "wrapped"
    return finding(verdict, found["environment"], found["key_id"])


def finding(verdict, environment=None, key_id=None):
    return {"verdict": verdict, "environment": environment, "key_id": key_id}
