"""GCRA in exact fractions: one number, the instant at which the next request would be on time."""

import math
from fractions import Fraction

WINDOW_MS_MAX = 366 * 86_400_000
BURST_MS_MAX = 3_653 * 86_400_000
PARTS_END = 2**20


def is_limit(limit):
    if not 1 <= limit["window_ms"] <= WINDOW_MS_MAX:
        return False
    if limit["limit"] == 0:
        return True
    interval = Fraction(limit["window_ms"], limit["limit"])
    # The denominator is what a millisecond is divided into; the state has room for 20 bits.
    return limit["burst"] > 0 and interval.denominator < PARTS_END and limit["burst"] * interval <= BURST_MS_MAX


class Limiter:
    def __init__(self, limit):
        self.limit = limit
        self.on_time = Fraction(0)
        if limit["limit"]:
            self.interval = Fraction(limit["window_ms"], limit["limit"])
            self.tolerance = limit["burst"] * self.interval

    def admit(self, now):
        """Whether a request passes; a refusal changes nothing."""
        if self.limit["limit"] == 0:
            return False
        following = max(self.on_time, Fraction(now)) + self.interval
        if following > now + self.tolerance:
            return False
        self.on_time = following
        return True

    def remaining(self, now):
        if self.limit["limit"] == 0:
            return 0
        left = now + self.tolerance - max(self.on_time, Fraction(now))
        return max(0, math.floor(left / self.interval))

    def retry_after_ms(self, now):
        """0 if one would pass now, None if none ever will."""
        if self.limit["limit"] == 0:
            return None
        following = max(self.on_time, Fraction(now)) + self.interval
        return max(0, math.ceil(following - now - self.tolerance))

    def reset_ms(self, now):
        """Until the full burst is available again; the window if nothing ever is."""
        if self.limit["limit"] == 0:
            return self.limit["window_ms"]
        return max(0, math.ceil(self.on_time - now))

    def quota(self, now):
        return {
            "remaining": self.remaining(now),
            "reset_ms": self.reset_ms(now),
            "retry_after_ms": self.retry_after_ms(now),
        }
