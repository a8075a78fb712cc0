"""Credentials in header fields: each value is stripped, split and judged on its own."""

import base64
import binascii
import re

KEY_BYTES_MAX = 256
BLANKS = b" \t"


def present(rules, headers):
    """`("credential", bytes)` or `("deny", cause)`; headers are pairs of bytes."""
    found = None
    for name, value in headers:
        token = read(rules, name.lower(), value.strip(BLANKS))
        if token is None or token == b"":
            continue
        if token == "malformed" or len(token) > KEY_BYTES_MAX or not re.fullmatch(rb"[!-~]+", token):
            return "deny", "malformed"
        if found is not None and token != found:
            return "deny", "conflicting_credentials"
        found = token
    return ("deny", "missing_credential") if found is None else ("credential", found)


def read(rules, name, value):
    """What a field presents: bytes, none, or `malformed`."""
    own = [b"x-api-key"] + ([rules["header"].lower().encode()] if rules["header"] else [])
    if name in own:
        return value
    if name != b"authorization":
        return None
    scheme, _, token = value.partition(b" ")
    token = token.strip(b" ")
    if scheme.lower() == b"bearer":
        return token
    if scheme.lower() == b"basic" and rules["basic"]:
        return user(token)
    return None


def user(token):
    """The user name of RFC 7617's `user:password` in base64."""
    if token == b"":
        return b""
    try:
        pair = base64.b64decode(token, validate=True)
    except binascii.Error:
        return "malformed"
    name, colon, _ = pair.partition(b":")
    return name if colon else "malformed"


def is_header_choice(name):
    """RFC 9110's token, and not a field whose value is no bare key."""
    token = re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}", name)
    return token is not None and name.lower() not in ("authorization", "cookie")
