"""Permissions and requirements, by recursion."""

import re

PERMISSION_BYTES_MAX, PERMISSIONS_MAX = 128, 64
REQUIREMENT_BYTES_MAX, REQUIREMENT_TERMS_MAX = 1_000, 100
SEGMENT = r"[A-Za-z0-9_.-]+"


def is_permission(text, wildcards):
    segment = rf"(?:{SEGMENT}|\*)" if wildcards else SEGMENT
    fits = len(text.encode("utf-8")) <= PERMISSION_BYTES_MAX
    return fits and re.fullmatch(rf"{segment}(?::{segment})*", text, re.ASCII) is not None


def is_set(permissions):
    return len(permissions) <= PERMISSIONS_MAX and all(is_permission(p, True) for p in permissions)


def matches(granted, wanted):
    """Both as lists of segments; `wanted` has no wildcard."""
    if not granted or not wanted:
        return granted == wanted
    if granted[0] == "*":
        return len(granted) == 1 or matches(granted[1:], wanted[1:])
    return granted[0] == wanted[0] and matches(granted[1:], wanted[1:])


def grants(permissions, wanted):
    return any(matches(p.split(":"), wanted.split(":")) for p in permissions)


class NotAFormula(Exception):
    pass


def parse(text):
    """The requirement as a tree: `("term", name)`, `("and", a, b)`, `("or", a, b)`."""
    if len(text.encode("utf-8")) > REQUIREMENT_BYTES_MAX:
        raise NotAFormula
    tokens = re.findall(r"[()]|[^() ]+", text)
    tree, rest = disjunction(tokens)
    if rest or len(terms(tree)) > REQUIREMENT_TERMS_MAX:
        raise NotAFormula
    return tree


def disjunction(tokens):
    tree, rest = conjunction(tokens)
    while rest[:1] == ["OR"]:
        other, rest = conjunction(rest[1:])
        tree = ("or", tree, other)
    return tree, rest


def conjunction(tokens):
    tree, rest = operand(tokens)
    while rest[:1] == ["AND"]:
        other, rest = operand(rest[1:])
        tree = ("and", tree, other)
    return tree, rest


def operand(tokens):
    if tokens[:1] == ["("]:
        tree, rest = disjunction(tokens[1:])
        if rest[:1] != [")"]:
            raise NotAFormula
        return tree, rest[1:]
    if not tokens or tokens[0] in ("AND", "OR", ")") or not is_permission(tokens[0], False):
        raise NotAFormula
    return ("term", tokens[0]), tokens[1:]


def terms(tree):
    return [tree[1]] if tree[0] == "term" else terms(tree[1]) + terms(tree[2])


def is_met(tree, permissions):
    if tree[0] == "term":
        return grants(permissions, tree[1])
    parts = [is_met(part, permissions) for part in tree[1:]]
    return all(parts) if tree[0] == "and" else any(parts)


def missing(tree, permissions):
    """The terms that keep it from being met, each once, in the order of mention."""
    if is_met(tree, permissions):
        return []
    if tree[0] == "term":
        return [tree[1]]
    return list(dict.fromkeys(missing(tree[1], permissions) + missing(tree[2], permissions)))
