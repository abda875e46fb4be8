"""Messages that say what was received, what was expected and what to do."""

from __future__ import annotations


def explain(subject: str, *, received: object, expected: object, remedy: str) -> str:
    """One sentence a piece: who complains, what came, what was wanted, what to do."""
    return f"{subject}: received {received}, expected {expected}. {remedy}"
