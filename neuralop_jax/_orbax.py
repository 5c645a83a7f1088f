"""What goes around a call of Orbax: no tracebacks of its threads, no paths that it takes for patterns."""

import contextlib
import glob
import logging
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_LATE = 0.2
"""Seconds in which the other writes of a failed save end; whoever removes what it wrote does so after them."""


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keeps the tracebacks off standard error that threads of Orbax and TensorStore print of a save that fails.

    Orbax logs the error before it raises it, and closes its event loop while other writes still want to report there.
    """
    log, usual = logging.getLogger("absl"), sys.unraisablehook
    is_other = lambda record: "_SignalingThread" not in str(record.msg)

    def print_others(unraisable: Any) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            usual(unraisable)

    log.addFilter(is_other)
    sys.unraisablehook = print_others
    try:
        yield
    except BaseException:
        time.sleep(_LATE)
        raise
    finally:
        log.removeFilter(is_other)
        sys.unraisablehook = usual


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
