"""Loggers beside metrics.jsonl."""

import sys
import types
from pathlib import Path

import pytest

from neuralop_jax.errors import ConfigError
from neuralop_jax.training import _loggers
from neuralop_jax.training._loggers import Loggers, logger_makers

LINE = {"step": 4, "loss": 0.5, "splits": {"test": {"relative_l2": 0.25, "grid": [8]}}, "note": "text"}


class Recorder:
    def __init__(self, *, fails_at=None):
        self.lines, self.closed, self.fails_at = [], 0, fails_at

    def log(self, line):
        if line["step"] == self.fails_at:
            raise ConnectionError("no route\nto host")
        self.lines.append(line)

    def close(self):
        self.closed += 1


def test_every_logger_gets_every_line():
    first, second, said = Recorder(), Recorder(), []
    with Loggers({"a": lambda: first, "b": lambda: second}, said.append) as loggers:
        loggers.log(LINE)
    assert first.lines == second.lines == [LINE] and first.closed == second.closed == 1 and said == []


def test_one_that_raises_is_left_out_in_one_line():
    good, bad, said = Recorder(), Recorder(fails_at=2), []
    with Loggers({"bad": lambda: bad, "good": lambda: good}, said.append) as loggers:
        for step in (1, 2, 3):
            loggers.log({"step": step})
    assert [line["step"] for line in bad.lines] == [1] and bad.closed == 0
    assert [line["step"] for line in good.lines] == [1, 2, 3] and good.closed == 1
    assert said == ["logger 'bad' failed and is left out (ConnectionError: no route to host); metrics.jsonl has every line."]


def test_one_that_cannot_be_made_or_closed():
    def fail():
        raise OSError("read-only")

    broken, said = Recorder(), []
    broken.close = fail
    with Loggers({"made": fail, "closed": lambda: broken}, said.append) as loggers:
        loggers.log(LINE)
    assert [line.split(" (")[0] for line in said] == [f"logger {name!r} failed and is left out" for name in ("made", "closed")]


def test_an_interrupt_is_no_failure_of_a_logger():
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Loggers({"a": interrupted}, print)


@pytest.fixture
def tensorboard(monkeypatch):
    """A stand-in for tensorboardX; the list of what it was told."""
    told = []

    class SummaryWriter:
        def __init__(self, directory):
            told.append(("made", directory))

        def add_scalar(self, name, value, step):
            told.append((name, value, step))

        def flush(self):
            pass

        def close(self):
            told.append("closed")

    module = types.ModuleType("tensorboardX")
    module.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, "tensorboardX", module)
    return told


def test_tensorboard_gets_the_numbers(tensorboard):
    with Loggers(logger_makers(["tensorboard"], Path("run"), {}), print) as loggers:
        loggers.log(LINE)
    assert tensorboard == [("made", "run/tensorboard"), ("loss", 0.5, 4), ("splits/test/relative_l2", 0.25, 4), "closed"]


def test_a_package_that_is_missing_is_told_before_the_training(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(
        ConfigError, match=r"needs the package tensorboardX. Install it with: pip install 'neuralop_jax\[tensorboard\]'"
    ):
        _loggers.logger_makers(["tensorboard"], Path("run"), {})
