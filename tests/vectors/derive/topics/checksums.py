"""Checks of structured keys: the last six characters."""

import itertools

import made
from reference import spelling
from topic import Topic

CHECKSUMS = Topic(
    "checksums.json",
    "A structured key up to its check, a checksum key or null, and the check: as a number, and as six base62 digits.",
)
TOPICS = [CHECKSUMS]


def add(short, why, text, checksum_key_hex=None, attack=None):
    value = spelling.check_value(text.encode(), checksum_key_hex)
    expected = {"value": value, "check": spelling.check(text.encode(), checksum_key_hex)}
    CHECKSUMS.add(f"checksum-{short}", why, expected, attack, covered=text, checksum_key_hex=checksum_key_hex)


def search(wanted, checksum_key_hex=None):
    """The first key, by counting labels, whose check has a property."""
    for count in itertools.count():
        text = made.covered(label=f"search {count}")
        if wanted(spelling.check_value(text.encode(), checksum_key_hex)):
            return text


KEYED = made.secret_hex("checksum")
RARE = made.secret_hex("rare")

for short, why, arguments in [
    ("plain", "CRC-32 as a secret scanner works it out", {}),
    ("bare", "without an environment", {"environment": None}),
    ("shortest", "the shortest key there is", {"prefix": "k", "environment": None}),
    ("longest", "the longest key there is", {"prefix": "abcdefghijklmnop", "environment": "staging00042"}),
    ("environment-counts", "the environment is covered: another one, another check", {"environment": "test"}),
    ("prefix-counts", "the prefix is covered", {"prefix": "acmf"}),
    ("id-and-secret-count", "so are id and secret", {"label": "second"}),
    ("inner-separator", "and an inner separator", {"prefix": "acme_eu"}),
]:
    add(short, why, made.covered(**arguments), attack="N1" if short == "plain" else None)
    add(f"{short}-keyed", "the same text under a checksum key", made.covered(**arguments), KEYED)

base = 62
add("one-leading-zero", "a small number keeps its leading zero", search(lambda value: base**4 <= value < base**5))
add("two-leading-zeros", "and two of them", search(lambda value: base**3 <= value < base**4))
add("three-leading-zeros", "and three of them", search(lambda value: base**2 <= value < base**3))
add("highest-bit", "the sign bit of a 32-bit number is a bit like others", search(lambda value: value >= 2**31))
add("near-the-end", "close to the largest CRC, which is 4gfFC3", search(lambda value: value >= 2**32 - 2**22))
add("ends-in-zero", "a last digit of 0", search(lambda value: value % base == 0))
add("ends-in-last", "a last digit of z", search(lambda value: value % base == 61))
add("keyed-wider", "35 bits do not fit in 32", search(lambda value: value >= 2**34, RARE), RARE)
add("keyed-narrow", "35 bits with leading zeros", search(lambda value: value < 2**27, RARE), RARE)
add("keyed-two-leading-zeros", "digits with leading zeros", search(lambda value: value < base**4, RARE), RARE)
add("keyed-odd", "the last bit is the 35th, not the 32nd", search(lambda value: value % 2 == 1, RARE), RARE)
text = made.covered()
for count, why in [
    (16, "the shortest checksum key"),
    (31, "an odd length"),
    (32, "as long as the hash"),
    (63, "one less than the block"),
    (64, "as long as the block: used as it is"),
    (65, "one more than the block: hashed first"),
    (200, "a long checksum key"),
]:
    add(f"key-of-{count}", why, text, made.secret_hex(f"checksum of {count}", count))
add("key-of-zeros", "a key of zeros is a key", text, "00" * 16)
add("key-padded-with-zeros", "HMAC pads with zeros: the same check as with sixteen", text, "00" * 17)
