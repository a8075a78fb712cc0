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


def respond(decision, policy, limit=None):
    """Status, header fields and what the body says of a denial."""
    status = STATUSES[decision["cause"]][["rfc9110", "express"].index(policy)]
    headers = {"content-type": "application/json", "cache-control": "no-store"}
    if status == 401:
        nothing_sent = decision["cause"] == "missing_credential"
        headers["www-authenticate"] = "Bearer" if nothing_sent else 'Bearer error="invalid_token"'
    if decision["cause"] == "store_unavailable":
        headers["retry-after"] = "1"
    quota = decision["quota"]
    if quota is not None:
        if quota["retry_after_ms"] is not None:
            headers["retry-after"] = str(max(1, seconds(quota["retry_after_ms"])))
        headers.update(limit_fields(quota, limit))
    return {
        "status": status,
        "headers": headers,
        "code": decision["code"],
        "missing": decision["missing"],
    }


def allowed_headers(decision, limit, now):
    headers = {}
    if decision["quota"] is not None:
        headers.update(limit_fields(decision["quota"], limit))
    if decision["notice"] is not None:
        headers["deprecation"] = f"@{now // 1_000}"
        headers["sunset"] = http_date(decision["notice"]["until"])
    return headers


def limit_fields(quota, limit):
    return {
        "ratelimit-limit": str(limit["limit"]),
        "ratelimit-remaining": str(quota["remaining"]),
        "ratelimit-reset": str(seconds(quota["reset_ms"])),
        "ratelimit-policy": f"{limit['limit']};w={seconds(limit['window_ms'])}",
    }


def seconds(millis):
    return math.ceil(millis / 1_000)


def http_date(millis):
    """RFC 9110, section 5.6.7, with the names of RFC 5322 whatever the locale."""
    instant = datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=millis)
    day = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[instant.weekday()]
    month = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()[instant.month - 1]
    return f"{day}, {instant.day:02} {month} {instant.year:04} {instant:%H:%M:%S} GMT"
