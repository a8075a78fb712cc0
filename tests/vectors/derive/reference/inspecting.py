"""What a text is, as far as that is known without a store."""

import re

from reference import spelling

SPACE = b" \t\n\r\x0c"
LAYERS_MAX = 16
# The byte-order mark, a no-break space and a zero-width space, in UTF-8.
UNSEEN = ("\ufeff".encode(), "\u00a0".encode(), "\u200b".encode())
QUOTED = re.compile(rb"(?s)([\"'`])(.*)\1")
WORD = re.compile(rb"(?i)(?:bearer|token|apikey|api-key|export) ")
NAME = re.compile(rb"[0-9A-Za-z_-]{1,64}[:=]")


def without_space(text):
    text = text.strip(SPACE)
    for unseen in UNSEEN:
        if text.startswith(unseen):
            text = text[len(unseen) :]
            break
    for unseen in UNSEEN:
        if text.endswith(unseen):
            return text[: -len(unseen)]
    return text


def without_layer(text):
    """The text without its outermost layer: space, one pair of quotes, a scheme, or a name."""
    bare = without_space(text)
    if bare != text:
        return bare
    if quoted := QUOTED.fullmatch(text):
        return quoted[2]
    before = WORD.match(text) or NAME.match(text)
    return text[before.end() :] if before else text


def unwrapped(text):
    for _ in range(LAYERS_MAX):
        text = without_layer(text)
    return text


def inspect(spec, text):
    bare = unwrapped(text)
    if bare == b"":
        return finding("empty")
    found = spelling.shape(spec, bare)
    if found is None:
        if "prefix" not in spec or not bare.startswith(spec["prefix"].encode() + b"_"):
            return finding("foreign")
        damaged = by_places(spec, bare)
        if damaged is not None:
            return finding("wrong_character", *damaged)
        return finding("wrong_length" if re.fullmatch(rb"[0-9A-Za-z_]*", bare) else "wrong_character")
    if not spelling.has_right_check(spec, bare, found):
        kind = "wrong_checksum"
    else:
        kind = "well_formed" if bare == text else "wrapped"
    return finding(kind, found["environment"], found["key_id"])


def by_places(spec, bare):
    """Environment and id of a key that has the right length and a character that no key has there."""
    if spec["kind"] != "structured" or len(bare) > spelling.TEXT_BYTES_MAX:
        return None
    form = rb"(?s)%b(?:_(%b))?_(.{16})_.{49}" % (re.escape(spec["prefix"].encode()), spelling.ENVIRONMENT)
    found = re.fullmatch(form, bare)
    if found is None:
        return None
    environment, own_id = found.groups()
    is_id = re.fullmatch(spelling.KEY_ID, own_id)
    return environment and environment.decode(), own_id.decode() if is_id else None


def finding(kind, environment=None, key_id=None):
    return {"finding": kind, "environment": environment, "key_id": key_id}
