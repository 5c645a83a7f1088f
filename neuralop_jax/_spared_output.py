"""Text that may be lost: what a closed pipe or a full disk does not take ends nothing that is worth more than its lines."""

import contextlib
import copy
import io
import os
import sys
from collections.abc import Callable, Iterator
from typing import IO, cast

from rich.console import Console


class SparedStream(io.TextIOBase):
    """A text stream that never fails: after the first write that another refuses, all is lost.

    **Arguments:**

    - `stream`: the other, or one of this class around it.
    - `warn`: takes the line about the failure.
    """

    def __init__(self, stream: IO[str] | io.TextIOBase, warn: Callable[[str], None] = lambda line: None):
        self._stream = stream._stream if isinstance(stream, SparedStream) else stream
        self._warn, self._works = warn, True

    def write(self, text: str) -> int:
        """Writes text if that can be done."""
        self._guarded(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Hands on what was written, likewise."""
        self._guarded(self._stream.flush)

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return not self._stream.closed and self._stream.isatty()

    def fileno(self) -> int:
        """The number that the operating system knows it by."""
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The encoding of text."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def _guarded(self, act: Callable[[], object]) -> None:
        try:
            if self._works:
                act()
        except Exception as error:  # whatever stands behind it, as of a logger
            self._works = False
            self._warn(f"output failed and is left out ({type(error).__name__}: {error}).")


def spared(console: Console, warn: Callable[[str], None]) -> Console:
    """The same console, but what it cannot write is lost, with one line to `warn`."""
    console = copy.copy(console)
    console.file = cast(IO[str], SparedStream(console.file, warn))
    return console


@contextlib.contextmanager
def spared_output() -> Iterator[None]:
    """Within the block standard output never fails, nor at the end of the process by what is left of it."""
    if sys.stdout is None:  # it was closed when the process began
        yield
        return
    with contextlib.redirect_stdout(SparedStream(sys.stdout)):
        try:
            yield
        finally:
            discard_unwritten()


def discard_unwritten() -> None:
    """Gives up what standard output and error do not take. Python would try again as it ends, and then end with code 120."""
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is None or stream.closed:
            continue
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
