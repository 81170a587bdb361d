"""Texts for tests."""

import hashlib


def unlike_any_other(seed: str) -> str:
    """Return words that no other seed gives, so that neither text is taken for the other."""
    letters = hashlib.sha256(seed.encode()).hexdigest().translate(str.maketrans("0123456789", "ghijklmnop"))
    return " ".join(letters[start : start + 8] for start in range(0, 32, 8))
