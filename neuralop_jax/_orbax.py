"""What goes around a call of Orbax: no tracebacks of its threads, no paths that it takes for patterns."""

import contextlib
import glob
import logging
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_LATE = 0.2
"""Seconds in which the other writes of a failed save end; whoever removes what it wrote does so after them."""


class _Filter:
    """What keeps them off while at least one save runs, in whatever thread: hooks of Python are those of all threads."""

    def __init__(self):
        self._lock, self._saves = threading.Lock(), 0
        self._usual = sys.unraisablehook

    def enter(self) -> None:
        with self._lock:
            self._saves += 1
            if self._saves == 1:
                self._usual, sys.unraisablehook = sys.unraisablehook, self._print_others
                logging.getLogger("absl").addFilter(_is_other)

    def leave(self) -> None:
        with self._lock:
            self._saves -= 1
            if self._saves == 0:
                sys.unraisablehook = self._usual
                logging.getLogger("absl").removeFilter(_is_other)

    def _print_others(self, unraisable: Any) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            self._usual(unraisable)


def _is_other(record: logging.LogRecord) -> bool:
    return "_SignalingThread" not in str(record.msg)


_FILTER = _Filter()


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keeps the tracebacks off standard error that threads of Orbax and TensorStore print of a save that fails.

    Orbax logs the error before it raises it, and closes its event loop while other writes still want to report there.
    """
    _FILTER.enter()
    try:
        yield
    except BaseException:
        time.sleep(_LATE)
        raise
    finally:
        _FILTER.leave()


@contextlib.contextmanager
def without_pattern(directory: Path) -> Iterator[Path]:
    """A path of the directory that is no pattern: Orbax looks for what it wrote by `glob`, and would find nothing, or more."""
    path = directory.absolute()
    if glob.escape(str(path)) == str(path):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / "directory"
        link.symlink_to(path, target_is_directory=True)
        yield link
