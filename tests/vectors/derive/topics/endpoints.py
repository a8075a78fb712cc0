"""Endpoint rules: how they are spelled, and which requests they match."""

from reference import routing
from topic import Topic, claim

ENDPOINTS = Topic(
    "endpoints.json",
    "A list of endpoint rules, a method and a path, and whether the list allows them; "
    "or the kind of error if a rule is malformed.",
)
NEVER = Topic(
    "never_matching.json",
    "A list of endpoint rules, and those of them that hardly any request matches, each with the reason.",
)
TOPICS = [ENDPOINTS, NEVER]


def add(short, why, rules, method, path, outcome, attack=None):
    """The outcome is True, False or "error"."""
    name = f"endpoint-{short}"
    legal = routing.are_rules(rules)
    computed = routing.allow(rules, method, path) if legal else "error"
    claim(name, outcome, computed)
    expected = {"allowed": computed, "error": None} if legal else {"allowed": None, "error": "endpoint"}
    ENDPOINTS.add(name, why, expected, attack, rules=rules, method=method, path=path)


DATA = ["/api/data/*"]
ALL = ["/*"]

# Literal rules.
add("literal", "byte for byte", ["/api/data"], "GET", "/api/data", True)
add("literal-other", "another path", ["/api/data"], "GET", "/api/date", False)
add("literal-below", "a literal rule has nothing below it", ["/api/data"], "GET", "/api/data/7", False, "A28")
add("literal-above", "a literal rule has nothing above it", ["/api/data"], "GET", "/api", False)
add("literal-trailing-slash", "a slash at the end is a segment more", ["/api/data"], "GET", "/api/data/", False, "A25")
add("literal-own-trailing-slash", "a rule may end in a slash", ["/api/data/"], "GET", "/api/data/", True)
add("literal-lost-trailing-slash", "which then must be sent", ["/api/data/"], "GET", "/api/data", False, "A25")
add("root", "only the root", ["/"], "GET", "/", True)
add("root-below", "and nothing below it", ["/"], "GET", "/x", False)
add("case", "case is not folded", ["/admin/secret"], "GET", "/ADMIN/Secret", False, "A25")
add("case-of-rule", "in either direction", ["/ADMIN"], "GET", "/admin", False, "A25")
add("number", "segments are bytes: 01 is not 1", ["/users/1"], "GET", "/users/01", False, "A16")
add("number-suffix", "segments are bytes: nor is 1.0", ["/users/1"], "GET", "/users/1.0", False, "A16")
add("dot-is-literal", "a dot is a dot", ["/a.b"], "GET", "/axb", False, "A24")
add("dot-own", "a dot matches itself", ["/a.b"], "GET", "/a.b", True)
add("plus-is-literal", "a plus is a plus", ["/a+"], "GET", "/aa", False, "A24")
add("plus-own", "a plus matches itself", ["/a+"], "GET", "/a+", True)
add("brackets-are-literal", "parentheses group nothing", ["/(a)"], "GET", "/a", False, "A24")
add("dollar-is-literal", "a dollar ends nothing", ["/a$"], "GET", "/a", False, "A24")
add("unanchored", "a rule is not looked for inside a path", ["/data"], "GET", "/api/data", False, "A24")
add("unanchored-end", "nor at its beginning", ["/api"], "GET", "/api/data", False, "A24")
add("sub-delimiters", "all that RFC 3986 allows but ; and *", ["/-._~!$&'()+,=:@"], "GET", "/-._~!$&'()+,=:@", True)
add("dots-of-three", "three dots are a name", ["/..."], "GET", "/...", True)
add("dot-file", "a name may begin with a dot", ["/.well-known/x"], "GET", "/.well-known/x", True)
add("escaped-letter", "a letter must not be escaped, so this path is not canonical", ["/a"], "GET", "/%61", False, "A5")

# * at the end.
add("rest-one", "one segment below", DATA, "GET", "/api/data/x", True)
add("rest-two", "two segments below", DATA, "GET", "/api/data/x/y", True)
add("rest-empty", "the empty remainder after the slash too", DATA, "GET", "/api/data/", True)
add("rest-trailing-slash", "a slash at the end is part of the remainder", DATA, "GET", "/api/data/x/", True)
add("rest-none", "the slash belongs to the rule", DATA, "GET", "/api/data", False)
add("rest-boundary", "a segment is whole", DATA, "GET", "/api/database", False, "A15")
add("rest-boundary-below", "a segment is whole", DATA, "GET", "/api/database/x", False, "A15")
add("rest-boundary-dots", "dots after a name make another name", ["/api/*"], "GET", "/api../admin", False, "A6")
add("rest-boundary-hidden", "as for a dashboard's rule", ["/dashboard/*"], "GET", "/dashboard..", False, "A15")
add("rest-boundary-pki", "/pki is not /pkix", ["/pki/*"], "GET", "/pkix/crl", False, "A15")
add("rest-sibling", "a sibling route is not below", ["/repos/issues/*"], "GET", "/repos/issues.rss", False, "A28")
add("rest-sibling-archive", "nor is a sibling of another name", ["/repos/*/issues"], "GET", "/repos/x/archive", False, "A28")
add("rest-escapes", "escapes that are data stay as they were sent", DATA, "GET", "/api/data/caf%C3%A9", True, "A22")
add("rest-star", "a star that was sent is a byte", DATA, "GET", "/api/data/*", True)
add("rest-dots", "an escaped dot segment is refused before any rule", DATA, "GET", "/api/data/%2e%2e", False, "A26")
add("rest-escaped-slash", "an escaped slash is refused before any rule", DATA, "GET", "/api/data/..%2fx", False, "A26")
add("all", "/* is everything below the root", ALL, "GET", "/x", True)
add("all-root", "and the root", ALL, "GET", "/", True)
add("all-deep", "at any depth", ALL, "DELETE", "/a/b/c/d/e", True)
add("all-every-method", "with every method", ALL, "PROPFIND", "/x", True)
add("all-not-dots", "but no path that is not canonical", ALL, "GET", "/x/../y", False, "A1")
add("all-not-double-slash", "whatever the rules are", ALL, "GET", "//x", False, "A17")
add("all-not-relative", "a path begins with a slash", ALL, "GET", "x", False, "A11")
add("all-not-empty", "and is not empty", ALL, "GET", "", False, "A11")
add("all-not-star-form", "nor OPTIONS' star", ALL, "OPTIONS", "*", False, "A11")
add("all-not-absolute-form", "nor a whole URL", ALL, "GET", "http://host/x", False, "A13")
add("all-not-authority-form", "nor CONNECT's authority", ALL, "CONNECT", "host:443", False, "A13")
add("all-not-query", "the query is not part of the path", ALL, "GET", "/x?y=1", False, "B15")
add("all-not-fragment", "nor is a fragment", ALL, "GET", "/public#/../admin", False, "A8")
add("all-not-matrix", "parameters in a segment are refused", ALL, "GET", "/a;x=1/b", False, "A21")
add("all-not-backslash", "a backslash is refused", ALL, "GET", "/a\\b", False, "A14")
add("all-not-space", "a raw space is refused", ALL, "GET", "/a b", False, "A22")
add("all-not-line-feed", "and a line feed", ALL, "GET", "/a\nb", False, "A22")
add("all-not-escaped-line-feed", "written or escaped", ALL, "GET", "/a%0Ab", False, "A22")
add("all-not-non-ascii", "bytes beyond ASCII are sent escaped", ALL, "GET", "/caf\u00e9", False)

# * in the middle.
USER = ["/users/*/name"]
add("one", "* in the middle is one segment", USER, "GET", "/users/7/name", True)
add("one-any", "whatever it is", USER, "GET", "/users/a.b~c/name", True)
add("one-two", "* in the middle is not two segments", USER, "GET", "/users/7/8/name", False)
add("one-none", "* in the middle is not no segment", USER, "GET", "/users/name", False)
add("one-empty", "nor an empty one", USER, "GET", "/users//name", False, "A17")
add("one-dots", "nor one of dots", USER, "GET", "/users/../name", False, "A1")
add("one-tail", "what follows must match", USER, "GET", "/users/7/email", False)
add("one-prefix", "and be whole", USER, "GET", "/users/7/named", False, "A15")
add("one-trailing-slash", "and be the end", USER, "GET", "/users/7/name/", False, "A25")
add("one-escapes", "an escape that is data is part of the segment", USER, "GET", "/users/a%20b/name", True)
add("one-escaped-slash", "an escaped slash makes no longer segment", USER, "GET", "/users/7%2F8/name", False, "A2")
add("one-star", "a star that was sent is a byte", USER, "GET", "/users/*/name", True)
add("one-no-backtracking", "it does not stretch", ["/a/*/c"], "GET", "/a/c/c/c", False)
add("one-then-slash", "one segment and a slash", ["/a/*/"], "GET", "/a/x/", True)
add("one-then-slash-missing", "the slash must be sent", ["/a/*/"], "GET", "/a/x", False)
add("one-then-slash-empty", "the segment is not empty", ["/a/*/"], "GET", "/a//", False, "A17")
add("first", "* may be the first segment", ["/*/status"], "GET", "/eu/status", True)
add("first-none", "which must be there", ["/*/status"], "GET", "/status", False)
add("two", "two single stars", ["/*/x/*/y"], "GET", "/a/x/b/y", True)
add("two-in-a-row", "two in a row are two segments", ["/a/*/*/d"], "GET", "/a/b/c/d", True)
add("two-in-a-row-one", "two in a row are not one segment", ["/a/*/*/d"], "GET", "/a/b/d", False)
add("one-and-rest", "one segment and a remainder", ["/users/*/files/*"], "GET", "/users/7/files/a/b", True)
add("one-and-rest-empty", "which may be empty", ["/users/*/files/*"], "GET", "/users/7/files/", True)
add("one-and-rest-none", "but for its slash", ["/users/*/files/*"], "GET", "/users/7/files", False)
add("one-and-rest-other", "another name in the middle", ["/users/*/files/*"], "GET", "/users/7/folders/a", False)
add("one-then-rest", "one segment, then a remainder", ["/*/*"], "GET", "/a/", True)
add("one-then-rest-short", "two segments at least", ["/*/*"], "GET", "/a", False)
add("one-then-rest-empty-first", "the first is not empty", ["/*/*"], "GET", "//a", False, "A17")

# Methods.
METRICS = ["GET,HEAD /api/metrics/*"]
add("method", "a method of the rule", METRICS, "GET", "/api/metrics/cpu", True)
add("method-second", "any one of them", METRICS, "HEAD", "/api/metrics/cpu", True)
add("method-other", "a method that the rule lacks", METRICS, "POST", "/api/metrics/cpu", False, "A31")
add("method-unknown", "least of all an unknown one", METRICS, "BREW", "/api/metrics/cpu", False, "A31")
add("method-lower", "a method has a case", METRICS, "get", "/api/metrics/cpu", False, "A31")
add("method-padded", "white space is not cut off", METRICS, "GET ", "/api/metrics/cpu", False, "A31")
add("method-joined", "a list is not its text", METRICS, "GET,HEAD", "/api/metrics/cpu", False, "A31")
add("method-empty", "no method is no method", METRICS, "", "/api/metrics/cpu", False, "A31")
add("method-prefix", "a beginning of a method", METRICS, "GE", "/api/metrics/cpu", False, "A31")
add("method-longer", "a longer one", METRICS, "GETS", "/api/metrics/cpu", False, "A31")
add("method-head-is-not-get", "GET does not bring HEAD along", ["GET /x"], "HEAD", "/x", False, "A31")
add("method-bulk-route", "a rule for reading does not cover the bulk route", ["GET /items/*"], "POST", "/items/bulk", False, "A31")
add("method-path-counts", "the right method and another path", METRICS, "GET", "/api/data/cpu", False)
add("method-any", "without methods, all are meant", ["/x"], "PATCH", "/x", True, "A31")
add("method-any-lower", "also unknown ones", ["/x"], "brew", "/x", True)
add("method-with-dash", "a token may have a dash", ["M-SEARCH /x"], "M-SEARCH", "/x", True)
add("method-with-digit", "a token may have a digit", ["V2 /x"], "V2", "/x", True)
add("method-twice", "a method twice is one method", ["GET,GET /x"], "GET", "/x", True)
add("method-of-other-rule", "a method and a path of two rules", ["GET /a", "POST /b"], "POST", "/a", False, "A31")
add("method-of-own-rule", "each path its own methods", ["GET /a", "POST /b"], "POST", "/b", True)
add("method-widened", "one rule for all, another for GET", ["GET /a", "/a"], "POST", "/a", True)

# Lists.
add("list-empty", "an empty list allows nothing", [], "GET", "/", False, "J5")
add("list-second", "any one of the list", ["/a", "/b"], "GET", "/b", True)
add("list-none", "a route that no rule names is refused", ["/a", "/b"], "GET", "/c", False, "A28")
add("list-twice", "what the list contains twice is kept once", ["/a", "/a"], "GET", "/a", True)
add("list-sixty-four", "64 rules, the most", [f"/r{n}" for n in range(64)], "GET", "/r63", True)
add("longest", "512 bytes, the longest", ["/" + "a" * 511], "GET", "/" + "a" * 511, True)
add("longest-with-method", "the methods count", ["GET /" + "a" * 507], "GET", "/" + "a" * 507, True)

ILLEGAL = [
    ("partial-star", "* is a whole segment", "/api/data*", "A15"),
    ("star-prefix", "* is a whole segment", "/*.json", "A15"),
    ("star-inside", "* is a whole segment", "/a*b/c", None),
    ("double-star", "** is no wildcard", "/api/**", "A23"),
    ("star-alone", "a rule must start with a slash, or it would never match", "*", "A23"),
    ("double-star-alone", "a rule must start with a slash", "**", "A23"),
    ("no-slash", "a rule must start with a slash", "api/data", "A23"),
    ("method-no-slash", "also after methods", "GET api/data", "A23"),
    ("empty", "an empty rule", "", "J5"),
    ("space", "only a space", " ", None),
    ("method-alone", "methods without a path", "GET", None),
    ("method-and-space", "methods without a path", "GET ", None),
    ("leading-space", "an empty list of methods", " /x", None),
    ("trailing-space", "white space is not cut off", "/x ", None),
    ("two-spaces", "there is one space after the methods", "GET  /x", None),
    ("tab", "a space, not a tab", "GET\t/x", None),
    ("space-in-methods", "methods are joined only by commas", "GET, HEAD /x", None),
    ("lower-case-method", "a rule that would never match", "get /x", "A31"),
    ("mixed-case-method", "a rule that would never match", "Get /x", "A31"),
    ("star-method", "there is no wildcard for methods: leave them out", "* /x", "A31"),
    ("empty-method", "an empty method", "GET,,HEAD /x", None),
    ("leading-comma", "an empty method", ",GET /x", None),
    ("trailing-comma", "an empty method", "GET, /x", None),
    ("long-method", "33 characters", "A" * 33 + " /x", None),
    ("pipe-methods", "joined by commas", "GET|POST /x", None),
    ("dot-segment", "no canonical path has one", "/a/./b", "A1"),
    ("dot-dot-segment", "no canonical path has one", "/a/../b", "A1"),
    ("dot-last", "no canonical path has one", "/a/.", "A1"),
    ("dot-dot-last", "no canonical path has one", "/a/..", "A1"),
    ("empty-segment", "no canonical path has one", "/a//b", "A17"),
    ("double-slash", "no canonical path has one", "//", "A4"),
    ("leading-double-slash", "it might be read as a host", "//internal/x", "A4"),
    ("host", "a rule names no host", "example.com/x", "A13"),
    ("url", "a rule is no URL", "https://example.com/x", "A13"),
    ("escape", "a rule is written plainly", "/a%20b", "A7"),
    ("escaped-slash", "a rule is written plainly", "/a%2Fb", "A2"),
    ("query", "a rule has no query", "/a?b=1", "B15"),
    ("fragment", "nor a fragment", "/a#b", "A8"),
    ("matrix", "nor parameters in a segment", "/a;b=1", "A21"),
    ("backslash", "nor a backslash", "/a\\b", "A14"),
    ("braces", "parameters of another notation", "/users/{id}", "A24"),
    ("square-brackets", "sets of another notation", "/[ab]", "A24"),
    ("caret", "anchors of another notation", "^/a", "A24"),
    ("pipe", "alternatives of another notation", "/a|/b", "A24"),
    ("quote", "not in the alphabet of paths", '/a"b', None),
    ("angle", "not in the alphabet of paths", "/a<b", None),
    ("non-ascii", "a rule is ASCII", "/caf\u00e9", None),
    ("line-feed", "it would split the list", "/a\n/b", "A22"),
    ("trailing-line-feed", "a pattern that ends in $ would let it pass", "/a\n", "A22"),
    ("nul", "a C string would end here", "/a\u0000", "A22"),
    ("delete", "the last control of ASCII", "/a\u007f", "A22"),
    ("too-long", "513 bytes, one more than the longest", "/" + "a" * 512, None),
    ("too-long-with-method", "the methods count", "GET /" + "a" * 508, None),
]
for short, why, rule, attack in ILLEGAL:
    add(f"illegal-{short}", why, [rule], "GET", "/a", "error", attack)
add("illegal-second-wrong", "one wrong rule spoils the list", ["/a", "b"], "GET", "/a", "error", "A23")
add("illegal-sixty-five", "65 rules, one more than the most", [f"/r{n}" for n in range(65)], "GET", "/r0", "error", "J12")
add("illegal-sixty-five-same", "repetitions count: a list is limited before it is read", ["/a"] * 65, "GET", "/a", "error", "J12")


def warn(short, why, *rules):
    """Each rule is a pair: its text, and None or the reason for a warning."""
    name = f"never-{short}"
    found = {rule: routing.never_matches(rule) for rule, _ in rules}
    claim(name, dict(rules), found)
    claim(name, True, routing.are_rules(list(found)))
    expected = {"never_matching": [{"rule": rule, "why": reason} for rule, reason in found.items() if reason]}
    NEVER.add(name, why, expected, rules=list(found))


warn("none", "rules that can match", ("/api/data/7", None), ("GET,HEAD /api/metrics/*", None), ("/*", None))
warn("empty", "an empty list has no rule to warn of")
warn("any", "ANY is a word of routers", ("ANY /api/data", "method"))
warn("all", "so is the word ALL", ("ALL /api/data", "method"))
warn("both-words", "nor do two such words stand for a method", ("ANY,ALL /a", "method"))
warn("any-and-get", "with a method that is sent the rule can match", ("ANY,GET /a", None))
warn("anything", "another method may be sent by someone", ("ANYTHING /a", None))
warn("parameter", "a parameter of a router stands for itself", ("/api/users/:id", "parameter"))
warn("parameter-first", "in any segment", ("/:tenant/users", "parameter"), ("GET /a/:b/c", "parameter"))
warn("parameter-and-rest", "also before a rest", ("/users/:id/*", "parameter"))
warn("colon-inside", "a colon inside a segment is none", ("/a:b", None), ("/v1/keys:rotate", None))
warn("colon-number", "a name begins with a letter", ("/:8080", None), ("/a/:", None))
warn("method-before-parameter", "one reason for each rule: the method first", ("ANY /users/:id", "method"))
warn("several", "in the order of the rules", ("/b/:x", "parameter"), ("GET /a", None), ("ANY /a", "method"))
