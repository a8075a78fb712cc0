"""Short names: prefixes, environments, template names, key ids."""

from reference import spelling
from topic import Topic, claim

LABELS = Topic(
    "labels.json",
    "Short names that become part of a key's text or of a record, and whether each is legal.",
)
TOPICS = [LABELS]

# name, why, kind, text, legal
TABLE = [
    ("one-letter", "the shortest prefix", "prefix", "k", True),
    ("sixteen", "the longest prefix", "prefix", "abcdefghijklmnop", True),
    ("seventeen", "one more than the longest", "prefix", "abcdefghijklmnopq", False),
    ("empty", "a key without a prefix could not be distinguished from others", "prefix", "", False),
    ("inner-separator", "an inner _ is allowed", "prefix", "acme_eu", True),
    ("two-inner-separators", "two of them side by side are inner ones too", "prefix", "a__b", True),
    ("trailing-separator", "a _ at the end would read as an empty environment", "prefix", "acme_", False),
    ("leading-separator", "a prefix begins with a letter", "prefix", "_acme", False),
    ("only-separator", "a separator is no name", "prefix", "_", False),
    ("leading-digit", "a prefix begins with a letter", "prefix", "1acme", False),
    ("trailing-digit", "digits may follow the letter", "prefix", "acme2", True),
    ("upper-case", "upper case is not folded", "prefix", "Acme", False),
    ("inner-upper-case", "upper case is not folded inside either", "prefix", "acMe", False),
    ("dash", "a double click would select half of the key", "prefix", "ac-me", False),
    ("dot", "not in the alphabet", "prefix", "ac.me", False),
    ("space", "not in the alphabet", "prefix", "ac me", False),
    ("trailing-line-feed", "a pattern that ends in $ would let it pass", "prefix", "acme\n", False),
    ("leading-nul", "a C string would end here", "prefix", "\u0000acme", False),
    ("non-ascii", "letters are ASCII", "prefix", "acm\u00e9", False),
    ("non-ascii-digit", "digits are ASCII", "prefix", "acme\u0661", False),
    ("kelvin-sign", "it lower-cases to k in Unicode, which is not asked", "prefix", "\u212aey", False),
    ("article", "the article's own", "prefix", "dt", True),
    ("usual", "the usual one", "environment", "live", True),
    ("one-character", "the shortest environment", "environment", "l", True),
    ("one-digit", "an environment may begin with a digit", "environment", "1", True),
    ("twelve", "the longest environment", "environment", "production01", True),
    ("thirteen", "one more than the longest", "environment", "production012", False),
    ("empty", "no environment is a value of its own, not an empty name", "environment", "", False),
    ("separator", "the separator would shift the fields", "environment", "li_ve", False),
    ("upper-case", "upper case is not folded", "environment", "Live", False),
    ("dash", "not in the alphabet", "environment", "eu-1", False),
    ("space", "white space is not cut off", "environment", "live ", False),
    ("trailing-line-feed", "a pattern that ends in $ would let it pass", "environment", "live\n", False),
    ("non-ascii", "letters are ASCII", "environment", "l\u00edve", False),
    ("preset", "the article's first template", "template_name", "monitoring", True),
    ("one-letter", "the shortest template name", "template_name", "m", True),
    ("dash-and-separator", "both may stand inside", "template_name", "read-only_v2", True),
    ("trailing-dash", "and at the end", "template_name", "read-", True),
    ("thirty-two", "the longest template name", "template_name", "a" * 32, True),
    ("thirty-three", "one more than the longest", "template_name", "a" * 33, False),
    ("empty", "a template has a name", "template_name", "", False),
    ("leading-digit", "it begins with a letter", "template_name", "2fa", False),
    ("leading-dash", "it begins with a letter", "template_name", "-x", False),
    ("upper-case", "upper case is not folded", "template_name", "Admin", False),
    ("colon", "the separator of permissions", "template_name", "a:b", False),
    ("usual", "version 1 and fifteen characters", "key_id", "1AbCdEfGhIjKlMnO", True),
    ("all-zero", "any character of the alphabet", "key_id", "1000000000000000", True),
    ("all-last", "the last character of the alphabet", "key_id", "1zzzzzzzzzzzzzzz", True),
    ("version-two", "a version that this release does not know", "key_id", "2AbCdEfGhIjKlMnO", False),
    ("version-zero", "nor was there one before", "key_id", "0AbCdEfGhIjKlMnO", False),
    ("letter-first", "the first character is the version", "key_id", "aAbCdEfGhIjKlMnO", False),
    ("fifteen", "one character too few", "key_id", "1AbCdEfGhIjKlMn", False),
    ("seventeen", "one character too many", "key_id", "1AbCdEfGhIjKlMnOp", False),
    ("empty", "an id is not empty", "key_id", "", False),
    ("separator", "the alphabet has no separator", "key_id", "1AbCdEfGhIjKlMn_", False),
    ("base64-plus", "base64 is another alphabet", "key_id", "1AbCdEfGhIjKlMn+", False),
    ("line-feed", "a pattern that ends in $ would let it pass", "key_id", "1AbCdEfGhIjKlMn\n", False),
    ("sql", "an id reaches a store only when it is one", "key_id", "1' OR '1'='1' --", False),
    ("digits-elsewhere", "digits are ASCII", "key_id", "1\u0661\u0661\u0661\u0661\u0661\u0661\u0661a", False),
]
ATTACKS = {"key_id-sql": "B7", "key_id-line-feed": "B8", "key_id-letter-first": "B8"}

for short, why, kind, text, legal in TABLE:
    name = f"label-{kind.replace('_', '-')}-{short}"
    expected = {"legal": claim(name, legal, spelling.is_label(kind, text))}
    LABELS.add(name, why, expected, ATTACKS.get(f"{kind}-{short}"), kind=kind, text=text)
