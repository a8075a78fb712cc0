"""Credentials in header fields: all values are collected, sorted into keys and aliens, and then judged."""

import base64
import binascii
import re

from reference import spelling

KEY_BYTES_MAX = 256
VALUE_BYTES_MAX = 512
BLANKS = b" \t"
# What a configured name is shown as, in the order in which carriers are listed.
DEFAULTS = ["X-API-Key", "Authorization"]


def present(rules, headers):
    """The outcome for pairs of bytes: `kind`, `found`, `carriers`, `mixed` and `guess`."""
    fields = []
    for name, value in headers:
        source = source_of(rules, name)
        if source is not None:
            fields.append((source, sort(rules, source, value)))
    keys = {text for _, (kind, text) in fields if kind == "key"}
    if len(keys) == 1:
        carried = {source for source, (kind, _) in fields if kind == "key"}
        beside = {source for source, (kind, _) in fields if kind != "key"}
        order = DEFAULTS + [name for name in rules["headers"] if name.lower() != "x-api-key"]
        return {"kind": "credential", "found": keys.pop(), "guess": False, "mixed": bool(carried & beside),
                "carriers": [name for name in order if name in carried]}
    aliens = [source for source, (kind, _) in fields if kind == "alien"]
    bare = [source for source in aliens if source != "Authorization"]
    if keys:
        cause = "conflicting_credentials"
    elif bare:
        cause = "malformed"
    else:
        cause = "alien" if aliens else "missing_credential"
    return {"kind": "deny", "found": cause, "carriers": None, "mixed": False, "guess": cause == "malformed"}


def source_of(rules, name):
    """The configured name of a header, or None if it is not read."""
    names = {other.lower(): other for other in rules["headers"]}
    if rules["defaults"] or "x-api-key" in names:
        names["x-api-key"] = "X-API-Key"
    if rules["defaults"] or rules["schemes"] or rules["basic"]:
        names["authorization"] = "Authorization"
    return names.get(name.decode("latin-1").lower()) if name.isascii() else None


def sort(rules, source, value):
    """What a field presents: a key and its bytes, or nothing, or something alien."""
    text = value
    if source == "Authorization":
        # White space before a scheme is passed over, but not more than a value may have.
        start = value.lstrip(BLANKS)
        if len(value) - len(start) > VALUE_BYTES_MAX:
            return "nothing", None
        scheme = re.match(rb"[^ \t]*", start)[0]
        text, scheme = start[len(scheme) + 1:], scheme.lower().decode("latin-1")
        bare = (["bearer"] if rules["defaults"] else []) + [other.lower() for other in rules["schemes"]]
        if scheme == "basic" and rules["basic"]:
            text = user(text.strip(BLANKS)) if len(text) <= VALUE_BYTES_MAX else None
        elif scheme not in bare:
            return "nothing", None
    if text is None or len(text) > VALUE_BYTES_MAX:
        return "alien", None
    text = text.strip(BLANKS)
    if text == b"":
        return "nothing", None
    return ("key", text) if may_be_key(rules, text) else ("alien", None)


def may_be_key(rules, text):
    """Whether a text has the shape of a key; of any text, if no formats are known."""
    if rules["formats"] is None:
        return len(text) <= KEY_BYTES_MAX and re.fullmatch(rb"[!-~]+", text) is not None
    # A shape is more than a key's: its version may be mistyped too.
    version = re.sub(rb"[0-9A-Za-z](.{15}_[0-9A-Za-z]{49})\Z", rb"1\1", text)
    return any(spelling.shape(spec, version) is not None for spec in rules["formats"])


def user(token):
    """The user name of RFC 7617's `user:password` in base64, or None."""
    if token == b"":
        return b""
    try:
        pair = base64.b64decode(token, validate=True)
    except binascii.Error:
        return None
    name, colon, _ = pair.partition(b":")
    if not colon or name.strip(BLANKS) != name:
        return None
    return name


def is_header_choice(name):
    """RFC 9110's token, and not a field whose value is no bare key."""
    token = re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}", name)
    return token is not None and name.lower() not in ("authorization", "cookie")
