"""Endpoint rules and request paths, segment by segment."""

import re
import urllib.parse

RULE_BYTES_MAX, RULES_MAX, PATH_BYTES_MAX = 512, 64, 2_048
UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
SEPARATORS = b"/\\%;?#"
PCHAR = rb"[A-Za-z0-9\-._~!$&'()*+,=:@]"


def is_canonical(path, encoded_slash_is_data=False):
    if len(path) > PATH_BYTES_MAX or path[:1] != b"/":
        return False
    *inner, last = path[1:].split(b"/")
    segments = inner if last == b"" else [*inner, last]
    if encoded_slash_is_data:
        # Each piece must be a segment, should a router split there.
        segments = [piece for segment in segments for piece in re.split(rb"%2[Ff]", segment)]
    return all(is_segment(segment) for segment in segments)


def is_segment(segment):
    if segment in (b"", b".", b"..") or not re.fullmatch(rb"(?:%b|%%[0-9A-Fa-f]{2})+" % PCHAR, segment):
        return False
    try:
        urllib.parse.unquote_to_bytes(segment).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return all(is_data(int(digits, 16)) for digits in re.findall(rb"%(..)", segment))


def is_data(byte):
    """Whether this byte may be escaped in a path."""
    return not (byte in UNRESERVED or byte < 0x20 or byte == 0x7F or byte in SEPARATORS)


def split(rule):
    """The methods, None for any, and the pattern; or None if it is not a rule."""
    if len(rule.encode("utf-8")) > RULE_BYTES_MAX:
        return None
    method = r"[A-Z][A-Z0-9_-]{0,31}"
    segment = r"(?:\*|(?!\.{1,2}(?:/|\Z))[A-Za-z0-9\-._~!$&'()+,=:@]+)"
    form = rf"(?:({method}(?:,{method})*) )?((?:/{segment})*/?)"
    found = re.fullmatch(form, rule, re.ASCII)
    if found is None or not found[2]:
        return None
    return (found[1].split(",") if found[1] is not None else None), found[2]


def are_rules(rules):
    return len(rules) <= RULES_MAX and all(split(rule) is not None for rule in rules)


def matches(pattern, path):
    """Both as lists of segments; the path is canonical."""
    if pattern == ["*"]:
        return len(path) > 0
    if not pattern or not path:
        return pattern == path
    if pattern[0] == "*":
        return path[0] != "" and matches(pattern[1:], path[1:])
    return pattern[0] == path[0] and matches(pattern[1:], path[1:])


def allow(rules, method, path):
    if not is_canonical(path.encode("utf-8")):
        return False
    for rule in rules:
        methods, pattern = split(rule)
        if (methods is None or method in methods) and matches(pattern[1:].split("/"), path[1:].split("/")):
            return True
    return False


def never_matches(rule):
    """Why hardly any request matches a legal rule: "method", "parameter" or None."""
    methods, _, path = rule.rpartition(" ")
    if methods and set(methods.split(",")) <= {"ANY", "ALL"}:
        return "method"
    return "parameter" if re.search(r"/:[A-Za-z]", path) else None
