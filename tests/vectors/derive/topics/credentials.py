"""Credentials in header fields."""

import base64

import made
from reference import deciding, presenting
from topic import Topic, claim, data, repeated

CREDENTIALS = Topic(
    "credentials.json",
    "Header fields of a request, and the one credential in them, or why there is none.",
)
SWEEPS = Topic(
    "credential_sweeps.json",
    "A header value with a hole that is filled with each of the 256 bytes: with which bytes the credential has the "
    "byte in it, and with which it is the text around the hole. With all others the value is malformed.",
)
CHOICES = Topic("header_names.json", "Names for a custom header, and whether each is allowed.")
TOPICS = [CREDENTIALS, SWEEPS, CHOICES]

DEFAULT = {"header": None, "basic": False}
BASIC = {"header": None, "basic": True}
CUSTOM = {"header": "X-Acme-Key", "basic": False}
KEY, OTHER = made.key(), made.key(label="second")
MISSING, CONFLICT, MALFORMED = "missing_credential", "conflicting_credentials", "malformed"


def add(short, why, headers, outcome, attack=None, rules=DEFAULT):
    """The outcome is the credential in bytes, or a cause in text."""
    name = f"credential-{short}"
    fields, pairs = [], []
    for field, value in headers:
        if isinstance(value, tuple):
            before, text, times = value
            raw, said = (before + text * times).encode(), repeated(text, times, "value", before)
        else:
            raw, said = value if isinstance(value, bytes) else value.encode(), data(value, "value")
        fields.append({"name": field, **said})
        pairs.append((field.encode(), raw))
    kind, found = presenting.present(rules, pairs)
    claim(name, outcome, found)
    if kind == "deny":
        expected = {"credential": None, "cause": found, "code": deciding.CODES[found]}
    else:
        expected = {"credential": found.decode("ascii"), "cause": None, "code": None}
    CREDENTIALS.add(name, why, expected, attack, rules=rules, headers=fields)


def api(value, name="X-API-Key"):
    return (name, value)


def auth(value, name="Authorization"):
    return (name, value)


def basic(user, password="x", separator=":"):
    pair = (user if isinstance(user, bytes) else user.encode()) + (separator + password).encode()
    return "Basic " + base64.b64encode(pair).decode()


FOUND = KEY.encode()
# The header table: one field, one value.
add("api-key", "the header of the article", [api(KEY)], FOUND)
add("api-key-lower", "names have no case", [api(KEY, "x-api-key")], FOUND)
add("api-key-upper", "names have no case", [api(KEY, "X-API-KEY")], FOUND)
add("api-key-spaces", "white space around a value is not part of it", [api(f"  {KEY} ")], FOUND)
add("api-key-tabs", "white space around a value is not part of it", [api(f"\t{KEY}\t")], FOUND)
add("api-key-opaque", "any text of visible ASCII is a credential", [api(made.opaque())], made.opaque().encode())
add("api-key-short", "whether it is a key is asked later", [api("k")], b"k")
add("api-key-punctuation", "visible ASCII from ! to ~", [api("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")], b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
add("bearer", "the scheme of RFC 6750", [auth(f"Bearer {KEY}")], FOUND, "B3")
add("bearer-lower", "a scheme has no case", [auth(f"bearer {KEY}")], FOUND, "B4")
add("bearer-upper", "a scheme has no case", [auth(f"BEARER {KEY}")], FOUND, "B4")
add("bearer-mixed", "a scheme has no case", [auth(f"bEaReR {KEY}")], FOUND, "B4")
add("bearer-spaces", "one space or more", [auth(f"Bearer   {KEY}")], FOUND, "B4")
add("bearer-spaces-around", "white space around a value is not part of it", [auth(f"  Bearer {KEY}  ")], FOUND, "B4")
add("bearer-header-lower", "names have no case", [auth(f"Bearer {KEY}", "authorization")], FOUND, "B4")
add("bearer-header-upper", "names have no case", [auth(f"Bearer {KEY}", "AUTHORIZATION")], FOUND, "B4")
add("nothing", "no header at all", [], MISSING, "B14")
add("other-headers", "headers of other purposes", [("Host", "example.com"), ("Cookie", f"key={KEY}")], MISSING, "B14")
add("api-key-empty", "an empty value is no credential", [api("")], MISSING, "B1")
add("api-key-space", "nor is white space", [api(" ")], MISSING, "B1")
add("api-key-tab", "other white space is no credential either", [api("\t")], MISSING, "B1")
add("bearer-alone", "a scheme without a token", [auth("Bearer")], MISSING, "B1")
add("bearer-space", "nor with a space after it", [auth("Bearer ")], MISSING, "B1")
add("bearer-space-tab", "nor with a space and a tab", [auth("Bearer \t")], MISSING, "B1")
add("bearer-many-spaces", "nor with many spaces", [auth("Bearer      ")], MISSING, "B1")
add("authorization-empty", "an empty Authorization", [auth("")], MISSING, "B1")
add("authorization-bare", "a key without a scheme is not a Bearer token", [auth(KEY)], MISSING, "B3")
add("bearer-joined", "a scheme ends in a space", [auth(f"Bearer{KEY}")], MISSING, "B3")
add("bearer-colon", "not in a colon", [auth(f"Bearer:{KEY}")], MISSING, "B3")
add("bearer-comma", "nor in a comma", [auth(f"Bearer,{KEY}")], MISSING, "B3")
add("bearer-quoted-scheme", "quotes belong to no scheme", [auth(f'"Bearer" {KEY}')], MISSING, "B3")
add("bear", "a shorter scheme", [auth(f"Bear {KEY}")], MISSING, "B3")
add("bearers", "a longer scheme", [auth(f"Bearers {KEY}")], MISSING, "B3")
add("digest-scheme", "another scheme", [auth(f"Digest {KEY}")], MISSING, "B3")
add("token-scheme", "another scheme", [auth(f"Token {KEY}")], MISSING, "B3")
add("api-key-scheme", "another scheme", [auth(f"ApiKey {KEY}")], MISSING, "B3")
add("negotiate-long", "a long value with another scheme is not a key", [auth(("Negotiate ", "A", 4_000))], MISSING, "B6")
add("basic-not-asked", "Basic is read only if it is enabled", [auth(basic(KEY))], MISSING, "B11")
add("basic-not-bearer", "Basic x is not a Bearer key", [auth("Basic x")], MISSING, "B11")
add("bearer-two-tokens", "a token has no space", [auth(f"Bearer {KEY} {OTHER}")], MALFORMED, "B16")
add("bearer-two-schemes", "a scheme twice", [auth(f"Bearer Bearer {KEY}")], MALFORMED, "B3")
add("bearer-inside", "the article's replacement would have found it", [auth(f"x Bearer {KEY}")], MISSING, "B3")
add("bearer-inside-key", "the article's replacement would have cut it", [api(f"acme_Bearer {KEY}")], MALFORMED, "B3")
add("api-key-with-scheme", "a bare header has no scheme", [api(f"Bearer {KEY}")], MALFORMED, "B3")
add("api-key-comma-list", "two keys in one value", [api(f"{KEY}, {OTHER}")], MALFORMED, "B16")
add("api-key-comma-joined", "a comma is visible ASCII; the text is then no key", [api(f"{KEY},{OTHER}")], f"{KEY},{OTHER}".encode(), "B16")
add("api-key-inner-space", "a space inside", [api("ab cd")], MALFORMED, "B5")
add("api-key-inner-tab", "a tab inside", [api("ab\tcd")], MALFORMED, "B5")
add("api-key-quoted", "quotes are part of the value", [api('"k"')], b'"k"', "B3")
add("bearer-quoted", "quotes are part of the token", [auth('Bearer "k"')], b'"k"', "B3")
add("bearer-equals", "padding is part of the token", [auth("Bearer abc==")], b"abc==", "B4")

# Bytes and lengths.
add("non-ascii", "letters beyond ASCII", [api("acm\u00e9")], MALFORMED, "B5")
add("latin-1", "a byte with its highest bit set is legal in HTTP", [api(b"acm\xe9")], MALFORMED, "B5")
add("bearer-latin-1", "also after a scheme", [auth(b"Bearer acm\xe9")], MALFORMED, "B5")
add("scheme-latin-1", "a scheme that is no scheme", [auth(b"Bear\xe9r k")], MISSING, "B5")
add("nul", "a C string would end here", [api("acme\u0000x")], MALFORMED, "B5")
add("delete", "the last control of ASCII", [api("acme\u007f")], MALFORMED, "B5")
add("line-feed-inside", "a header that would be two", [api("acme\nX-Admin: 1")], MALFORMED, "B5")
add("line-feed-behind", "white space is spaces and tabs", [api(f"{KEY}\n")], MALFORMED, "B5")
add("carriage-return-before", "white space is spaces and tabs", [api(f"\r{KEY}")], MALFORMED, "B5")
add("form-feed-before", "white space is spaces and tabs", [api(f"\u000c{KEY}")], MALFORMED, "B5")
add("non-breaking-space", "no white space in HTTP", [api(f"{KEY}\u00a0")], MALFORMED, "B5")
add("ellipsis", "what an editor made of three dots", [api("acme_live_\u2026")], MALFORMED, "B5")
add("longest", "256 bytes are looked at", [api(("", "a", 256))], b"a" * 256, "B6")
add("too-long", "257 bytes are not looked at", [api(("", "a", 257))], MALFORMED, "B6")
add("bearer-longest", "the scheme does not count", [auth(("Bearer ", "a", 256))], b"a" * 256, "B6")
add("bearer-too-long", "the token does", [auth(("Bearer ", "a", 257))], MALFORMED, "B6")
add("mebibytes", "sixteen of them cost no more than a short one", [api(("", "a", 1 << 24))], MALFORMED, "B6")
add("bearer-mebibyte", "nor does one after a scheme", [auth(("Bearer ", "a", 1 << 20))], MALFORMED, "B6")
add("mebibyte-of-bytes", "whatever its bytes are", [api(("", "\u00e9", 1 << 19))], MALFORMED, "B6")

# Names.
add("underscore-name", "X_API_Key is another header, even if CGI folds the two", [api(KEY, "X_API_Key")], MISSING, "B9")
add("underscore-beside", "and is not even a second one", [api(KEY), api(OTHER, "X_API_KEY")], FOUND, "B9")
add("longer-name", "a longer name", [api(KEY, "X-API-Key-2")], MISSING, "B9")
add("shorter-name", "a shorter name", [api(KEY, "API-Key")], MISSING, "B9")
add("padded-name", "white space is not cut off a name", [api(KEY, "X-API-Key ")], MISSING, "B9")
add("empty-name", "a header without a name", [api(KEY, "")], MISSING, "B9")
add("proxy-authorization", "that is for the proxy", [auth(f"Bearer {KEY}", "Proxy-Authorization")], MISSING, "B9")
add("connection-nominates", "a hop-by-hop list takes no header away", [("Connection", "x-api-key, close"), api(KEY)], FOUND, "B10")
add("forwarded", "a header that names others is not read", [("Forwarded", f"key={KEY}")], MISSING, "B10")
add("query-header", "a target in a header is not looked into", [("X-Original-URL", f"/x?api_key={KEY}")], MISSING, "B15")
add("referer", "nor is the page that a client came from", [("Referer", f"https://example.com/?api_key={KEY}")], MISSING, "B15")
add("cookie", "a cookie is sent without being asked", [("Cookie", f"X-API-Key={KEY}")], MISSING, "B15")

# Two of them.
add("twice", "the same key twice is one key", [api(KEY), auth(f"Bearer {KEY}")], FOUND, "B16")
add("twice-other-order", "in either order", [auth(f"Bearer {KEY}"), api(KEY)], FOUND, "B16")
add("twice-same-header", "or in one header twice", [api(KEY), api(KEY)], FOUND, "B16")
add("twice-spaces", "white space makes no difference", [api(f" {KEY}"), api(f"{KEY} ")], FOUND, "B16")
add("thrice", "or three times", [api(KEY), auth(f"bearer {KEY}"), api(KEY, "x-api-key")], FOUND, "B16")
add("two-keys", "two different ones are ambiguous", [api(KEY), auth(f"Bearer {OTHER}")], CONFLICT, "B16")
add("two-keys-other-order", "the header makes no difference", [auth(f"Bearer {OTHER}"), api(KEY)], CONFLICT, "B16")
add("two-keys-same-header", "two X-API-Key", [api(KEY), api(OTHER)], CONFLICT, "B16")
add("two-authorizations", "two Authorization", [auth(f"Bearer {KEY}"), auth(f"Bearer {OTHER}")], CONFLICT, "B16")
add("two-keys-by-case", "keys have a case", [api(KEY), api(KEY.swapcase())], CONFLICT, "B16")
add("two-keys-by-prefix", "a beginning is another key", [api(KEY), api(KEY[:-1])], CONFLICT, "B16")
add("third-differs", "two alike and a third", [api(KEY), api(KEY), api(OTHER)], CONFLICT, "B16")
add("empty-beside", "an empty value next to a key does not count", [api(""), auth(f"Bearer {KEY}")], FOUND, "B1")
add("empty-bearer-beside", "in either order", [api(KEY), auth("Bearer ")], FOUND, "B1")
add("two-empty", "two empty values are no credential", [api(""), auth("Bearer")], MISSING, "B1")
add("malformed-beside", "a malformed one is not passed over", [api("ab cd"), auth(f"Bearer {KEY}")], MALFORMED, "B13")
add("malformed-behind", "in either order", [api(KEY), auth("Bearer ab cd")], MALFORMED, "B13")
add("malformed-same", "a key and the same key with a byte too many", [api(KEY), api(f"{KEY}\u00e9")], MALFORMED, "B13")
add("long-beside", "an over-long one is not passed over", [api(("", "a", 300)), api(KEY)], MALFORMED, "B13")
add("other-scheme-beside", "another scheme next to a key is for someone else", [auth("Negotiate abc"), api(KEY)], FOUND, "B16")
add("basic-beside", "Basic next to a key, if Basic is not enabled", [auth(basic(OTHER)), api(KEY)], FOUND, "B11")

# P7: the same decision whatever header carried the key.
for source, headers, rules in [
    ("api-key", [api(OTHER)], DEFAULT),
    ("bearer", [auth(f"Bearer {OTHER}")], DEFAULT),
    ("custom", [("X-Acme-Key", OTHER)], CUSTOM),
    ("basic", [auth(basic(OTHER))], BASIC),
]:
    add(f"source-{source}", "every source gives the same bytes", headers, OTHER.encode(), "A27", rules)
for source, headers, rules in [
    ("api-key", [api("acme key")], DEFAULT),
    ("bearer", [auth("Bearer acme key")], DEFAULT),
    ("custom", [("X-Acme-Key", "acme key")], CUSTOM),
    ("basic", [auth(basic("acme key"))], BASIC),
]:
    add(f"source-malformed-{source}", "and the same refusal", headers, MALFORMED, "B11", rules)

# A custom header.
add("custom", "a header of the user's choice", [("X-Acme-Key", KEY)], FOUND, None, CUSTOM)
add("custom-lower", "names have no case", [("x-acme-key", KEY)], FOUND, None, CUSTOM)
add("custom-not-chosen", "which is not read unless chosen", [("X-Acme-Key", KEY)], MISSING)
add("custom-beside", "the usual ones are read too", [api(KEY)], FOUND, None, CUSTOM)
add("custom-and-bearer", "the same key in both", [("X-Acme-Key", KEY), auth(f"Bearer {KEY}")], FOUND, "B16", CUSTOM)
add("custom-conflict", "two different ones are ambiguous", [("X-Acme-Key", KEY), auth(f"Bearer {OTHER}")], CONFLICT, "B16", CUSTOM)
add("custom-scheme", "a bare header has no scheme", [("X-Acme-Key", f"Bearer {KEY}")], MALFORMED, "B3", CUSTOM)
add("custom-empty", "an empty value is no credential", [("X-Acme-Key", "")], MISSING, "B1", CUSTOM)
add("custom-is-api-key", "a choice that is there already", [api(KEY)], FOUND, None, {"header": "x-api-key", "basic": False})

# Basic.
add("basic", "the user name, as curl -u KEY: sends it", [auth(basic(KEY, ""))], FOUND, "B11", BASIC)
add("basic-password", "a password is not looked at", [auth(basic(KEY, "secret"))], FOUND, "B11", BASIC)
add("basic-password-colon", "the first colon ends the user name", [auth(basic(KEY, "a:b"))], FOUND, "B11", BASIC)
add("basic-lower", "a scheme has no case", [auth(basic(KEY).replace("Basic", "basic"))], FOUND, "B4", BASIC)
add("basic-spaces", "one space or more", [auth(basic(KEY).replace(" ", "   "))], FOUND, "B4", BASIC)
add("basic-empty-user", "an empty user name is no credential", [auth(basic("", "secret"))], MISSING, "B1", BASIC)
add("basic-colon-alone", "an empty user name and password", [auth(basic("", ""))], MISSING, "B1", BASIC)
add("basic-alone", "a scheme without a token", [auth("Basic")], MISSING, "B1", BASIC)
add("basic-space", "nor with a space after it", [auth("Basic ")], MISSING, "B1", BASIC)
add("basic-no-colon", "a pair has a colon", [auth(basic(KEY, "", ""))], MALFORMED, "B11", BASIC)
add("basic-no-base64", "a token that is no base64", [auth(f"Basic {KEY}")], MALFORMED, "B11", BASIC)
add("basic-no-padding", "base64 is padded", [auth("Basic azp4eA")], MALFORMED, "B11", BASIC)
add("basic-url-alphabet", "the other alphabet of base64", [auth("Basic Pz8_Pz8_Og==")], MALFORMED, "B11", BASIC)
add("basic-user-with-space", "a user name must be visible ASCII", [auth(basic("a b"))], MALFORMED, "B5", BASIC)
add("basic-user-non-ascii", "a user name must be visible ASCII", [auth(basic("acm\u00e9"))], MALFORMED, "B5", BASIC)
add("basic-user-nul", "a C string would end here", [auth(basic(b"acme\x00x"))], MALFORMED, "B5", BASIC)
add("basic-user-longest", "256 bytes are looked at", [auth(basic("a" * 256, ""))], b"a" * 256, "B6", BASIC)
add("basic-user-too-long", "257 bytes are not looked at", [auth(basic("a" * 257, ""))], MALFORMED, "B6", BASIC)
add("basic-mebibyte", "a long pair costs no more than a short one", [auth(("Basic ", "QUFB", 1 << 18))], MALFORMED, "B6", BASIC)
add("basic-and-api-key", "the same key in both", [auth(basic(KEY)), api(KEY)], FOUND, "B16", BASIC)
add("basic-conflict", "two different ones are ambiguous", [auth(basic(KEY)), api(OTHER)], CONFLICT, "B16", BASIC)
add("basic-with-bearer", "Bearer is read too", [auth(f"Bearer {KEY}")], FOUND, None, BASIC)


def sweep(short, why, name, before, behind):
    has, around = [], []
    for byte in range(256):
        value = before.encode() + bytes([byte]) + behind.encode()
        kind, found = presenting.present(DEFAULT, [(name.encode(), value)])
        bare = (before + behind).removeprefix("Bearer ").encode()
        if kind == "deny":
            claim(short, MALFORMED, found)
        elif found == bare:
            around.append(byte)
        else:
            claim(short, value.removeprefix(b"Bearer "), found)
            has.append(byte)
    expected = {"part_hex": bytes(has).hex(), "around_hex": bytes(around).hex()}
    SWEEPS.add(f"credential-sweep-{short}", why, expected, "B5", header=name, before=before, behind=behind)


sweep("api-key-first", "each byte before a key", "X-API-Key", "", "acme")
sweep("api-key-second", "each byte after the first", "X-API-Key", "a", "cme")
sweep("api-key-inside", "each byte inside", "X-API-Key", "ac", "me")
sweep("api-key-last", "each byte after a key", "X-API-Key", "acme", "")
sweep("bearer-first", "each byte after the first of a token", "Authorization", "Bearer x", "acme")
sweep("bearer-inside", "each byte inside a token", "Authorization", "Bearer ac", "me")
sweep("bearer-last", "each byte after a token", "Authorization", "Bearer acme", "")

for short, why, name, legal, attack in [
    ("plain", "a usual name", "X-Acme-Key", True, None),
    ("one-letter", "the shortest name", "K", True, None),
    ("all-token", "all that RFC 9110 allows", "!#$%&'*+-.^_`|~09azAZ", True, None),
    ("underscore", "a name of the user's choice may have one", "X_Key", True, "B9"),
    ("sixty-four", "64 bytes, the longest", "k" * 64, True, None),
    ("sixty-five", "65 bytes, one more than the longest", "k" * 65, False, None),
    ("empty", "a header has a name", "", False, "B2"),
    ("authorization", "its values have schemes", "Authorization", False, "B3"),
    ("authorization-upper", "names have no case", "AUTHORIZATION", False, "B3"),
    ("cookie", "a cookie is sent without being asked", "Cookie", False, "B15"),
    ("cookie-lower", "names have no case", "cookie", False, "B15"),
    ("space", "a space is no token", "X Key", False, None),
    ("trailing-space", "white space is not cut off", "X-Key ", False, None),
    ("colon", "a colon ends a name", "X-Key:", False, None),
    ("line-feed", "a line feed ends a header", "X-Key\n", False, None),
    ("nul", "a C string would end here", "X-Key\u0000", False, None),
    ("non-ascii", "a name is ASCII", "X-Cl\u00e9", False, "B5"),
    ("slash", "a slash is no token", "X/Key", False, None),
    ("quote", "a quote is no token", 'X"Key', False, None),
]:
    claim(short, legal, presenting.is_header_choice(name))
    CHOICES.add(f"header-name-{short}", why, {"legal": legal}, attack, header=name)
