"""The explanation of a decision: each check, in order, and the two sides that it compares."""

import datetime
import ipaddress

from reference import deciding, granting, netting, routing

SHOWN_MAX = 200
NOT_SHOWN = "what was compared contains a key, and is not shown"
STEPS = {
    "secret": ["pepper_unavailable"],
    "status": ["revoked", "suspended"],
    "expiry": ["expired"],
    "overlap": ["replaced"],
    "environment": ["environment"],
    "network": ["network"],
    "endpoint": ["path_not_canonical", "endpoint"],
    "permission": ["permission"],
    "rate_limit": ["rate_limit"],
    "uses": ["uses_spent"],
}


def explain(scene):
    """The explanation for a scene whose secret is taken as verified."""
    causes = dict.fromkeys(STEPS)
    for cause, fails in failing(scene):
        step = next(step for step, own in STEPS.items() if cause in own)
        if fails and causes[step] is None:
            causes[step] = cause
    checks = []
    for step, cause in causes.items():
        compared = SENTENCES[step](scene, cause)
        if scene["key"] in compared:
            compared = NOT_SHOWN
        code = None if cause is None else deciding.CODES[cause]
        checks.append({"check": step, "passes": cause is None, "code": code, "compared": compared})
    first = next((check for check in checks if not check["passes"]), None)
    return {
        "decision": "allow" if first is None else "deny",
        "code": first and first["code"],
        "refused_by": first and first["check"],
        "checks": checks,
    }


def failing(scene):
    record, request, now = scene["record"], scene["request"], scene["now"]
    yield "pepper_unavailable", pepper(record) not in [None, *known(scene)]
    yield from deciding.faults(record, request, now)
    limiter = deciding.limiter_of(scene)
    yield "rate_limit", limiter is not None and limiter.retry_after_ms(now) != 0
    yield "uses_spent", uses(scene) == 0


def uses(scene):
    remaining = scene["usage"]["remaining"]
    return scene["record"]["remaining_uses"] if remaining is None else remaining


def pepper(record):
    kind, *version = record["digest"].split(":")[:-1] or ["sha256"]
    return int(version[0]) if kind == "hmac-sha256" else None


def known(scene):
    return [held["version"] for held in scene["peppers"] if held is not None]


def instant(millis):
    at = datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=millis)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{millis % 1000:03}Z"


def joined(items, none="none"):
    return ", ".join(str(item) for item in items) or none


def span(millis):
    for unit, name in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")]:
        if millis >= unit and millis % unit == 0:
            return f"{millis // unit}{name}"
    return f"{millis}ms"


def wait(millis):
    seconds = -(-millis // 1_000)
    if seconds < 120:
        return f"{seconds}s"
    return f"{-(-seconds // 60)}m" if seconds < 7_200 else f"{-(-seconds // 3_600)}h"


def escaped(raw):
    spelled = {0x09: "\\t", 0x0A: "\\n", 0x0D: "\\r", 0x22: '\\"', 0x27: "\\'", 0x5C: "\\\\"}
    return "".join(spelled.get(b, chr(b) if 0x20 <= b < 0x7F else f"\\x{b:02x}") for b in raw)


def shown(raw):
    return escaped(raw) if len(raw) <= SHOWN_MAX else escaped(raw[:SHOWN_MAX]) + "..."


def secret(scene, cause):
    version = pepper(scene["record"])
    if version is None:
        return "the secret is taken as verified; the digest needs no pepper"
    if cause is None:
        return f"the secret is taken as verified; the digest needs pepper {version}, which is known"
    return f"the digest needs pepper {version}; the peppers that are known: {joined(known(scene))}"


def status(scene, _cause):
    state = scene["record"]["status"]
    if state["state"] == "revoked":
        return f"the key was revoked {instant(state['at'])} with the reason: {state['reason']}"
    return f"the key is {state['state']}"


def expiry(scene, _cause):
    end = scene["record"]["expires_at"]
    return "the key never expires" if end is None else until(scene, "the key expires", end)


def overlap(scene, _cause):
    record = scene["record"]
    if record["replaced_by"] is None:
        return "the key was not replaced"
    return until(scene, f"the key was replaced by {record['replaced_by']}; the overlap ends", record["overlap_until"])


def until(scene, what, end):
    return f"{what} {instant(end)} and it is {instant(scene['now'])}"


def environment(scene, cause):
    own, asked = scene["record"]["environment"], scene["request"]["environment"]
    held = "the key has no environment" if own is None else f"the key is for {own}"
    if asked is None:
        return f"the request is for any environment; {held}"
    return f"the request is for {asked}, and so is the key" if cause is None else f"the request is for {asked}; {held}"


def network(scene, cause):
    address, own = scene["request"]["address"], scene["record"]["allowed_networks"]
    client = "the address of the client is not known"
    if address is not None:
        parsed = ipaddress.ip_address(address)
        parsed = getattr(parsed, "ipv4_mapped", None) or parsed
        client = f"the client has the address {parsed}"
    if own is None:
        return f"{client}; the key may be used from any"
    blocks = joined(netting.network(block) for block in own)
    return f"{client}, which is in one of: {blocks}" if cause is None else f"{client}; the key may be used from: {blocks}"


def endpoint(scene, cause):
    request, rules = scene["request"], scene["record"]["allowed_endpoints"]
    held = "the key may be used for any endpoint" if rules is None else f"the key may be used for: {joined(rules)}"
    if request["method"] is None:
        return f"the request has no path; {held}"
    path = bytes.fromhex(request["path_hex"]) if "path_hex" in request else request["path"].encode()
    if scene["key"].encode() in path:
        return NOT_SHOWN
    asked = f"the request is {shown(request['method'].encode())} {shown(path)}"
    if cause == "path_not_canonical":
        return f"{asked}, and its path is not canonical"
    for rule in rules or []:
        if routing.allow([rule], request["method"], path.decode()):
            return f"{asked}, which matches: {escaped(rule.encode())}"
    return f"{asked}; {held}"


def permission(scene, cause):
    held, asked = joined(scene["record"]["permissions"]), scene["request"]["requires"]
    if asked is None:
        return f"the request needs no permission; the key has: {held}"
    needs = f'the request needs "{asked}"; the key has: {held}'
    if cause is None:
        return needs
    return f"{needs}; missing: {joined(granting.missing(granting.parse(asked), scene['record']['permissions']))}"


def rate_limit(scene, _cause):
    limit, limiter = scene["record"]["rate_limit"], deciding.limiter_of(scene)
    if limit is None:
        return "the key has no rate limit"
    left, after = limiter.remaining(scene["now"]), limiter.retry_after_ms(scene["now"])
    said = f"the limit is {limit['limit']} in {span(limit['window_ms'])}, {limit['burst']} at once; {left} left now"
    if after is None:
        return f"{said}, and never more"
    return said if after == 0 else f"{said}, the next in {wait(after)}"


def uses_left(scene, _cause):
    left = uses(scene)
    if left is None:
        return "uses are not counted"
    return {0: "no use is left", 1: "1 use is left"}.get(left, f"{left} uses are left")


SENTENCES = dict(zip(STEPS, [secret, status, expiry, overlap, environment, network, endpoint, permission, rate_limit, uses_left]))
