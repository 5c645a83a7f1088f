"""Faults that the library survives: a named test for each, short in the suite, with many repetitions in `make faults`."""

from collections.abc import Callable

import pytest


@pytest.fixture
def count(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """`count(short, long)`: how often to repeat, the second number with `--long`."""
    return lambda short, long: long if request.config.getoption("--long") else short
