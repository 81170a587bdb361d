"""The coin that decides whether an eligible lesson is shown: the same in every process and on every retry.

A keyed hash takes the place of a random draw, so that nothing is stored beforehand, and nobody without the secret can
predict or choose the result.
"""

import hmac
from typing import Final

_MANTISSA_BITS: Final = 53


def toss(secret: bytes, project: str, run_id: str, lesson_id: str, epoch: str) -> float:
    """Return the uniform number in [0, 1) of one lesson in one run: HMAC-SHA256 of `project|run_id|lesson_id|epoch`.

    A lesson is shown if the number is below its propensity. Another `epoch` gives every coin another result.
    """
    digest = hmac.digest(secret, f"{project}|{run_id}|{lesson_id}|{epoch}".encode("utf-8", "surrogatepass"), "sha256")
    return (int.from_bytes(digest[:8]) >> (64 - _MANTISSA_BITS)) / (1 << _MANTISSA_BITS)


def toss_run(secret: bytes, project: str, run_id: str, epoch: str) -> float:
    """Return the uniform number in [0, 1) of a run: below the holdout's share, only exempt lessons are shown."""
    return toss(secret, project, run_id, "", epoch)
