"""Faults that the library survives: a named test for each, short in the suite, with many repetitions in `make faults`."""

from collections.abc import Callable

import pytest
from small_problem import configure as configure, data_file as data_file, quiet as quiet

from neuralop_jax import evaluation


@pytest.fixture
def count(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """`count(short, long)`: how often to repeat, the second number with `--long`."""
    return lambda short, long: long if request.config.getoption("--long") else short


@pytest.fixture
def run(tmp_path):
    """Where a training of the small problem may go."""
    return tmp_path / "runs" / "a"


@pytest.fixture
def unmeasured(monkeypatch):
    """Spares the compilation of the evaluation, where it does not matter."""
    monkeypatch.setattr(evaluation, "evaluate", lambda operator, split, batch_size: {"relative_l2": 0.5})
