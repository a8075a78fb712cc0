"""What is due for which key."""

from reference import living


def plan(records, policy, now):
    return [due for record in records for due in actions(record, policy, now)]


def actions(record, policy, now):
    state, end = record["status"]["state"], living.ends_at(record)
    if state == "revoked":
        end = record["status"]["at"]
    if state == "revoked" or (end is not None and end <= now):
        if now - end >= policy["retention_ms"]:
            yield {"key_id": record["id"], "action": "clean_up", "at": end, "lead_ms": None}
        return
    if state != "active" or record["replaced_by"] is not None:
        return
    expiry = record["expires_at"]
    reached = [lead for lead in policy["notice_leads_ms"] if expiry is not None and expiry - now <= lead]
    if reached:
        yield {"key_id": record["id"], "action": "notice", "at": expiry, "lead_ms": min(reached)}
    end = record["created_at"] + policy["max_age_ms"]
    if expiry is not None:
        end = min(end, expiry)
    length = None if expiry is None else expiry - record["created_at"]
    shorter = policy["max_age_ms"] if length is None else min(policy["max_age_ms"], length)
    # An overlap of more than half of a life would make the successor due at once.
    if end - now <= min(policy["overlap_ms"], shorter // 2):
        yield {"key_id": record["id"], "action": "rotate", "at": end, "lead_ms": None}
