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
    "byte in it, and with which it is the text around the hole. With all others the value is refused.",
)
CHOICES = Topic("header_names.json", "Names for a custom header, and whether each is allowed.")
TOPICS = [CREDENTIALS, SWEEPS, CHOICES]


def rules_of(defaults=True, headers=(), schemes=(), basic=False, formats=None):
    return {"defaults": defaults, "headers": list(headers), "schemes": list(schemes), "basic": basic, "formats": formats}


DEFAULT = rules_of()
BASIC = rules_of(basic=True)
CUSTOM = rules_of(headers=["X-Acme-Key"])
ACME = [{"kind": "structured", "prefix": "acme"}]
# Like the default, but it knows which texts have the shape of a key.
KNOWN = rules_of(formats=ACME)
EVERY = rules_of(headers=["X-Acme-Key"], schemes=["Api-Key"], basic=True, formats=ACME)
KEY, OTHER = made.key(), made.key(label="second")
MISSING, CONFLICT, MALFORMED, ALIEN = "missing_credential", "conflicting_credentials", "malformed", "alien"


def add(short, why, headers, outcome, attack=None, rules=DEFAULT, carriers=None):
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
    outcomes = presenting.present(rules, pairs)
    found, rest = outcomes["found"], {field: outcomes[field] for field in ("carriers", "mixed", "guess")}
    claim(name, outcome, found)
    claim(name, carriers or outcomes["carriers"], outcomes["carriers"])
    if outcomes["kind"] == "deny":
        expected = {"credential": None, "cause": found, "code": deciding.CODES[found], **rest}
    else:
        expected = {"credential": found.decode("ascii"), "cause": None, "code": None, **rest}
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
add("bearer-two-tokens", "a token has no space", [auth(f"Bearer {KEY} {OTHER}")], ALIEN, "B16")
add("bearer-two-schemes", "a scheme twice", [auth(f"Bearer Bearer {KEY}")], ALIEN, "B3")
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
add("bearer-latin-1", "also after a scheme", [auth(b"Bearer acm\xe9")], ALIEN, "B5")
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
add("bearer-too-long", "the token does", [auth(("Bearer ", "a", 257))], ALIEN, "B6")
add("mebibytes", "sixteen of them cost no more than a short one", [api(("", "a", 1 << 24))], MALFORMED, "B6")
add("bearer-mebibyte", "nor does one after a scheme", [auth(("Bearer ", "a", 1 << 20))], ALIEN, "B6")
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
add("alien-beside", "what cannot be a key is alien, whatever is beside it", [api("ab cd"), auth(f"Bearer {KEY}")], FOUND, "O9")
add("alien-behind", "in either order", [api(KEY), auth("Bearer ab cd")], FOUND, "O9")
add("alien-same-header", "in one header", [api(KEY), api(f"{KEY}\u00e9")], FOUND, "B13, O9")
add("long-beside", "an over-long value is alien too", [api(("", "a", 300)), api(KEY)], FOUND, "O9")
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
    cause = ALIEN if headers[0][0] == "Authorization" else MALFORMED
    add(f"source-malformed-{source}", "and the same code", headers, cause, "B11", rules)

# A custom header.
add("custom", "a header of the user's choice", [("X-Acme-Key", KEY)], FOUND, None, CUSTOM)
add("custom-lower", "names have no case", [("x-acme-key", KEY)], FOUND, None, CUSTOM)
add("custom-not-chosen", "which is not read unless chosen", [("X-Acme-Key", KEY)], MISSING)
add("custom-beside", "the usual ones are read too", [api(KEY)], FOUND, None, CUSTOM)
add("custom-and-bearer", "the same key in both", [("X-Acme-Key", KEY), auth(f"Bearer {KEY}")], FOUND, "B16", CUSTOM)
add("custom-conflict", "two different ones are ambiguous", [("X-Acme-Key", KEY), auth(f"Bearer {OTHER}")], CONFLICT, "B16", CUSTOM)
add("custom-scheme", "a bare header has no scheme", [("X-Acme-Key", f"Bearer {KEY}")], MALFORMED, "B3", CUSTOM)
add("custom-empty", "an empty value is no credential", [("X-Acme-Key", "")], MISSING, "B1", CUSTOM)
add("custom-is-api-key", "a choice that is there already", [api(KEY)], FOUND, None, rules_of(headers=["x-api-key"]))

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
add("basic-no-colon", "a pair has a colon", [auth(basic(KEY, "", ""))], ALIEN, "B11", BASIC)
add("basic-no-base64", "a token that is no base64", [auth(f"Basic {KEY}")], ALIEN, "B11", BASIC)
add("basic-no-padding", "base64 is padded", [auth("Basic azp4eA")], ALIEN, "B11", BASIC)
add("basic-url-alphabet", "the other alphabet of base64", [auth("Basic Pz8_Pz8_Og==")], ALIEN, "B11", BASIC)
add("basic-user-with-space", "a user name must be visible ASCII", [auth(basic("a b"))], ALIEN, "B5", BASIC)
add("basic-user-non-ascii", "a user name must be visible ASCII", [auth(basic("acm\u00e9"))], ALIEN, "B5", BASIC)
add("basic-user-nul", "a C string would end here", [auth(basic(b"acme\x00x"))], ALIEN, "B5", BASIC)
add("basic-user-longest", "256 bytes are looked at", [auth(basic("a" * 256, ""))], b"a" * 256, "B6", BASIC)
add("basic-user-too-long", "257 bytes are not looked at", [auth(basic("a" * 257, ""))], ALIEN, "B6", BASIC)
add("basic-mebibyte", "a long pair costs no more than a short one", [auth(("Basic ", "QUFB", 1 << 18))], ALIEN, "B6", BASIC)
add("basic-and-api-key", "the same key in both", [auth(basic(KEY)), api(KEY)], FOUND, "B16", BASIC)
add("basic-conflict", "two different ones are ambiguous", [auth(basic(KEY)), api(OTHER)], CONFLICT, "B16", BASIC)
add("basic-with-bearer", "Bearer is read too", [auth(f"Bearer {KEY}")], FOUND, None, BASIC)

# Aliens: values that do not have the shape of a key of the service.
JWT = "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ1c2VyLTcifQ.c2lnbmF0dXJl"
TYPO = KEY[:-1] + ("0" if KEY[-1] != "0" else "1")
PLACES = {
    "api-key": lambda text: api(text),
    "bearer": lambda text: auth(f"Bearer {text}"),
    "custom": lambda text: ("X-Acme-Key", text),
    "scheme": lambda text: auth(f"Api-Key {text}"),
    "basic": lambda text: auth(basic(text)),
}
for place, key_in in PLACES.items():
    header = key_in(KEY)[0]
    for size in (60, 250, 500, 900, 8_000):
        jwt = (JWT + "x" * size)[:size]
        for other, alien_in in PLACES.items():
            if other != place and (size in (60, 900) or other == "bearer"):
                add(f"jwt-{size}-{other}-beside-{place}", "a user's token beside the key changes nothing",
                    [alien_in(jwt), key_in(KEY)], FOUND, "O9", EVERY, [header])
    add(f"typo-{place}", "a key with a typo is a credential, which is refused later", [key_in(TYPO)], TYPO.encode(), "O9", EVERY)
    add(f"typo-{place}-and-key", "and not an alien", [key_in(TYPO), api(KEY)], CONFLICT, "O9", EVERY)
    for outcome, other in [(FOUND, KEY), (CONFLICT, OTHER)]:
        for second, in_second in PLACES.items():
            kind = "one-key" if other == KEY else "two-keys"
            add(f"{kind}-{place}-{second}", "whatever the two headers are", [key_in(KEY), in_second(other)], outcome, "B16", EVERY)
add("alien-api-key", "a header that carries nothing but keys: a guess", [api(JWT)], MALFORMED, "O9", KNOWN)
add("alien-custom", "which a custom header is too", [("X-Acme-Key", JWT)], MALFORMED, "O9", EVERY)
add("alien-bearer", "Authorization carries others' tokens: no guess", [auth(f"Bearer {JWT}")], ALIEN, "O9", KNOWN)
add("alien-scheme", "with any scheme that is read", [auth(f"Api-Key {JWT}")], ALIEN, "O9", EVERY)
add("alien-basic", "and with a user's name", [auth(basic("ops"))], ALIEN, "O9", EVERY)
add("alien-both", "one of them is in a header for keys", [auth(f"Bearer {JWT}"), api(JWT)], MALFORMED, "O9", KNOWN)
add("alien-and-empty", "an empty value is none at all", [auth(f"Bearer {JWT}"), api("")], ALIEN, "O9", KNOWN)
add("alien-two", "two different aliens are not two keys", [auth(f"Bearer {JWT}"), auth("Bearer x")], ALIEN, "O9", KNOWN)
add("alien-same-authorization", "Authorization twice: the key is taken, and is not alone", [auth(f"Bearer {JWT}"), auth(f"Bearer {KEY}")], FOUND, "O9", KNOWN, ["Authorization"])
add("alien-environment-other", "which environment it is for is asked later", [api(made.key(environment="test"))], made.key(environment="test").encode(), "O9", KNOWN)
add("alien-prefix", "a key of another service", [api(KEY.replace("acme", "globex", 1))], MALFORMED, "O9", KNOWN)
add("alien-cut", "a key that was cut off", [api(KEY[:-1])], MALFORMED, "O9", KNOWN)
add("alien-longer", "a key with something joined to it", [api(f"{KEY}x")], MALFORMED, "O9", KNOWN)
add("alien-cut-beside", "is alien beside a whole one", [api(KEY), auth(f"Bearer {KEY[:-1]}")], FOUND, "O9", KNOWN, ["X-API-Key"])
add("alien-alphabet", "a character that no key has", [api(KEY[:-1] + "-")], MALFORMED, "O9", KNOWN)
add("alien-version", "a mistyped version is in the alphabet", [api(KEY.replace("_1", "_2", 1))], KEY.replace("_1", "_2", 1).encode(), "O9", KNOWN)
add("alien-upper-environment", "no environment has an upper-case letter", [api(KEY.replace("live", "LIVE", 1))], MALFORMED, "O9", KNOWN)
add("alien-long-environment", "nor 13 characters", [api(KEY.replace("live", "l" * 13, 1))], MALFORMED, "O9", KNOWN)
add("alien-no-environment", "it may have none", [api(KEY.replace("live_", "", 1))], KEY.replace("live_", "", 1).encode(), "O9", KNOWN)
add("alien-opaque", "a format that this service does not have", [api(made.opaque())], MALFORMED, "O9", KNOWN)
BOTH = rules_of(formats=[*ACME, {"kind": "opaque", "prefix": "dt"}])
add("second-format", "any of the formats", [api(made.opaque())], made.opaque().encode(), "O9", BOTH)
add("second-format-beside", "two keys of two formats are two keys", [api(made.opaque()), auth(f"Bearer {KEY}")], CONFLICT, "B16", BOTH)
add("any-prefix", "a format of any prefix", [api(KEY), auth(f"Bearer {JWT}")], FOUND, "O9", rules_of(formats=[{"kind": "any_structured"}]))
add("any-opaque", "a format of any prefix and length", [api(made.opaque()), auth(f"Bearer {JWT}")], made.opaque().encode(), "O9", rules_of(formats=[{"kind": "any_opaque"}]))

# Sources.
ONE = rules_of(defaults=False, headers=["X-Acme-Key"], formats=ACME)
add("one-header", "only this one", [("x-acme-key", KEY)], FOUND, "A27", ONE, ["X-Acme-Key"])
add("one-header-beside", "the usual ones are not read", [("X-Acme-Key", KEY), api(OTHER), auth(f"Bearer {OTHER}")], FOUND, "B16", ONE, ["X-Acme-Key"])
add("one-header-others", "nor if they are all there is", [api(KEY), auth(f"Bearer {KEY}")], MISSING, "B14", ONE)
add("no-source", "nothing is read", [api(KEY), auth(f"Bearer {KEY}")], MISSING, "B14", rules_of(defaults=False))
SCHEMES = rules_of(schemes=["Api-Key", "Token"], formats=ACME)
add("scheme-api-key", "a scheme of the service's choice", [auth(f"Api-Key {KEY}")], FOUND, "B4", SCHEMES, ["Authorization"])
add("scheme-case", "in any case, with a tab", [auth(f"TOKEN\t{KEY}")], FOUND, "B4", SCHEMES)
add("scheme-bearer-too", "Bearer is read too", [auth(f"Bearer {KEY}")], FOUND, "B4", SCHEMES)
add("scheme-longer", "a longer scheme is another", [auth(f"Tokens {KEY}")], MISSING, "B3", SCHEMES)
add("scheme-only", "without the defaults, Bearer is not", [auth(f"Bearer {KEY}"), auth(f"token {OTHER}")], OTHER.encode(), "B16", rules_of(defaults=False, schemes=["Token"], formats=ACME))
TWO = rules_of(headers=["X-Acme-Key", "apikey"], formats=ACME)
add("two-headers", "the same key in both", [("X-Acme-Key", KEY), ("ApiKey", KEY)], FOUND, "B16", TWO, ["X-Acme-Key", "apikey"])
add("two-headers-differ", "two different ones", [("X-Acme-Key", KEY), ("ApiKey", OTHER)], CONFLICT, "B16", TWO)
add("api-key-only", "X-API-Key alone", [auth(f"Bearer {OTHER}"), api(KEY)], FOUND, "B16", rules_of(defaults=False, headers=["x-api-key"], formats=ACME), ["X-API-Key"])


def sweep(short, why, name, before, behind):
    has, around = [], []
    for byte in range(256):
        value = before.encode() + bytes([byte]) + behind.encode()
        outcomes = presenting.present(DEFAULT, [(name.encode(), value)])
        kind, found = outcomes["kind"], outcomes["found"]
        bare = (before + behind).removeprefix("Bearer ").encode()
        if kind == "deny":
            claim(short, ALIEN if name == "Authorization" else MALFORMED, found)
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
