"""The decision: every check runs, and the first that fails is reported."""

from reference import digesting, granting, limiting, netting, routing, spelling

CODES = {
    "missing_credential": "missing_credential",
    "conflicting_credentials": "conflicting_credentials",
    "malformed": "invalid_key",
    "alien": "invalid_key",
    "unknown_key": "invalid_key",
    "wrong_secret": "invalid_key",
    "pepper_unavailable": "pepper_unavailable",
    "revoked": "key_revoked",
    "suspended": "key_suspended",
    "expired": "key_expired",
    "replaced": "key_replaced",
    "environment": "wrong_environment",
    "network": "network_not_allowed",
    "path_not_canonical": "path_not_canonical",
    "endpoint": "endpoint_not_allowed",
    "permission": "permission_missing",
    "rate_limit": "rate_limited",
    "uses_spent": "uses_spent",
    "store_unavailable": "store_unavailable",
    "record_damaged": "record_damaged",
}


def limiter_of(scene):
    """The limiter as it is after the requests that the scene says were admitted."""
    limit = scene["record"]["rate_limit"]
    if limit is None:
        return None
    limiter = limiting.Limiter(limit)
    for instant in scene["usage"]["admitted_at"]:
        if not limiter.admit(instant):
            raise SystemExit(f"the limit does not admit a request at {instant}")
    return limiter


def proof(scene):
    """What keeps the presented text from being the record's key, or None."""
    text = scene["key"].encode("utf-8")
    parsed = [spelling.parse(spec, text) for spec in scene["formats"]]
    parsed = [found for found in parsed if found is not None]
    if not parsed:
        return "malformed"
    record, claimed = scene["record"], parsed[0]["key_id"]
    if record is None or (claimed is not None and claimed != record["id"]):
        return "unknown_key"
    answer = digesting.prove(text, record["digest"], scene["peppers"])
    return {"proved": None, "wrong": "wrong_secret", "unavailable": "pepper_unavailable"}[answer]


def faults(record, request, now):
    """Each check between the proof and the limits: its cause, and whether it fails."""
    asked_path = request.get("path")
    canonical = asked_path is None or routing.is_canonical(asked_path.encode("utf-8"))
    rules, networks = record["allowed_endpoints"], record["allowed_networks"]
    if "path_hex" in request:
        asked_path, canonical = "", routing.is_canonical(bytes.fromhex(request["path_hex"]))
    yield "revoked", record["status"]["state"] == "revoked"
    yield "suspended", record["status"]["state"] == "suspended"
    yield "expired", record["expires_at"] is not None and not now < record["expires_at"]
    yield "replaced", record["overlap_until"] is not None and not now < record["overlap_until"]
    yield "environment", request["environment"] not in (None, record["environment"])
    address = request["address"]
    yield "network", networks is not None and (address is None or not netting.contain(networks, address))
    yield "path_not_canonical", not canonical
    yield "endpoint", rules is not None and (
        asked_path is None or not routing.allow(rules, request["method"], asked_path)
    )
    yield "permission", lacking(record, request) != []


def lacking(record, request):
    if request["requires"] is None:
        return []
    return granting.missing(granting.parse(request["requires"]), record["permissions"])


def decide(scene):
    """The decision, with all that a reader has to compare."""
    record, request, now = scene["record"], scene["request"], scene["now"]
    cause = proof(scene)
    if cause is not None:
        return deny(cause)
    own = record["id"]
    for cause, fails in faults(record, request, now):
        if fails:
            return deny(cause, own, lacking(record, request) if cause == "permission" else [])
    limiter, remaining = limiter_of(scene), scene["usage"]["remaining"]
    if limiter is not None:
        quota = limiter.quota(now)
        if not limiter.admit(now):
            return deny("rate_limit", own, quota=quota)
    if remaining == 0:
        return deny("uses_spent", own)
    replaced = record["replaced_by"] is not None
    return {
        "decision": "allow",
        "key_id": own,
        "lineage": record["lineage"],
        "remaining_uses": None if remaining is None else remaining - 1,
        "quota": None if limiter is None else limiter.quota(now),
        "notice": {"replaced_by": record["replaced_by"], "until": record["overlap_until"]} if replaced else None,
        "ends_overlap_of": record["ends_at_first_use"],
        "needs_rehash": digesting.is_outdated(record["digest"], scene["peppers"]),
    }


def deny(cause, key_id=None, missing=(), quota=None):
    return {
        "decision": "deny",
        "code": CODES[cause],
        "cause": cause,
        "key_id": key_id,
        "missing": list(missing),
        "quota": quota,
    }
