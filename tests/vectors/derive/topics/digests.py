"""Digests: of key texts, and their text form; and what a store is asked for."""

import made
from reference import digesting, spelling
from topic import Topic, claim, data

DIGESTS = Topic(
    "digests.json",
    "Key texts and peppers, the current one first, and the digest for a new record; "
    "or the kind of error if the peppers cannot form a ring.",
)
TEXTS = Topic(
    "digest_texts.json",
    "Stored digests as text, and the same digest as it is written; null if the text is not a digest.",
)
LOOKUPS = Topic(
    "lookups.json",
    "What to look up in a store: the id of a structured key, or each digest that the record of an opaque key may have.",
)
TOPICS = [DIGESTS, TEXTS, LOOKUPS]


def pepper(version, count=32):
    return {"version": version, "secret_hex": made.secret_hex(f"pepper {version}", count)}


def add(short, why, text, peppers, attack=None, known=None):
    legal = digesting.is_ring(peppers)
    raw = text.encode() if isinstance(text, str) else text
    digest = digesting.digest(raw, peppers) if legal else None
    if known is not None:
        claim(short, known, digest)
    expected = {"digest": digest, "error": None if legal else "digest"}
    DIGESTS.add(f"digest-{short}", why, expected, attack, **data(text), peppers=peppers)


live = made.key()
add("abc", "FIPS 180-2, appendix B.1", "abc", [],
    known="sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
add("two-blocks", "FIPS 180-2, appendix B.2", "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", [],
    known="sha256:248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1")
add("empty", "the digest of an empty text, which is never looked up", "", [], "B1",
    known="sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
add("rfc4231-6", "RFC 4231, case 6: a pepper longer than a block is hashed first",
    "Test Using Larger Than Block-Size Key - Hash Key First", [{"version": 6, "secret_hex": "aa" * 131}],
    known="hmac-sha256:6:60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54")
add("rfc4231-7", "RFC 4231, case 7: pepper and text are longer than a block",
    "This is a test using a larger than block-size key and a larger than block-size data. "
    "The key needs to be hashed before being used by the HMAC algorithm.",
    [{"version": 7, "secret_hex": "aa" * 131}],
    known="hmac-sha256:7:9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2")
add("structured", "the whole text is digested, prefix and check included", live, [], "D5")
add("structured-test", "another environment, another digest", made.key(environment="test"), [], "N4")
add("opaque", "printf %s KEY | sha256sum gives the same", made.opaque(), [])
add("longest", "all of a long text counts: nothing is cut off at 72 bytes", made.key("abcdefghijklmnop", "staging00042"), [], "D2")
add("differs-after-72", "and the last byte too", made.key("abcdefghijklmnop", "staging00042")[:-1] + "0", [], "D1")
add("high-bytes", "bytes are not read as text", b"\xff\x00\x80", [])
add("peppered", "HMAC under the pepper", live, [pepper(1)])
add("version-zero", "0 is a version like any other", live, [pepper(0)])
add("version-largest", "the largest version", live, [pepper(2**32 - 1)])
add("current-first", "the first pepper is the current one", live, [pepper(2), pepper(1)])
add("retired-first", "the order counts, not the number", live, [pepper(1), pepper(2)])
add("pepper-of-64", "a pepper as long as a block", live, [pepper(3, 64)])
add("pepper-of-65", "a pepper longer than a block", live, [pepper(3, 65)])
add("pepper-zeros", "a pepper of zeros is a weak one, and a pepper", live, [{"version": 1, "secret_hex": "00" * 32}])
add("eight-peppers", "the most that a ring holds", live, [pepper(version) for version in range(1, 9)])
add("staged", "a pepper that is known and not yet current", live, [None, pepper(1)])
add("nine-staged", "one more than a ring holds, of which none is current", live, [None] + [pepper(version) for version in range(1, 10)])
add("nine-peppers", "one more than a ring holds", live, [pepper(version) for version in range(1, 10)])
add("pepper-empty", "an empty pepper is refused", live, [{"version": 1, "secret_hex": ""}], "B2")
add("pepper-short", "31 bytes are too few", live, [pepper(1, 31)], "B2")
add("retired-short", "a retired pepper has the same minimum length", live, [pepper(2), pepper(1, 31)], "B2")
add("version-twice", "a version names one pepper", live, [pepper(1), {**pepper(2), "version": 1}])
add("same-pepper-twice", "even if both are the same", live, [pepper(1), pepper(1)])

hexa = digesting.plain(live.encode()).removeprefix("sha256:")


def text(short, why, stored, legal, attack=None):
    digest = digesting.parse(stored)
    claim(short, legal, digest is not None)
    TEXTS.add(f"digest-text-{short}", why, {"digest": digest}, attack, text=stored)


text("plain", "SHA-256 is named", f"sha256:{hexa}", True)
text("bare", "64 digits without a kind are SHA-256", hexa, True)
text("bare-upper-case", "some stores write hex in upper case", hexa.upper(), True)
text("upper-case", "digits may be upper case; they are written lower", f"sha256:{hexa.upper()}", True)
text("mixed-case", "digits may be of mixed case", f"sha256:{hexa[:32]}{hexa[32:].upper()}", True)
text("zeros", "no value is special", "0" * 64, True)
text("peppered", "HMAC names its pepper", f"hmac-sha256:7:{hexa}", True)
text("pepper-zero", "0 is a version like any other", f"hmac-sha256:0:{hexa}", True)
text("pepper-largest", "the largest version", f"hmac-sha256:4294967295:{hexa}", True)
text("pepper-too-large", "2 to the 32nd would wrap to version 0", f"hmac-sha256:4294967296:{hexa}", False, "D10")
text("pepper-leading-zero", "one text for one digest", f"hmac-sha256:07:{hexa}", False)
text("pepper-double-zero", "one text for one digest", f"hmac-sha256:00:{hexa}", False)
text("pepper-plus", "a version has no sign", f"hmac-sha256:+7:{hexa}", False)
text("pepper-minus", "a version has no sign", f"hmac-sha256:-7:{hexa}", False)
text("pepper-space", "a version has no space", f"hmac-sha256: 7:{hexa}", False)
text("pepper-empty", "HMAC without its pepper cannot be checked", f"hmac-sha256::{hexa}", False, "D10")
text("pepper-missing", "HMAC without its pepper cannot be checked", f"hmac-sha256:{hexa}", False, "D10")
text("pepper-hexadecimal", "a version is decimal", f"hmac-sha256:a:{hexa}", False)
text("pepper-arabic-digit", "digits are ASCII", f"hmac-sha256:\u0667:{hexa}", False)
text("pepper-under-sha256", "SHA-256 has no pepper", f"sha256:7:{hexa}", False, "D10")
text("empty", "an empty column is no digest", "", False, "D3")
text("kind-alone", "a kind without digits", "sha256:", False, "D3")
text("sixty-three", "one digit too few", hexa[:-1], False, "D5")
text("sixty-five", "one digit too many", hexa + "0", False, "D3")
text("thirty-two", "half a digest is refused", f"sha256:{hexa[:32]}", False, "D5")
text("md5", "a kind that is not ours", f"md5:{hexa}", False, "D10")
text("sha1", "a kind that is not ours", f"sha1:{hexa[:40]}", False, "D10")
text("sha512", "a kind that is not ours", f"sha512:{hexa}{hexa}", False, "D10")
text("kind-upper-case", "the kind is lower case", f"SHA256:{hexa}", False)
text("kind-dash", "and spelled without a dash", f"sha-256:{hexa}", False)
text("kind-empty", "an empty kind is refused", f":{hexa}", False)
text("bcrypt", "a hash of another system is no digest of ours", "$2b$12$KIXQ8e8p0pQJ0c1n2m3b4uO5i6u7y8t9r0e1w2q3a4s5d6f7g8h9", False, "D3")
text("non-ascii", "a damaged column", "sha256:\u00e9" + hexa[1:], False, "D3")
text("zero-x", "digits without 0x", f"0x{hexa[2:]}", False)
text("leading-space", "white space is not cut off", f" {hexa}", False)
text("trailing-line-feed", "the line feed of sha256sum", f"{hexa}\n", False)
text("sha256sum-line", "the file name of sha256sum", f"{hexa}  -", False)
text("nul-inside", "a C string would end here", f"sha256:{hexa[:-1]}\u0000", False, "D3")
text("the-key-itself", "a key in the digest's column is refused", live, False, "D9")


def lookup(short, why, spec, presented, peppers, attack=None):
    found = spelling.parse(spec, presented.encode())
    digests = [] if found["key_id"] else digesting.candidates(presented.encode(), peppers)
    expected = {"key_id": found["key_id"], "digests": digests}
    LOOKUPS.add(f"lookup-{short}", why, expected, attack, format=spec, text=presented, peppers=peppers)


lookup("structured", "a structured key names its record", made.STRUCTURED, live, [], "B7")
lookup("structured-bare", "with or without an environment", made.STRUCTURED, made.key(environment=None), [])
lookup("structured-peppered", "whatever the peppers", made.STRUCTURED, live, [pepper(1)])
lookup("any-structured", "and whatever the prefix", {"kind": "any_structured"}, live, [])
lookup("opaque", "an opaque key is asked for by its digest, never by its text", made.OPAQUE, made.opaque(), [], "C1")
lookup("opaque-peppered", "under the pepper first, then plain", made.OPAQUE, made.opaque(), [pepper(1)])
lookup("opaque-two", "the current pepper first, then retired ones", made.OPAQUE, made.opaque(), [pepper(2), pepper(1)])
lookup("opaque-eight", "every pepper of a full ring", made.OPAQUE, made.opaque(), [pepper(version) for version in range(1, 9)])
lookup("opaque-staged", "plain first if no pepper is current, then those that are known", made.OPAQUE, made.opaque(), [None, pepper(1), pepper(2)])
lookup("any-opaque", "and whatever the length", {"kind": "any_opaque"}, made.opaque("k", count=16), [pepper(3)])
