"""Offline findings about a text, for support desks."""

import made
from reference import inspecting
from topic import Topic, claim, data, repeated

INSPECTIONS = Topic(
    "inspections.json",
    "A text that may be a key: the finding, and the environment and public id in the text.",
)
TOPICS = [INSPECTIONS]
ANY = {"kind": "any_structured"}
ANY_OPAQUE = {"kind": "any_opaque"}


def add(short, why, spec, text, finding, attack=None):
    name = f"inspect-{short}"
    raw = text if isinstance(text, bytes) else (text if isinstance(text, str) else text[0] * text[1]).encode()
    expected = inspecting.inspect(spec, raw)
    claim(name, finding, expected["finding"])
    fields = repeated(*text) if isinstance(text, tuple) else data(text)
    INSPECTIONS.add(name, why, expected, attack, format=spec, **fields)


live, bare, first = made.key(), made.key(environment=None), made.opaque()
ours, opaque = made.STRUCTURED, made.OPAQUE

add("whole", "a whole key, with its environment and id", ours, live, "well_formed")
add("whole-bare", "a whole key without an environment", ours, bare, "well_formed")
add("whole-any", "a whole key of whatever prefix", ANY, live, "well_formed")
add("opaque", "an opaque key contains nothing about itself", opaque, first, "well_formed")
add("any-opaque", "of whatever prefix", ANY_OPAQUE, made.opaque("k"), "well_formed")
add("typo", "one character was changed", ours, live[:-10] + ("0" if live[-10] != "0" else "1") + live[-9:], "wrong_checksum")
add("typo-in-id", "in the id: what it names is not to be trusted", ours, live.replace(made.key_id("first"), made.key_id("second")), "wrong_checksum")
add("typo-in-environment", "in the environment", ours, live.replace("live", "love"), "wrong_checksum")
add("typo-in-check", "in the check itself", ours, live[:-1] + ("0" if live[-1] != "0" else "1"), "wrong_checksum")
add("keyed-elsewhere", "a check under a key that this format lacks", ours, made.key(checksum_key_hex=made.secret_hex("checksum")), "wrong_checksum")
add("leading-space", "white space came along", ours, " " + live, "wrapped")
add("line-feed", "a line feed came along", ours, live + "\n", "wrapped")
add("carriage-return", "a line end of Windows came along", ours, live + "\r\n", "wrapped")
add("tab", "a tab came along", ours, "\t" + live + "\t", "wrapped")
add("double-quotes", "quotes came along", ours, f'"{live}"', "wrapped")
add("single-quotes", "quotes came along", ours, f"'{live}'", "wrapped")
add("backticks", "backticks came along from a page in Markdown", ours, f"`{live}`", "wrapped")
add("quotes-and-space", "white space inside the quotes", ours, f'" {live} "', "wrapped")
add("bearer", "the scheme came along", ours, f"Bearer {live}", "wrapped", "B3")
add("bearer-lower", "in whatever case", ours, f"bearer   {live}", "wrapped", "B4")
add("bearer-quotes", "a scheme and quotes", ours, f'Bearer "{live}"', "wrapped")
add("opaque-wrapped", "an opaque key in quotes", opaque, f'"{first}"', "wrapped")
add("wrapped-typo", "white space is the smaller fault", ours, f" {live[:-1]}" + ("0" if live[-1] != "0" else "1"), "wrong_checksum")
add("one-quote", "a quote on one side is a character too many", ours, live + '"', "wrong_character")
add("other-quotes", "two different quotes are no pair", ours, f"'{live}\"", "foreign")
add("cut-off", "the last character is missing", ours, live[:-1], "wrong_length", "B12")
add("cut-in-half", "the first line of a wrapped mail", ours, live[:40], "wrong_length", "B12")
add("only-head", "only what is shown in lists", ours, made.record(live)["key_prefix"], "wrong_length")
add("id-alone", "only the public part", ours, live[: live.rindex("_")], "wrong_length")
add("prefix-alone", "the prefix and its separator", ours, "acme_", "wrong_length")
add("one-too-many", "something was joined to it", ours, live + "x", "wrong_length", "B12")
add("twice", "pasted twice", ours, live + live, "wrong_length")
add("opaque-cut-off", "an opaque key lost a digit", opaque, first[:-1], "wrong_length")
add("opaque-longer", "an opaque key gained one", opaque, first + "0", "wrong_length")
add("mebibyte-of-ours", "a long text that begins like ours", ours, ("acme_", 200_000), "wrong_length", "B6")
add("dash", "an editor made a long dash of a separator", ours, live.replace("_1", "\u20141"), "wrong_character")
add("secret-dash", "a dash in a key of the right length: what it names is still reported", ours, live[:-9] + "-" + live[-8:], "wrong_character")
add("secret-high-byte", "a byte that no text has, in the same way", ours, live[:-9].encode() + b"\xff" + live[-8:].encode(), "wrong_character", "B5")
add("secret-separator", "a separator in the secret", ours, live[:-9] + "_" + live[-8:], "wrong_character")
add("secret-bare", "in a key without an environment", ours, bare[:-9] + "*" + bare[-8:], "wrong_character")
add("id-dash", "a dash in the id, which is then invalid", ours, live.replace("_1", "_-"), "wrong_character")
add("id-version", "a version that this release does not know", ours, made.seal(made.covered().replace("_1", "_2")), "wrong_character")
add("ellipsis", "shortened for showing", ours, live[:14] + "...", "wrong_character")
add("ellipsis-character", "shortened with a single character", ours, live[:14] + "\u2026", "wrong_character")
add("asterisks", "masked for showing", ours, live[:14] + "*" * 20, "wrong_character")
add("inner-space", "a line was broken", ours, live[:40] + " " + live[40:], "wrong_character")
add("inner-line-feed", "a line was broken", ours, live[:40] + "\n" + live[40:], "wrong_character")
add("high-byte", "bytes that are not text", ours, live.encode() + b"\xff", "wrong_character", "B5")
add("query", "a whole query came along", ours, live + "&page=2", "wrong_character", "B15")
add("other-service", "a token of another service", ours, "ghp_0123456789abcdefghijklmnopqrstuvwxyz", "foreign")
add("other-prefix", "a key of the same kind from elsewhere", ours, made.key("acma"), "foreign")
add("upper-case-prefix", "a prefix has a case", ours, live.replace("acme", "ACME"), "foreign")
add("prefix-without-separator", "a word that begins alike", ours, "acmelive", "foreign")
add("opaque-under-structured", "the other format", ours, first, "foreign")
add("structured-under-opaque", "the other format", opaque, live, "foreign")
add("any-cut-off", "if any prefix will do, none is known to be this service's", ANY, live[:-1], "foreign")
add("prose", "a sentence, not a key", ours, "my key is secret", "foreign")
add("variable", "a variable that the shell did not fill in", ours, "$API_KEY", "foreign")
add("json-web-token", "a token of another kind", ours, "eyJhbGciOiJIUzI1NiJ9.e30.x", "foreign")
add("mebibyte", "a long text that is not a key of this format", ours, ("a", 1_000_000), "foreign", "B6")
add("digest", "the digest of a key is not a key", opaque, made.record(first)["digest"], "foreign", "D9")
add("empty", "nothing at all", ours, "", "empty", "B1")
add("spaces", "only white space", ours, "   ", "empty", "B1")
add("line-feed-alone", "an empty file", ours, "\n", "empty", "B1")
add("quotes-alone", "an empty pair of quotes", ours, '""', "empty", "B1")
add("bearer-quotes-alone", "a scheme and nothing in the quotes", ours, 'Bearer ""', "empty", "B1")
add("one-quote-alone", "a single quote is not a pair", ours, '"', "foreign")
add("bearer-alone", "a scheme without its space is a word", ours, "Bearer", "foreign", "B1")
