"""Messages that say what was received, what was expected and what to do."""

from __future__ import annotations


def explain(subject: str, *, received: object, expected: object, remedy: str = "") -> str:
    """One sentence per piece: who complains, what came, what was wanted and, where `expected` does not say it, what to do."""
    return f"{subject}: received {received}, expected {expected}. {remedy}".rstrip()
