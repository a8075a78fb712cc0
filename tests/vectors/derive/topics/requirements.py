"""Requirements: how they are spelled, when they are met, and what is missing."""

import itertools

from reference import granting
from topic import Topic, claim

REQUIREMENTS = Topic(
    "requirements.json",
    "What a route requires, what the key was granted, whether that satisfies it and what is missing; "
    "or the kind of error if the requirement is malformed.",
)
TOPICS = [REQUIREMENTS]


def add(short, why, requirement, granted, missing, attack=None):
    """`missing` is a list, or "error"."""
    name = f"requirement-{short}"
    try:
        tree = granting.parse(requirement)
        computed = granting.missing(tree, granted)
        if (computed == []) != granting.is_met(tree, granted):
            raise SystemExit(f"{name}: what is missing and what is met disagree")
    except granting.NotAFormula:
        computed = "error"
    claim(name, missing, computed)
    if computed == "error":
        expected = {"met": None, "missing": None, "error": "permission"}
    else:
        expected = {"met": computed == [], "missing": computed, "error": None}
    REQUIREMENTS.add(name, why, expected, attack, requirement=requirement, granted=granted)


add("one", "a single permission", "read", ["read"], [])
add("one-missing", "a refusal names it", "read", ["write"], ["read"])
add("one-nothing-granted", "an empty set meets nothing", "read", [], ["read"], "J5")
add("segments", "segments are matched whole", "invoices:read", ["invoices:*"], [])
add("substring", "a longer word is another", "read", ["read_write"], ["read"], "J6")
add("star", "* meets everything", "a AND b AND (c OR d)", ["*"], [])
add("and", "both are granted", "a AND b", ["a", "b"], [])
add("and-first", "the second is missing", "a AND b", ["a"], ["b"])
add("and-second", "the first is missing", "a AND b", ["b"], ["a"])
add("and-none", "both are missing, in the order of mention", "b AND a", ["c"], ["b", "a"])
add("or-first", "one is enough", "a OR b", ["a"], [])
add("or-second", "either one is enough", "a OR b", ["b"], [])
add("or-none", "either would do: both are named", "a OR b", ["c"], ["a", "b"])
add("three-and", "a chain of three", "a AND b AND c", ["a", "c"], ["b"])
add("three-or", "any one of a chain", "a OR b OR c", ["c"], [])

# AND binds tighter: all sixteen grants of the two formulas that tell it.
for count in range(4):
    for granted in itertools.combinations("abc", count):
        label = "".join(granted) or "nothing"
        has = set(granted)
        met = "a" in has or {"b", "c"} <= has
        lacking = [] if met else ["a"] + [term for term in "bc" if term not in has]
        add(f"binding-or-and-{label}", "AND binds tighter than OR: a OR (b AND c)", "a OR b AND c", list(granted), lacking)
        met = {"a", "b"} <= has or "c" in has
        lacking = [] if met else [term for term in "ab" if term not in has] + ["c"]
        add(f"binding-and-or-{label}", "AND binds tighter than OR: (a AND b) OR c", "a AND b OR c", list(granted), lacking)
        met = "c" in has and ("a" in has or "b" in has)
        either = [] if "a" in has or "b" in has else ["a", "b"]
        lacking = either + ([] if "c" in has else ["c"])
        add(f"binding-brackets-{label}", "parentheses bind tighter still", "(a OR b) AND c", list(granted), lacking)

add("met-part-is-left-out", "of what is met, nothing is missing", "(a OR b) AND c", ["a"], ["c"])
add("two-alternatives", "what either alternative lacks", "(a AND b) OR (c AND d)", ["a", "d"], ["b", "c"])
add("named-once", "a permission is named once", "a AND b AND a", [], ["a", "b"])
add("named-once-across", "also across parts", "(a OR b) AND (b OR c)", [], ["a", "b", "c"])
add("wildcard-grant", "a wildcard meets each term by itself", "org:1:read AND org:2:read", ["org:*:read"], [])
add("wildcard-grant-part", "and only its own", "org:1:read AND org:2:write", ["org:*:read"], ["org:2:write"])
add("brackets-one", "parentheses around one", "(a)", ["a"], [])
add("brackets-three", "and around those", "(((a)))", [], ["a"])
add("brackets-nested", "inner ones first", "a AND (b OR (c AND d))", ["a", "c", "d"], [])
add("brackets-nested-missing", "and their terms are named", "a AND (b OR (c AND d))", ["a", "c"], ["b", "d"])
add("no-spaces-at-brackets", "a parenthesis is a word by itself", "(a OR b)AND(c)", ["b", "c"], [])
add("many-spaces", "more than one space is one", "  a   AND  b ", ["a", "b"], [])
add("keyword-in-segment", "a keyword is one only as a whole word", "a:AND OR ORDER", ["ORDER"], [])
add("keyword-like", "ANDROID is no keyword", "ANDROID", ["ANDROID"], [])
add("keyword-prefix", "nor is a word that ends in one", "BRAND AND b", ["BRAND"], ["b"])
add("digits-and-dots", "all of the alphabet", "v2.1:read-only AND x_y", ["v2.1:read-only", "x_y"], [])
add("deep", "parentheses of a depth that would overflow a careless stack", "(" * 400 + "a" + ")" * 400, ["a"], [])
add("hundred", "100 terms, the most", " AND ".join(["a"] * 99 + ["z"]), ["a"], ["z"])
add("hundred-last-bit", "every term can be the one that is missing", " OR ".join(f"t{n}" for n in range(100)), ["t99"], [])
add("hundred-all-missing", "and all of them can", " OR ".join(f"t{n}" for n in range(100)), [],
    [f"t{n}" for n in range(100)])
add("thousand-bytes", "1,000 bytes, the longest", " " * 999 + "a", ["a"], [])
add("long-term", "a term of 128 bytes", "a" * 128, ["a" * 128], [])

ILLEGAL = [
    ("empty", "nothing asks for nothing, and is no requirement", "", "J5"),
    ("spaces", "nor are spaces", "   ", None),
    ("lower-case-and", "keywords are upper case: this is three words", "read and write", "J6"),
    ("lower-case-or", "keywords are upper case", "read or write", None),
    ("mixed-case", "keywords are upper case", "read And write", None),
    ("two-words", "two words need a keyword", "read write", None),
    ("comma", "a comma is no keyword", "read,write", None),
    ("ampersands", "signs are no keywords", "read && write", None),
    ("pipes", "signs are no keywords", "read || write", None),
    ("not", "there is no NOT: it would grant by lacking", "NOT read", None),
    ("wildcard", "a route asks for something, not for a pattern", "invoices:*", None),
    ("wildcard-alone", "nor for everything", "*", None),
    ("keyword-alone", "a keyword joins two", "AND", None),
    ("keyword-first", "a keyword joins two", "AND read", None),
    ("keyword-last", "a keyword joins two", "read OR", None),
    ("two-keywords", "a keyword joins two", "a AND OR b", None),
    ("same-keyword-twice", "a keyword joins two", "a AND AND b", None),
    ("empty-brackets", "parentheses hold something", "()", None),
    ("brackets-behind", "two requirements without a keyword", "a (b)", None),
    ("brackets-before", "two requirements without a keyword", "(a) b", None),
    ("brackets-side-by-side", "two requirements without a keyword", "(a)(b)", None),
    ("not-closed", "a parenthesis that is not closed", "(a AND b", None),
    ("not-opened", "a parenthesis that was not opened", "a AND b)", None),
    ("closed-twice", "one parenthesis too many", "(a))", None),
    ("closed-first", "the wrong way round", ")a(", None),
    ("square-brackets", "only round ones", "[a]", None),
    ("tab", "only spaces separate words", "a\tAND\tb", None),
    ("line-feed", "only spaces separate words", "a AND\nb", None),
    ("nul", "a C string would end here", "a\u0000 OR b", None),
    ("non-breaking-space", "a space of another kind", "a\u00a0AND b", None),
    ("non-ascii", "letters are ASCII", "l\u00e9re", None),
    ("empty-segment", "a term is a permission", "invoices::read", None),
    ("trailing-colon", "a term is a permission", "invoices: AND b", None),
    ("long-term", "a term of 129 bytes", "a" * 129, None),
    ("hundred-and-one", "101 terms, one more than the most", " OR ".join(["a"] * 101), None),
    ("thousand-and-one-bytes", "1,001 bytes, one more than the longest", " " * 1000 + "a", None),
    ("very-deep", "parentheses past the limit on bytes", "(" * 600 + "a" + ")" * 600, None),
    ("only-open", "only parentheses", "(" * 1000, None),
]
for short, why, requirement, attack in ILLEGAL:
    add(f"illegal-{short}", why, requirement, ["read", "a", "b"], "error", attack)
