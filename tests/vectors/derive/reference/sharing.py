"""What the keys of one lineage spend of their limits together, in exact fractions."""

import copy
import math
from fractions import Fraction

from . import limiting

KEPT = 4
SLACK_MS = 60_000


def parts(limit):
    """What a millisecond is divided into."""
    return Fraction(limit["window_ms"], limit["limit"]).denominator


class Lineage:
    """The states of up to four limits, the newest last."""

    def __init__(self):
        self.kept = []

    def own(self, limit):
        return next((limiter for limiter in self.kept if limiter.limit == limit), None)

    def seen(self, limit, now):
        """A limiter in the state in which a request of this limit finds it."""
        if limit["limit"] == 0:
            return limiting.Limiter(limit)
        own = self.own(limit)
        if own:
            return held(own, now)
        new = limiting.Limiter(limit)
        for other in self.kept:
            # Otherwise the state has parts that the new limit does not know.
            whole = other.on_time.denominator == 1
            if not whole and parts(other.limit) != parts(limit):
                raise SystemExit(f"{other.on_time} is not an instant of {limit}")
            new.on_time = max(new.on_time, other.on_time)
        new.on_time = min(new.on_time, now + new.tolerance)
        return new

    def take(self, limit, tokens, now):
        """How many of the tokens are granted, and the limiter afterwards."""
        limiter = self.seen(limit, now)
        if tokens == 0 or limit["limit"] == 0:
            return 0, limiter
        taken = charge(limiter, tokens, now)
        if taken:
            for at, other in enumerate(self.kept):
                self.kept[at] = held(other, now)
                charge(self.kept[at], taken, now)
        if taken or self.kept:
            for at, other in enumerate(self.kept):
                if other.limit == limit:
                    self.kept[at] = limiter
                    break
            else:
                self.kept = (self.kept + [limiter])[-KEPT:]
        return taken, limiter

    def give_back(self, limit, tokens, taken_at, within, now):
        own = self.own(limit)
        if own and 0 <= now - taken_at <= within:
            own.on_time = max(Fraction(0), own.on_time - tokens * own.interval)


def held(limiter, now):
    """A copy; if it lies more than a burst and a minute ahead, with a burst spent."""
    limiter = copy.copy(limiter)
    if limiter.on_time > now + SLACK_MS + limiter.tolerance:
        limiter.on_time = now + limiter.tolerance
    return limiter


def charge(limiter, tokens, now):
    """Takes as many as there are of so many, and returns how many these were."""
    start = max(limiter.on_time, Fraction(now))
    free = math.floor((now + limiter.tolerance - start) / limiter.interval)
    taken = max(0, min(tokens, free))
    if taken:
        limiter.on_time = start + taken * limiter.interval
    return taken
