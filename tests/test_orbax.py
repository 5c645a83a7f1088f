"""What goes around a call of Orbax."""

import logging
import sys
import types

from neuralop_jax._orbax import quietly


def test_of_saves_that_overlap_each_is_quiet_to_its_end_and_what_was_before_comes_back(monkeypatch):
    printed, log = [], logging.getLogger("absl")
    usual, filters = printed.append, list(log.filters)
    monkeypatch.setattr(sys, "unraisablehook", usual)
    late = types.SimpleNamespace(exc_value=RuntimeError("Event loop is closed"))
    other = types.SimpleNamespace(exc_value=RuntimeError("another"))
    record = logging.LogRecord("absl", logging.ERROR, "", 0, "[_SignalingThread] failed", None, None)
    first, second = quietly(), quietly()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)  # the second still runs
    sys.unraisablehook(late)
    sys.unraisablehook(other)
    assert printed == [other] and not log.filter(record)
    second.__exit__(None, None, None)
    assert sys.unraisablehook is usual and log.filters == filters and log.filter(record)
