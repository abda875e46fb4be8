"""Which parametrized tests are made."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def wanted(parameters: Iterable[Any], config: pytest.Config) -> list[Any]:
    """All parameter sets, or those that are not slow where pytest would deselect the slow ones: thousands take long to make."""
    found = list(parameters)
    if config.getoption("markexpr") != "not slow":
        return found
    return [p for p in found if not any(mark.name == "slow" for mark in p.marks)]
