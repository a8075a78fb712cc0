"""The life of the keys of one lineage: rotation, its overlap, and the other verbs."""

YEAR_9999_END = 253_402_300_799_999


def ends_at(record):
    return min((end for end in (record["expires_at"], record["overlap_until"]) if end is not None), default=None)


def is_live(record, now):
    end = ends_at(record)
    return record["status"]["state"] == "active" and (end is None or now < end)


class Refused(Exception):
    """A verb that the key's state does not allow; its argument is the kind of error."""


class Lineage:
    """Records under labels, changed in place; the successors' ids are their labels."""

    def __init__(self, label, record):
        self.records = {label: dict(record, id=label)}

    def rotate(self, label, successor, policy, now):
        old = self.records[label]
        if not is_live(old, now):
            raise Refused("state")
        if old["replaced_by"] is not None and not self.lost_its_successor(label, now):
            raise Refused("state")
        # As long as its predecessor was given: never stays never, and nothing ends after the year 9999.
        length = None if old["expires_at"] is None else old["expires_at"] - old["created_at"]
        shorter = min(policy["max_age_ms"], policy["max_age_ms"] if length is None else length)
        overlap = min(policy["overlap_ms"], shorter // 2)
        old_end = ends_at(old)
        self.records[successor] = dict(
            old,
            id=successor,
            created_at=now,
            expires_at=None if length is None else min(now + length, YEAR_9999_END),
            replaced_by=None,
            overlap_until=None,
            ends_at_first_use=label if policy["end_on_first_use"] else None,
            version=1,
        )
        # At most two keys may live: any other key in its overlap ends now.
        for name, other in self.records.items():
            if name == label:
                continue
            in_overlap = other["overlap_until"] is not None and now < other["overlap_until"]
            if in_overlap and other["status"]["state"] != "revoked":
                other.update(overlap_until=now, version=other["version"] + 1)
        end = now + overlap
        if old_end is not None:
            end = min(end, old_end)
        old.update(replaced_by=successor, overlap_until=end, ends_at_first_use=None, version=old["version"] + 1)

    def lost_its_successor(self, label, now):
        """Its successor was revoked, and no other key of the lineage is without a successor."""
        if self.records[self.records[label]["replaced_by"]]["status"]["state"] != "revoked":
            return False
        return not any(
            other["replaced_by"] is None
            and other["status"]["state"] != "revoked"
            and (ends_at(other) is None or now < ends_at(other))
            for name, other in self.records.items()
            if name != label
        )

    def revoke(self, label, now, reason):
        record = self.records[label]
        if record["status"]["state"] == "revoked":
            raise Refused("state")
        if len(reason.encode("utf-8")) > 255 or any(ord(c) < 32 or 127 <= ord(c) < 160 for c in reason):
            raise Refused("record")
        self.change(record, status={"state": "revoked", "at": now, "reason": reason})

    def suspend(self, label):
        self.move(label, "active", "suspended")

    def resume(self, label):
        self.move(label, "suspended", "active")

    def move(self, label, before, after):
        record = self.records[label]
        if record["status"]["state"] != before:
            raise Refused("state")
        self.change(record, status={"state": after})

    def expire(self, label, now):
        """Only an event: the record does not change."""
        end = ends_at(self.records[label])
        if end is None or now < end:
            raise Refused("state")

    def end_overlap(self, successor, now):
        """The successor was used: its predecessor's overlap ends, once."""
        record = self.records[successor]
        old = self.records[record["ends_at_first_use"]]
        self.change(record, ends_at_first_use=None)
        self.change(old, overlap_until=min(old["overlap_until"], now))

    @staticmethod
    def change(record, **fields):
        record.update(fields, version=record["version"] + 1)

    def live(self, now):
        return [label for label, record in self.records.items() if is_live(record, now)]
