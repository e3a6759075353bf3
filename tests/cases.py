"""Cases of a test by name, of which some are left to the slow tests."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import pytest


def cases(named: Mapping | Iterable[str], slow: Collection[str]) -> list:
    """Cases by name as parameters, the slow ones marked; where ``slow`` names none of them, none is."""
    values = named.items() if isinstance(named, Mapping) else [(name, name) for name in named]
    return [
        pytest.param(
            *(value if isinstance(value, tuple) else [value]), id=name, marks=[pytest.mark.slow] * (name in slow)
        )
        for name, value in values
    ]
