"""Decisions as HTTP: statuses from the specification's table, dates from `datetime`."""

import datetime
import math

# cause -> status under RFC 9110, status under the policy `express`
STATUSES = {
    "missing_credential": (401, 401),
    "malformed": (401, 403),
    "alien": (401, 403),
    "unknown_key": (401, 403),
    "wrong_secret": (401, 403),
    "pepper_unavailable": (503, 503),
    "revoked": (401, 403),
    "suspended": (401, 403),
    "expired": (401, 403),
    "replaced": (401, 403),
    "conflicting_credentials": (400, 401),
    "environment": (403, 403),
    "network": (403, 403),
    "endpoint": (403, 403),
    "permission": (403, 403),
    "path_not_canonical": (403, 403),
    "rate_limit": (429, 429),
    "uses_spent": (429, 429),
    "store_unavailable": (503, 503),
    "record_damaged": (500, 500),
}


DEFAULTS = {"defaults": True, "headers": [], "schemes": [], "basic": False, "formats": None}


def respond(decision, policy, limit=None, fields="6", now=None, rules=None):
    """Status, header fields and what the body says of a denial."""
    status = STATUSES[decision["cause"]][["rfc9110", "express"].index(policy)]
    headers = {"content-type": "application/json", "cache-control": "no-store"}
    if status == 401:
        nothing_sent = decision["cause"] == "missing_credential"
        # Without any source there is nothing to name.
        headers["www-authenticate"] = challenge(rules or DEFAULTS, nothing_sent) or challenge(DEFAULTS, nothing_sent)
    if decision["cause"] == "store_unavailable":
        headers["retry-after"] = "1"
    quota = decision["quota"]
    if quota is not None:
        if quota["retry_after_ms"] is not None:
            headers["retry-after"] = str(max(1, seconds(quota["retry_after_ms"])))
        headers.update(limit_fields(quota, limit, fields, now))
    return {
        "status": status,
        "headers": headers,
        "code": decision["code"],
        "missing": decision["missing"],
    }


def challenge(rules, nothing_sent):
    """RFC 9110, section 11.6.1: the schemes that are read, or else the headers for keys."""
    bearer = "Bearer" if nothing_sent else 'Bearer error="invalid_token"'
    schemes = {}
    if rules["defaults"]:
        schemes["bearer"] = bearer
    for scheme in rules["schemes"]:
        schemes.setdefault(scheme.lower(), bearer if scheme == "Bearer" else scheme)
    if rules["basic"]:
        schemes["basic"] = 'Basic realm="API key"'
    if schemes:
        return ", ".join(schemes.values())
    return ", ".join(f'ApiKey header="{name}"' for name in rules["headers"])


def allowed_headers(decision, limit, now, fields="6"):
    headers = {}
    if decision["quota"] is not None:
        headers.update(limit_fields(decision["quota"], limit, fields, now))
    if decision["notice"] is not None:
        headers["deprecation"] = f"@{now // 1_000}"
        headers["sunset"] = http_date(decision["notice"]["until"])
    return headers


def limit_fields(quota, limit, fields, now):
    """Drafts 6, 7 and 8 of draft-ietf-httpapi-ratelimit-headers, and GitHub's own fields."""
    most, left = limit["limit"], quota["remaining"]
    window, reset = seconds(limit["window_ms"]), seconds(quota["reset_ms"])
    return {
        "6": {
            "ratelimit-limit": f"{most}",
            "ratelimit-remaining": f"{left}",
            "ratelimit-reset": f"{reset}",
            "ratelimit-policy": f"{most};w={window}",
        },
        "7": {"ratelimit": f"limit={most}, remaining={left}, reset={reset}", "ratelimit-policy": f"{most};w={window}"},
        "8": {"ratelimit": f'"key";r={left};t={reset}', "ratelimit-policy": f'"key";q={most};w={window}'},
        "x": {
            "x-ratelimit-limit": f"{most}",
            "x-ratelimit-remaining": f"{left}",
            "x-ratelimit-reset": f"{seconds((now or 0) + quota['reset_ms'])}",
        },
    }[fields]


def seconds(millis):
    return math.ceil(millis / 1_000)


def http_date(millis):
    """RFC 9110, section 5.6.7, with the names of RFC 5322 whatever the locale."""
    instant = datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=millis)
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[instant.weekday()]
    month = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()[instant.month - 1]
    return f"{day}, {instant.day:02} {month} {instant.year:04} {instant:%H:%M:%S} GMT"
