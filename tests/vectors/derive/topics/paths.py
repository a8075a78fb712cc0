"""Request paths: which ones can be matched at all."""

from reference import routing
from topic import Topic, claim, data, repeated

PATHS = Topic(
    "paths.json",
    "Request paths as they were sent, and whether they are canonical; one that is not is refused whatever the rules.",
)
SWEEPS = Topic(
    "path_sweeps.json",
    "A path with a hole, and how the hole is filled with each of the 256 bytes; "
    "the bytes, as hex in ascending order, with which the path is canonical.",
)
TOPICS = [PATHS, SWEEPS]


def add(short, why, path, canonical, attack=None, with_slash=None):
    """`with_slash` is whether a service accepts it for which an encoded slash is data."""
    name = f"path-{short}"
    if isinstance(path, tuple):
        before, text, times = path
        raw, fields = (before + text * times).encode(), repeated(text, times, "path", before)
    else:
        raw, fields = path if isinstance(path, bytes) else path.encode(), data(path, "path")
    claim(name, canonical, routing.is_canonical(raw))
    with_slash = canonical if with_slash is None else with_slash
    claim(name, with_slash, routing.is_canonical(raw, encoded_slash_is_data=True))
    PATHS.add(name, why, {"canonical": canonical, "with_encoded_slash": with_slash}, attack, **fields)


add("root", "the shortest path", "/", True)
add("plain", "two plain segments", "/api/data", True)
add("trailing-slash", "an empty last segment", "/api/data/", True)
add("unreserved", "all that never needs an escape", "/az-AZ_09.~", True)
add("sub-delimiters", "all that RFC 3986 allows in a segment, but ;", "/!$&'()*+,=:@", True)
add("escaped-utf-8", "bytes beyond ASCII, escaped", "/caf%C3%A9", True)
add("escaped-utf-8-lower", "in lower-case hex too: nothing is rewritten", "/caf%c3%a9", True)
add("escaped-space", "a space is data", "/a%20b", True)
add("escaped-overlong", "an over-long spelling of / is not UTF-8", "/a%C0%AFb", False, "A2")
add("escaped-overlong-three", "nor one of three bytes", "/a%E0%80%AFb", False, "A2")
add("escaped-overlong-dot", "nor of a dot", "/a/%C0%AE%C0%AE/b", False, "A1")
add("escaped-lone-surrogate", "nor half of a pair", "/%ED%A0%80", False, "A5")
add("escaped-surrogate-pair", "nor a whole one: that is CESU-8", "/%ED%A0%BD%ED%B8%80", False, "A5")
add("escaped-four-bytes", "a character of four bytes", "/%F0%9F%98%80", True)
add("escaped-last-character", "the last one there is", "/%F4%8F%BF%BF", True)
add("escaped-after-last", "one more than the last", "/%F4%90%80%80", False, "A5")
add("escaped-five-bytes", "five bytes are no character", "/%F8%88%80%80%80", False, "A5")
add("escaped-cut-character", "a character that is cut off by the end", "/caf%C3", False, "A5")
add("escaped-cut-by-letter", "or by a letter", "/%C3a%A9", False, "A5")
add("escaped-cut-by-slash", "or by a slash", "/%C3/%A9", False, "A5")
add("escaped-cut-by-escape", "or by an escape of ASCII", "/%C3%20%A9", False, "A5")
add("escaped-continuation", "a byte that begins no character", "/%A9", False, "A5")
add("escaped-latin-1", "a letter in Latin-1", "/caf%E9", False, "A5")
add("escaped-mixed", "several characters of several lengths", "/%C3%A9%20%E2%82%AC%F0%9F%98%80x", True)
add("three-dots", "three dots are a name", "/...", True)
add("dot-name", "a name may begin with a dot", "/.env", True)
add("dot-dot-name", "a name may begin with two dots", "/..env", True)
add("name-dots", "or end in them", "/a..", True, "A6")
add("dot-between", "or have them inside", "/a.b/c..d", True)
add("dots-and-escape", "an escape makes a name of dots", "/..%20", True)
add("star", "a star is a byte like others", "/*", True)
add("colon-first", "a colon may stand in the first segment", "/a:b", True)
add("at-sign", "and an at sign", "/@me", True)
add("longest", "2,048 bytes, the longest", ("/", "a", 2_047), True)
add("many-segments", "only the length limits the depth", ("", "/a", 1_024), True)

# A1, A3, A6, A7, A9, A12, A20, A26, A30: dot segments.
add("dot-dot", "it would leave /info", "/info/../private", False, "A1")
add("dot-and-dot-dot", "by way of a dot", "/info/./../private", False, "A1")
add("dot-dot-first", "above the root", "/../x", False, "A1")
add("dot-dot-last", "one level up", "/a/..", False, "A1")
add("dot-dot-slash", "one level up, with a slash", "/a/../", False, "A1")
add("dot-dot-alone", "above the root", "/..", False, "A1")
add("dot-alone", "the root by another name", "/.", False, "A1")
add("dot-last", "the same place by another name", "/a/.", False, "A1")
add("dot-middle", "the same place by another name", "/a/./b", False, "A1")
add("dot-slash", "the same place by another name", "/a/./", False, "A1")
add("route-not-normalised", "a route's other spelling", "/open/../closed", False, "A3")
add("dispatched-view", "what is matched is what is dispatched", "/strip/../x", False, "A9")
add("upstream-view", "what is matched is what is sent on", "/rule/../upstream", False, "A12")
add("many-dot-dots", "the root, many times", "/a/../../../../etc/passwd", False, "A30")
add("escaped-dots", "both dots in hex", "/api/public/%2e%2e/admin", False, "A20")
add("escaped-dots-upper", "the same in upper case", "/api/public/%2E%2E/admin", False, "A20")
add("escaped-dots-mixed-case", "the same in mixed case", "/api/%2e%2E/admin", False, "A20")
add("escaped-second-dot", "half of them in hex", "/api/.%2e/admin", False, "A20")
add("escaped-first-dot", "the other half", "/api/%2e./admin", False, "A20")
add("escaped-dot", "a single one", "/api/%2e/admin", False, "A20")
add("escaped-dots-last", "as an id that a router hands on", "/api/data/%2e%2e", False, "A26")
add("escaped-dots-slash", "as an id with a slash", "/api/data/..%2fx", False, "A26")
add("prefix-stripped", "after a prefix that is cut off", "/api%2e%2e/admin", False, "A6")
add("prefix-offset", "if lengths differ, decoded or not", "/api%2e/admin", False, "A7")
add("escaped-dot-in-name", "also inside a name: unreserved bytes are written plainly", "/a%2eb", False, "A7")

# A2, A19: separators in disguise.
for label, escape, attack in [
    ("slash-upper", "%2F", "A2"), ("slash-lower", "%2f", "A2"),
    ("backslash-upper", "%5C", "A2"), ("backslash-lower", "%5c", "A14"),
    ("percent", "%25", "A10"), ("semicolon-upper", "%3B", "A21"), ("semicolon-lower", "%3b", "A21"),
    ("question-mark-upper", "%3F", "B15"), ("question-mark-lower", "%3f", "B15"), ("hash", "%23", "A8"),
    ("nul", "%00", "A22"), ("line-feed-upper", "%0A", "A22"), ("line-feed-lower", "%0a", "A22"),
    ("carriage-return", "%0D", "A22"), ("tab", "%09", "A22"), ("delete", "%7F", "A22"),
]:
    with_slash = True if label.startswith("slash") else None
    add(f"escaped-{label}", "some reader takes it for more than data", f"/x{escape}y", False, attack, with_slash)
add("escaped-slash-static", "as for static files", "/admin%2Fsecret.html", False, "A19", True)
add("scoped-package", "npm's scoped packages", "/@scope%2fpackage", False, "A2", True)
add("project", "GitLab's projects", "/api/v4/projects/group%2Fsub%2Fproject/issues", False, "A2", True)
add("scoped-slash-last", "an encoded slash, then a slash", "/@scope%2Fpackage/", False, "A2", True)
for label, path in [
    ("empty-first", "/%2Fa/b"), ("empty-last", "/a%2F"), ("empty-middle", "/a%2F%2Fb"), ("empty-before-slash", "/a%2f/b"),
    ("empty-after-slash", "/a/%2fb"), ("alone", "/%2F"), ("dot-first", "/.%2Fa"), ("dot-last", "/a%2F."),
    ("dots-first", "/..%2Fa"), ("dots-last", "/a%2f.."), ("dots-middle", "/a%2F..%2Fb"), ("dots-before-slash", "/a%2F../b"),
    ("escaped-dots", "/a%2F%2e%2e%2Fb"), ("twice", "/a%252Fb"), ("backslash", "/a%2Fb%5Cc"), ("cut-character", "/%C3%2F%A9"),
    ("null", "/a%2F%00"), ("matrix", "/a%2Fb;c"),
]:
    add(f"encoded-slash-{label}", "refused, whatever an encoded slash is", path, False, "A2")
add("encoded-slash-dots-in-name", "names with dots are names", "/..a%2Fb..%2F...", False, "A2", True)
add("encoded-slash-character", "beside characters beyond ASCII", "/%C3%A9%2F%C3%A9", False, "A2", True)
add("escaped-slash-first", "a slash in hex at the beginning", "/%2Fx", False, "A2")
add("escaped-slash-last", "a slash in hex at the end", "/x%2F", False, "A2")
add("traversal-with-escapes", "slash and dots in one", "/static/..%2f..%2fetc", False, "A2")
add("traversal-with-backslash", "the same with backslashes", "/static/..%5c..%5cetc", False, "A14")
add("overlong-slash-prefix", "two bytes beyond ASCII, then a slash that is one", "/a%C0%AF%2Fb", False, "A2")

# A10, A29: twice escaped.
add("twice-escaped-letter", "decoded twice it is /admin", "/%2561dmin", False, "A10")
add("twice-escaped-dots", "decoded twice it is ..", "/%252e%252e/admin", False, "A29")
add("twice-escaped-slash", "decoded twice it is a slash", "/a%252Fb", False, "A29")
add("thrice-escaped-slash", "decoded thrice it is a slash", "/a%25252Fb", False, "A29")
add("percent-alone-escaped", "a percent sign is never sent", "/100%25", False, "A10")

# A4, A17, A18: empty segments.
add("double-slash-first", "a router that skips empty segments reads /internal", "//internal/x", False, "A4")
add("triple-slash", "three slashes at the beginning", "///internal", False, "A4")
add("double-slash", "two slashes in the middle", "/api//data", False, "A17")
add("double-slash-last", "two slashes at the end", "/api/data//", False, "A17")
add("double-slash-alone", "nothing but slashes", "//", False, "A17")
add("double-slash-auth-route", "the route whose limit was passed by", "//sign-in/email", False, "A17")
add("double-slash-open-route", "if a check looks for /api/ at the beginning", "//api/0/buckets", False, "A18")
add("host-like", "it might be read as a host", "//example.com/x", False, "A13")

# A8, A21: what ends a path or a segment.
add("fragment", "the rest is cut off by some", "/public#/../admin", False, "A8")
add("query", "the caller cuts the query off", "/x?y", False, "B15")
add("query-with-key", "a key in a query never gets here", "/x?api_key=acme_live_1", False, "B15")
add("matrix", "parameters are cut off by some", "/admin;x=1", False, "A21")
add("matrix-middle", "in the middle of the path", "/a;x=1/b", False, "A21")
add("matrix-dot-dot", "and make dots of a name", "/..;/admin", False, "A21")
add("matrix-empty", "even without a value", "/a;/b", False, "A21")

# A5: broken escapes.
add("percent-alone", "an escape has two digits", "/%", False, "A5")
add("percent-last", "an escape is cut off by the end", "/a%", False, "A5")
add("percent-one-digit", "one digit instead of two", "/a%2", False, "A5")
add("percent-one-digit-slash", "a slash is no digit", "/a%2/b", False, "A5")
add("percent-g", "g is no hex digit", "/a%2g", False, "A5")
add("percent-g-first", "g is no hex digit", "/a%g2", False, "A5")
add("percent-minus", "a parser of numbers would take a sign", "/a%-1", False, "A5")
add("percent-plus", "a parser of numbers would take a sign", "/a%+1", False, "A5")
add("percent-space", "a parser of numbers would take a space", "/a% 1", False, "A5")
add("percent-u", "the escape of an old browser", "/a%u002e", False, "A5")
add("percent-percent", "no escape of itself", "/a%%20", False, "A5")
add("percent-non-ascii-digit", "digits are ASCII", "/a%\u0662\u0660", False, "A5")
add("escaped-upper-letter", "a letter is written plainly", "/%41", False, "A5")
add("escaped-lower-letter", "a letter is written plainly", "/%7a", False, "A5")
add("escaped-digit", "a digit is written plainly", "/%30", False, "A5")
add("escaped-tilde", "a tilde is written plainly", "/%7E", False, "A5")
add("escaped-dash", "a dash is written plainly", "/%2D", False, "A5")
add("escaped-underscore", "an underscore is written plainly", "/%5f", False, "A5")

# A11, A13: not a path at all.
add("empty", "no path is no path", "", False, "A11")
add("no-slash", "routed by some, matched by none", "service/method", False, "A11")
add("space-before", "white space is not cut off", " /x", False, "A11")
add("star-form", "the target of OPTIONS", "*", False, "A11")
add("absolute-form", "a whole URL is no path", "http://example.com/x", False, "A13")
add("absolute-form-upper", "the same in upper case", "HTTP://EXAMPLE.COM/x", False, "A13")
add("authority-form", "the target of CONNECT", "example.com:443", False, "A13")
add("drive", "a path of Windows", "C:/x", False, "A11")
add("dot-slash-first", "a relative path", "./x", False, "A11")
add("escaped-first-slash", "an escaped slash is not a slash", "%2Fx", False, "A11")

# A14, A22: bytes that are no pchar.
add("backslash", "a slash to some", "/a\\b", False, "A14")
add("backslash-first", "a slash to some", "\\a", False, "A14")
add("backslash-dots", "a way up to some", "/a\\..\\b", False, "A14")
add("space", "a space is sent escaped", "/a b", False, "A22")
add("nul", "a C string would end here", "/a\u0000b", False, "A22")
add("line-feed", "a dot of a pattern does not match it", "/a\nb", False, "A22")
add("carriage-return", "a dot of a pattern may not match it", "/a\rb", False, "A22")
add("trailing-line-feed", "a pattern that ends in $ would let it pass", "/a\n", False, "A22")
add("tab", "a control is sent escaped, and then refused", "/a\tb", False, "A22")
add("delete", "the last control of ASCII", "/a\u007f", False, "A22")
add("quote", "not in the alphabet", '/a"b', False)
add("angle", "not in the alphabet", "/<a>", False)
add("braces", "not in the alphabet", "/{a}", False)
add("square-brackets", "not in the alphabet of paths", "/a[0]", False)
add("caret", "not in the alphabet", "/a^b", False)
add("backtick", "not in the alphabet", "/a`b", False)
add("pipe", "not in the alphabet", "/a|b", False)
add("raw-utf-8", "bytes beyond ASCII are sent escaped", "/caf\u00e9", False)
add("raw-latin-1", "whatever their encoding", b"/caf\xe9", False)
add("raw-overlong-slash", "an over-long slash", b"/a\xc0\xafb", False, "A2")
add("full-width-slash", "a slash to some normal forms", "/a\uff0fb", False, "A2")
add("full-width-dots", "dots to some normal forms", "/\uff0e\uff0e/a", False, "A1")
add("fraction-slash", "a slash to the eye", "/a\u2044b", False)
add("byte-order-mark", "a file's first three bytes", "\ufeff/a", False)
add("too-long", "2,049 bytes, one more than the longest", ("/", "a", 2_048), False, "B6")
add("mebibyte", "a long path costs no more than a short one", ("/", "a", 1_048_576), False, "B6")

HOLES = [
    ("first", "/", "/b/c"),
    ("middle", "/a/", "/c"),
    ("last", "/a/b/", ""),
    ("alone", "/", ""),
    ("name-begin", "/a/", "b/c"),
    ("name-inside", "/a/b", "c/d"),
    ("name-end", "/a/b", "/c"),
    ("behind-dot", "/a/.", "/c"),
    ("before-dot", "/a/", "./c"),
]
FILLS = {
    "raw": lambda byte: bytes([byte]),
    "percent_upper": lambda byte: b"%%%02X" % byte,
    "percent_lower": lambda byte: b"%%%02x" % byte,
    "percent_twice": lambda byte: b"%%25%02X" % byte,
}
WHY = {
    "raw": ("A22", "each byte as it is, {}"),
    "percent_upper": ("A5", "each escape in upper case, {}"),
    "percent_lower": ("A5", "each escape in lower case, {}"),
    "percent_twice": ("A10", "each escape of an escape, {}"),
}
WHERE = {
    "first": "as the first of three segments",
    "middle": "as the second",
    "last": "as the third",
    "alone": "as the whole path",
    "name-begin": "at the beginning of a name",
    "name-inside": "inside a name",
    "name-end": "at the end of a name",
    "behind-dot": "after a dot, where another dot would lead up",
    "before-dot": "before a dot",
}
for hole, before, behind in HOLES:
    for fill, spell in FILLS.items():
        passing = [
            byte for byte in range(256) if routing.is_canonical(before.encode() + spell(byte) + behind.encode())
        ]
        attack, why = WHY[fill]
        SWEEPS.add(
            f"path-sweep-{hole}-{fill.replace('_', '-')}", why.format(WHERE[hole]), {"canonical_hex": bytes(passing).hex()},
            attack, before=before, fill=fill, behind=behind,
        )
