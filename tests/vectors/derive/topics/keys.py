"""Key texts: what is read as a key, and what is not."""

import made
from reference import spelling
from topic import Topic, claim, data, repeated

KEYS = Topic(
    "keys.json",
    "Texts presented as keys: accepted or not, with the public id and the environment that they name.",
)
EDITS = Topic(
    "key_edits.json",
    "A key and a way of changing it: how many changed texts there are, and how many of them are still well formed.",
)
TOPICS = [KEYS, EDITS]

KEYED = made.secret_hex("checksum")
OTHER_KEYED = made.secret_hex("another checksum")
ANY = {"kind": "any_structured"}
ANY_OPAQUE = {"kind": "any_opaque"}


def structured(prefix="acme", checksum_key_hex=None):
    spec = {"kind": "structured", "prefix": prefix}
    return spec if checksum_key_hex is None else {**spec, "checksum_key_hex": checksum_key_hex}


def opaque(prefix="dt", random_bytes=None):
    spec = {"kind": "opaque", "prefix": prefix}
    return spec if random_bytes is None else {**spec, "random_bytes": random_bytes}


def add(short, why, spec, text, accepted, attack=None):
    name = f"key-{short}"
    fields = data(text) if isinstance(text, (str, bytes)) else repeated(*text)
    raw = text.encode("utf-8") if isinstance(text, str) else text
    raw = raw if isinstance(raw, bytes) else (text[0] * text[1]).encode()
    found = spelling.parse(spec, raw)
    claim(name, accepted, found is not None)
    part = (lambda field: None if found is None else found[field])
    expected = {"accepted": accepted, "key_id": part("key_id"), "environment": part("environment")}
    KEYS.add(name, why, expected, attack, format=spec, **fields)


live = made.key()
bare = made.key(environment=None)
first = made.opaque()
body = made.covered()
head, own_id, secret = "acme_live", made.key_id("first"), made.base62("secret first", 43)
seal = made.seal

# What is accepted.
add("structured", "the default format", structured(), live, True)
add("structured-bare", "the environment may be left out", structured(), bare, True)
add("prefix-one", "the shortest prefix", structured("k"), made.key("k"), True)
add("prefix-sixteen", "the longest prefix", structured("abcdefghijklmnop"), made.key("abcdefghijklmnop"), True)
add("prefix-inner-separator", "a prefix with an inner _", structured("acme_eu"), made.key("acme_eu"), True)
add("prefix-separator-bare", "and without an environment after it", structured("acme_eu"),
    made.key("acme_eu", None), True)
add("environment-in-prefix", "what one format calls the environment, another has in its prefix",
    structured("acme_live"), live, True, "N4")
add("environment-one", "the shortest environment", structured(), made.key(environment="t"), True)
add("environment-twelve", "the longest environment", structured(), made.key(environment="staging00042"), True)
add("environment-digits", "an environment of digits", structured(), made.key(environment="2026"), True)
add("environment-like-prefix", "an environment that is spelled as the prefix", structured(),
    made.key(environment="acme"), True)
add("longest", "the longest structured key there is", structured("abcdefghijklmnop"),
    made.key("abcdefghijklmnop", "staging00042"), True)
add("another", "another id and secret", structured(), made.key(label="second"), True)
add("keyed", "a keyed check", structured(checksum_key_hex=KEYED), made.key(checksum_key_hex=KEYED), True)
add("keyed-bare", "a keyed check, no environment", structured(checksum_key_hex=KEYED),
    made.key(environment=None, checksum_key_hex=KEYED), True)
add("any-structured", "a reader of any prefix does not tell prefix and environment apart", ANY, live, True)
add("any-structured-bare", "any prefix, no environment", ANY, bare, True)
add("any-structured-inner", "a prefix with an inner _ under any", ANY, made.key("acme_eu", None), True)
add("any-structured-longest", "the longest head", ANY, made.key("abcdefghijklmnop", "staging00042"), True)
add("opaque", "the article's format", opaque(), first, True)
add("opaque-prefix", "another prefix", opaque("acme_eu"), made.opaque("acme_eu"), True)
add("opaque-sixteen", "the fewest random bytes", opaque(random_bytes=16), made.opaque(count=16), True)
add("opaque-sixty-four", "the most random bytes", opaque(random_bytes=64), made.opaque(count=64), True)
add("opaque-zeros", "no value of the digits is special", opaque(), "dt_" + "0" * 64, True)
add("opaque-looks-hexadecimal", "a prefix of hex digits", opaque("dead"), made.opaque("dead"), True)
add("any-opaque", "any prefix and length", ANY_OPAQUE, first, True)
add("any-opaque-sixteen", "the shortest under any", ANY_OPAQUE, made.opaque("k", count=16), True)
add("any-opaque-sixty-four", "the longest under any", ANY_OPAQUE, made.opaque("abcdefghijklmnop", count=64), True)

# The shape, with a check that is right wherever there can be one.
add("other-prefix", "another service's key", structured(), made.key("acma"), False)
add("shorter-prefix", "a prefix is whole", structured(), made.key("acm"), False)
add("longer-prefix", "a prefix is whole", structured(), made.key("acmee"), False)
add("upper-case-prefix", "case is not folded", structured(), seal(body.replace("acme", "ACME")), False, "L1")
add("no-prefix", "a key has a prefix", structured(), seal(body.removeprefix("acme_live_")), False)
add("separator-for-prefix", "an empty prefix", structured(), seal("_" + body.removeprefix("acme_live_")), False)
add("any-trailing-separator", "a head that ends in _ is neither prefix nor environment", ANY,
    seal(body.replace("acme_live", "acme_")), False)
add("any-leading-digit", "a prefix begins with a letter", ANY, seal(body.replace("acme", "1acme")), False)
add("any-long-prefix", "a prefix of seventeen and no environment", ANY,
    seal(body.replace("acme_live", "a" * 17)), False)
add("any-long-environment", "thirteen characters after the last _ of a head that is too long for a prefix", ANY,
    seal(body.replace("acme_live", "acme_production012")), False)
add("any-no-head", "a key has a prefix", ANY, seal("_" + body.removeprefix("acme_live_")), False)
add("environment-upper-case", "an environment is lower case", structured(), seal(body.replace("live", "Live")), False)
add("environment-thirteen", "an environment has twelve characters at most", structured(),
    seal(body.replace("live", "production012")), False)
add("environment-empty", "none is written without its separator", structured(), seal(body.replace("live", "")), False)
add("environment-separator", "an environment has no separator", structured(), seal(body.replace("live", "li_ve")), False)
add("environment-dash", "an environment has no dash", structured(), seal(body.replace("live", "li-ve")), False)
add("environment-non-ascii", "an environment has no letter beyond ASCII", structured(), seal(body.replace("live", "l\u00edve")), False, "B5")
add("id-version-two", "a later format version", structured(), seal(f"{head}_2{own_id[1:]}_{secret}"), False)
add("id-version-letter", "the version is a digit", structured(), seal(f"{head}_l{own_id[1:]}_{secret}"), False)
add("id-fifteen", "an id has sixteen characters", structured(), seal(f"{head}_{own_id[:-1]}_{secret}"), False)
add("id-seventeen", "an id has sixteen characters, not seventeen", structured(), seal(f"{head}_{own_id}x_{secret}"), False)
add("id-separator", "the separator is not in the alphabet", structured(), seal(f"{head}_{own_id[:-1]}__{secret}"), False)
add("id-missing", "a secret by itself is not a key", structured(), seal(f"{head}_{secret}"), False)
add("secret-forty-two", "a secret has 43 characters", structured(), seal(body[:-1]), False, "B12")
add("secret-forty-four", "a secret has 43 characters, not 44", structured(), seal(body + "x"), False, "B12")
add("secret-separator", "the separator is not in the alphabet", structured(), seal(body[:-1] + "_"), False)
add("secret-dash", "base64url is another alphabet", structured(), seal(body[:-1] + "-"), False)
add("secret-plus", "base64 is another alphabet", structured(), seal(body[:-1] + "+"), False)
add("secret-slash", "base64 is another alphabet", structured(), seal(body[:-1] + "/"), False)
add("secret-equals", "there is no padding", structured(), seal(body[:-1] + "="), False)
add("secret-percent", "nothing is unescaped", structured(), seal(body[:-3] + "%41"), False)
add("secret-nul", "a C string would end here", structured(), seal(body[:-1] + "\u0000"), False, "D6")
add("secret-high-bytes", "bytes beyond ASCII", structured(), seal(body[:-2] + "\u00e9"), False, "D6")
add("dash-separators", "the separator is _", structured(), seal(body.replace("_", "-")), False)
add("dot-separators", "the separator is _", structured(), seal(body.replace("_", ".")), False)
add("no-separator-before-secret", "one separator is missing", structured(), seal(f"{head}_{own_id}{secret}x"), False)

# The check.
add("check-missing", "a key without its check", structured(), body, False, "B12")
add("check-five", "a check has six digits", structured(), live[:-1], False, "B12")
add("check-zero", "no check opens everything", structured(), body + "000000", False)
add("check-of-another", "the check of another key", structured(), body + made.key(label="second")[-6:], False)
add("check-case-flipped", "digits of the check have a case", structured(), body + live[-6:].swapcase(), False, "L1")
add("check-reversed", "most significant first", structured(), body + live[:-7:-1], False)
add("check-over-secret-alone", "the check covers the prefix too", structured(), body + spelling.check(secret.encode()), False)
add("check-crc-under-keyed", "a CRC is no keyed check", structured(checksum_key_hex=KEYED), live, False)
add("check-keyed-under-crc", "a keyed check is no CRC", structured(), made.key(checksum_key_hex=KEYED), False)
add("check-other-key", "a check under another key", structured(checksum_key_hex=OTHER_KEYED),
    made.key(checksum_key_hex=KEYED), False)
add("check-keyed-under-any", "a reader of any prefix checks CRC-32", ANY, made.key(checksum_key_hex=KEYED), False)

# Around the key: nothing is cut off, for what was proved is what was sent.
add("leading-space", "white space is not cut off", structured(), " " + live, False, "B12")
add("trailing-space", "white space is not cut off", structured(), live + " ", False, "B12")
add("trailing-line-feed", "a pattern that ends in $ would let it pass", structured(), live + "\n", False, "B12")
add("trailing-nul", "a C string would end here", structured(), live + "\u0000", False, "B12")
add("quoted", "quotes are not cut off", structured(), f'"{live}"', False)
add("bearer", "a scheme is the header's business", structured(), f"Bearer {live}", False, "B3")
add("twice", "a key that was pasted twice", structured(), live + live, False, "B12")
add("byte-order-mark", "a file's first three bytes", structured(), "\ufeff" + live, False)
add("upper-case-whole", "case carries bits", structured(), live.upper(), False, "L1")
add("full-width", "letters that look the same", structured(), live.replace("a", "\uff41"), False)
add("utf-16", "two bytes a character", structured(), live.encode("utf-16-le"), False, "B5")

# Nothing like a key.
add("empty", "an empty text is never looked up", structured(), "", False, "B1")
add("empty-opaque", "an empty text has a digest, and is no key", opaque(), "", False, "B1")
add("empty-any-opaque", "under any prefix neither", ANY_OPAQUE, "", False, "B1")
add("prefix-alone", "a prefix is not a key", structured(), "acme", False)
add("prefix-and-separator", "nor with its separator", structured(), "acme_", False)
add("id-alone", "a public id opens nothing", structured(), f"{head}_{own_id}", False)
add("sanctum-empty-token", "an id and nothing after it", structured(), "1|", False, "B8")
add("sanctum-empty-id", "a token without an id", structured(), "|x", False, "B8")
add("sanctum-letters", "an id that is no number", structured(), "a|b", False, "B8")
add("sanctum-three", "one separator too many", structured(), "1|x|y", False, "B8")
add("sql", "text that would end a quoted string", structured(), "acme_live_1' OR 1=1 --", False, "B7")
add("all-high", "every byte has its highest bit set", structured(), b"\xff" * len(live), False, "B5")
add("high-byte-last", "one byte is not ASCII", structured(), live[:-1].encode() + b"\x80", False, "B5")
add("longest-looked-at", "256 bytes are looked at, and are no key", structured(), ("a", 256), False, "B6")
add("too-long", "257 bytes are not", structured(), ("a", 257), False, "B6")
add("mebibyte", "a long text costs no more than a short one", structured(), ("acme_", 200_000), False, "B6")
add("mebibyte-opaque", "nor does one of hex digits", opaque(), ("0", 1_000_000), False, "B6")
add("mebibyte-any-opaque", "nor under any length", ANY_OPAQUE, ("dt_00", 200_000), False, "B6")

# Opaque keys.
add("opaque-upper-case", "hex digits are lower case: one text for one key", opaque(), "dt_" + first[3:].upper(), False, "L1")
add("opaque-one-upper", "each of them", opaque(), first[:-1] + "A", False, "L1")
add("opaque-sixty-three", "one digit too few", opaque(), first[:-1], False, "B12")
add("opaque-sixty-five", "one digit too many", opaque(), first + "0", False, "B12")
add("opaque-sixty-two", "one byte too few", opaque(), first[:-2], False, "B12")
add("opaque-sixty-six", "one byte too many", opaque(), first + "00", False, "B12")
add("opaque-g", "g is no hex digit", opaque(), first[:-1] + "g", False, "D6")
add("opaque-no-separator", "the separator belongs to the format", opaque(), first.replace("_", ""), False)
add("opaque-dash", "the separator is _", opaque(), first.replace("_", "-"), False)
add("opaque-other-prefix", "another service's key", opaque(), made.opaque("du"), False)
add("opaque-no-prefix", "digits by themselves are a digest, not a key", opaque(), first[3:], False)
add("opaque-two-separators", "one separator too many", opaque(), "dt__" + first[3:], False)
add("opaque-space", "white space is not cut off", opaque(), first + " ", False, "B12")
add("opaque-digest", "the stored digest is not a key", opaque(), made.record(first)["digest"], False, "D9")
add("opaque-is-structured", "the other format", opaque(), live, False)
add("structured-is-opaque", "the other format", structured("dt"), first, False)
add("opaque-sixteen-under-default", "a shorter key than this format has", opaque(), made.opaque(count=16), False)
add("opaque-default-under-sixteen", "a longer key than this format has", opaque(random_bytes=16), first, False)
add("any-opaque-fifteen", "too few random bytes", ANY_OPAQUE, made.opaque(count=15), False)
add("any-opaque-sixty-five", "too many random bytes", ANY_OPAQUE, made.opaque(count=65), False)
add("any-opaque-odd", "an odd count of digits is half a byte", ANY_OPAQUE, first[:-1], False)
add("any-opaque-upper-case", "hex digits are lower case", ANY_OPAQUE, "dt_" + first[3:].upper(), False)
add("any-opaque-no-prefix", "a key has a prefix", ANY_OPAQUE, "_" + first[3:], False)
add("any-opaque-long-prefix", "a prefix has sixteen characters at most", ANY_OPAQUE, "a" * 17 + first[2:], False)
add("any-opaque-bad-prefix", "a prefix does not end in _", ANY_OPAQUE, "dt__" + first[3:], False)


# Changed keys, all of one kind at once.
def variants(text, edit):
    every = [bytes([byte]) for byte in range(256)]
    for at in range(len(text) + 1):
        before, own, behind = text[:at], text[at : at + 1], text[at + 1 :]
        if edit == "insert":
            yield from (before + byte + own + behind for byte in every)
        elif edit == "truncate" and own:
            yield before
        elif edit == "behead" and own:
            yield own + behind if at > 0 else b""
        elif edit == "substitute" and own:
            yield from (before + byte + behind for byte in every if byte != own)
        elif edit == "delete" and own:
            yield before + behind
        elif edit == "flip_case" and own.swapcase() != own:
            yield before + own.swapcase() + behind
        elif edit == "swap" and behind and behind[:1] != own:
            yield before + behind[:1] + own + behind[1:]


def edits(short, why, spec, text, edit, attack="B12"):
    changed = list(variants(text.encode(), edit))
    accepted = sum(spelling.parse(spec, variant) is not None for variant in changed)
    EDITS.add(
        f"edits-{short}", why, {"variants": len(changed), "accepted": accepted}, attack,
        format=spec, text=text, edit=edit,
    )


for spec_name, spec, text in [
    ("structured", structured(), live),
    ("bare", structured(), bare),
    ("keyed", structured(checksum_key_hex=KEYED), made.key(checksum_key_hex=KEYED)),
    ("any", ANY, live),
]:
    edits(f"{spec_name}-substitute", "any byte instead of any other is noticed by the check", spec, text, "substitute")
    edits(f"{spec_name}-insert", "one byte too many, anywhere", spec, text, "insert")
    edits(f"{spec_name}-delete", "one byte too few, anywhere", spec, text, "delete")
    edits(f"{spec_name}-truncate", "no beginning of a key is a key", spec, text, "truncate")
    edits(f"{spec_name}-behead", "no end of a key is a key", spec, text, "behead")
    edits(f"{spec_name}-swap", "two neighbours that were swapped", spec, text, "swap")
    edits(f"{spec_name}-flip-case", "a letter in the other case", spec, text, "flip_case", "L1")
edits("opaque-substitute", "without a check, another digit is another key; no other byte is", opaque(), first, "substitute")
edits("opaque-insert", "the length is fixed", opaque(), first, "insert")
edits("opaque-delete", "the length is fixed", opaque(), first, "delete")
edits("opaque-truncate", "no beginning of a key is a key", opaque(), first, "truncate")
edits("opaque-behead", "no end of a key is a key", opaque(), first, "behead")
edits("opaque-swap", "two digits that were swapped are another key", opaque(), first, "swap")
edits("opaque-flip-case", "upper case is refused", opaque(), first, "flip_case", "L1")
edits("any-opaque-truncate", "if any length will do, so does a beginning with whole bytes", ANY_OPAQUE, first, "truncate")
