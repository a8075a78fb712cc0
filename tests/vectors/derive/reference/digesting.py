"""Digests of key texts, and their text form."""

import hashlib
import hmac
import re

PEPPERS_MAX = 8
PEPPER_BYTES_MIN = 32


def known(peppers):
    """The peppers of a ring: the current one first, or None in its place if there is none."""
    return [pepper for pepper in peppers if pepper is not None]


def is_staged(peppers):
    return bool(peppers) and peppers[0] is None


def is_ring(peppers):
    """Whether a list of peppers, the current one first, can be a ring."""
    peppers = known(peppers)
    versions = [pepper["version"] for pepper in peppers]
    return (
        len(peppers) <= PEPPERS_MAX
        and len(set(versions)) == len(versions)
        and all(len(bytes.fromhex(pepper["secret_hex"])) >= PEPPER_BYTES_MIN for pepper in peppers)
    )


def under(pepper, text):
    mac = hmac.new(bytes.fromhex(pepper["secret_hex"]), text, hashlib.sha256).hexdigest()
    return f"hmac-sha256:{pepper['version']}:{mac}"


def plain(text):
    return "sha256:" + hashlib.sha256(text).hexdigest()


def digest(text, peppers):
    """What a new record gets: under the current pepper, or plain without one."""
    return under(peppers[0], text) if peppers and not is_staged(peppers) else plain(text)


def candidates(text, peppers):
    """What the record of an opaque key may have, the most likely first."""
    peppered = [under(pepper, text) for pepper in known(peppers)]
    return [plain(text)] + peppered if is_staged(peppers) else peppered + [plain(text)]


def parse(text):
    """The canonical spelling of a stored digest, or None."""
    found = re.fullmatch(r"(?:(sha256:)|(hmac-sha256:)(0|[1-9][0-9]{0,9}):)?([0-9A-Fa-f]{64})", text, re.ASCII)
    if found is None:
        return None
    if found[2] is None:
        return "sha256:" + found[4].lower()
    if int(found[3]) >= 2**32:
        return None
    return f"hmac-sha256:{found[3]}:{found[4].lower()}"


def prove(text, stored, peppers):
    """`proved`, `wrong`, or `unavailable` if the ring does not have the pepper."""
    kind, _, rest = stored.partition(":")
    if kind == "sha256":
        own = plain(text)
    else:
        version = int(rest.partition(":")[0])
        held = [pepper for pepper in known(peppers) if pepper["version"] == version]
        if not held:
            return "unavailable"
        own = under(held[0], text)
    return "proved" if own == stored else "wrong"


def is_outdated(stored, peppers):
    if is_staged(peppers):
        return False
    wanted = f"hmac-sha256:{peppers[0]['version']}:" if peppers else "sha256:"
    return not stored.startswith(wanted)
