"""Permissions: how they are spelled, and what grants what."""

from reference import granting
from topic import Topic, claim

PERMISSIONS = Topic(
    "permissions.json",
    "What a key was granted, a permission that is required, and whether it is granted; "
    "or the kind of error if the grant is malformed.",
)
TOPICS = [PERMISSIONS]


def add(short, why, granted, wanted, outcome, attack=None):
    """The outcome is True, False, or "error"."""
    name = f"permission-{short}"
    legal = granting.is_set(granted)
    computed = granting.grants(granted, wanted) if legal else "error"
    claim(name, outcome, computed)
    expected = {"granted": None, "error": "permission"} if not legal else {"granted": computed, "error": None}
    PERMISSIONS.add(name, why, expected, attack, granted=granted, wanted=wanted)


add("same", "byte for byte", ["read"], "read", True)
add("same-segments", "segment for segment", ["invoices:read"], "invoices:read", True)
add("second-of-set", "any one of the set", ["read", "write"], "write", True)
add("none-of-set", "none of the set", ["read", "write"], "delete", False)
add("empty-set", "an empty set grants nothing", [], "read", False, "J5")
add("empty-set-admin", "least of all everything", [], "admin", False, "J5")
add("admin-is-a-word", "admin is a permission like others", ["admin"], "read", False, "J3")
add("read-does-not-write", "the verb is part of the permission", ["invoices:read"], "invoices:write", False, "J7")
add("write-does-not-read", "nor the other way round", ["invoices:write"], "invoices:read", False, "J7")
add("twice", "what the set contains twice is kept once", ["read", "read"], "read", True)

# J6: every pair of what a substring or a prefix would confuse.
CONFUSABLE = ["read", "read_write", "read:all", "rea", "READ", "reads", "write", "read.", "pre-read", "read:read"]
for wanted in CONFUSABLE[1:]:
    label = wanted.replace(":", "-colon-").replace("_", "-").replace(".", "-dot").lower()
    label = "upper" if wanted == "READ" else label
    add(f"pair-read-{label}", "read grants read and nothing that looks like it", ["read"], wanted, False, "J6")
    add(f"pair-{label}-read", "nor does what looks like it grant read", [wanted], "read", False, "J6")
add("pair-read-space", "white space is no part of a permission", ["read"], "read ", False, "J6")
add("pair-read-empty", "nothing is not a permission", ["read"], "", False, "J6")
add("pair-read-line-feed", "a pattern that ends in $ would let it pass", ["read"], "read\n", False, "J6")
add("pair-read-nul", "a C string would end here", ["read"], "read\u0000", False, "J6")
add("pair-joined", "a list is not its text", ["read", "write"], "read write", False, "J6")
add("pair-joined-comma", "a list is not its text", ["read", "write"], "read,write", False, "J6")

add("star", "a single * grants everything", ["*"], "read", True, "J5")
add("star-deep", "a single * grants any depth", ["*"], "a:b:c:d:e", True)
add("star-beside", "and whatever else the set contains", ["read", "*"], "delete", True)
add("end-one", "* at the end is one segment", ["invoices:*"], "invoices:read", True)
add("end-many", "* at the end is one segment or more", ["invoices:*"], "invoices:eu:2026:read", True)
add("end-none", "* at the end is not no segment", ["invoices:*"], "invoices", False)
add("end-other-segment", "a segment is whole", ["invoices:*"], "invoices_old:read", False, "A15")
add("end-other-head", "another first segment", ["invoices:*"], "orders:read", False)
add("end-case", "case is not folded", ["invoices:*"], "Invoices:read", False)
add("middle-one", "* in the middle is exactly one segment", ["org:*:audit"], "org:7:audit", True)
add("middle-two", "* in the middle is not two segments", ["org:*:audit"], "org:7:8:audit", False)
add("middle-none", "* in the middle is not no segment", ["org:*:audit"], "org:audit", False)
add("middle-tail", "what follows must match", ["org:*:audit"], "org:7:read", False)
add("middle-shorter", "what follows must be there", ["org:*:audit"], "org:7", False)
add("middle-longer", "what follows must be the end", ["org:*:audit"], "org:7:audit:read", False)
add("first-one", "* at the beginning is one segment", ["*:read"], "invoices:read", True)
add("first-two", "a first * is one segment, not two", ["*:read"], "invoices:eu:read", False)
add("first-none", "a first * is one segment, not none", ["*:read"], "read", False)
add("both-stars", "one in the middle, one at the end", ["*:*"], "a:b", True)
add("both-stars-more", "the last one takes the rest", ["*:*"], "a:b:c", True)
add("both-stars-one", "two stars are two segments at least", ["*:*"], "a", False)
add("middle-and-end", "each star its own part", ["org:*:audit:*"], "org:7:audit:read:all", True)
add("middle-and-end-short", "the last star wants a segment", ["org:*:audit:*"], "org:7:audit", False)
add("three-stars", "two segments and a rest", ["*:*:*"], "a:b:c:d", True)
add("two-middle", "two stars in a row in the middle", ["a:*:*:d"], "a:b:c:d", True)
add("two-middle-one", "two stars in the middle are two segments", ["a:*:*:d"], "a:b:d", False)
add("no-backtracking", "a star does not stretch to make the rest fit", ["a:*:c"], "a:c:c:c", False)
add("repeated-segment", "the same word twice", ["a:*:a"], "a:a:a", True)
add("star-of-two-sets", "a single permission must cover it", ["a:*:x", "*:b:y"], "a:b:z", False)

add("dot-is-literal", "a dot is a dot", ["a.b"], "axb", False, "A24")
add("dot-own", "and matches itself", ["a.b"], "a.b", True)
add("digits", "digits are fine", ["v2:read"], "v2:read", True)
add("dash-underscore", "so are dash and underscore", ["read-only_2"], "read-only_2", True)
add("dots-alone", "dots are a word, not a path", ["..:read"], "..:read", True)
add("keyword", "AND is a word in a grant", ["AND"], "AND", True)
add("long", "128 bytes, the longest", ["a" * 128], "a" * 128, True)
add("sixty-four", "64 permissions, the most", [f"p{n}" for n in range(64)], "p63", True)

ILLEGAL = [
    ("partial-star", "* is a whole segment", ["inv*"], "A15"),
    ("star-prefix", "* is a whole segment", ["*voices"], "A15"),
    ("star-inside", "* is a whole segment", ["invoices:re*d"], None),
    ("two-stars", "** is no wildcard", ["**"], None),
    ("star-segment-partial", "* is a whole segment", ["invoices:*x"], None),
    ("question-mark", "there is no other wildcard", ["read?"], "A24"),
    ("brackets", "a permission is no pattern of another kind", ["[a-z]"], "A24"),
    ("empty", "an empty permission", [""], "J5"),
    ("colon", "two empty segments", [":"], None),
    ("leading-colon", "an empty first segment", [":read"], None),
    ("trailing-colon", "an empty last segment", ["read:"], None),
    ("double-colon", "an empty segment in the middle", ["invoices::read"], None),
    ("space", "a space would split the set", ["read write"], "J6"),
    ("leading-space", "white space is not cut off", [" read"], "J6"),
    ("trailing-space", "white space is not cut off", ["read "], "J6"),
    ("comma", "a comma is no separator", ["read,write"], None),
    ("slash", "not in the alphabet", ["invoices/read"], None),
    ("line-feed", "a pattern that ends in $ would let it pass", ["read\n"], None),
    ("nul", "a C string would end here", ["read\u0000"], None),
    ("quote", "a quote would end a text in JSON", ['read"'], "J12"),
    ("backslash", "a backslash would escape in JSON", ["read\\"], "J12"),
    ("non-ascii", "letters are ASCII", ["l\u00e9re"], None),
    ("non-ascii-digit", "digits are ASCII", ["v\u0662"], None),
    ("too-long", "129 bytes, one more than the longest", ["a" * 129], None),
    ("sixty-five", "65 permissions, one more than the most", [f"p{n}" for n in range(65)], "J12"),
    ("sixty-five-same", "repetitions count: a list is limited before it is read", ["read"] * 65, "J12"),
    ("second-wrong", "one wrong permission spoils the set", ["read", "wr*te"], "J4"),
]
for short, why, granted, attack in ILLEGAL:
    add(f"illegal-{short}", why, granted, "read", "error", attack)
