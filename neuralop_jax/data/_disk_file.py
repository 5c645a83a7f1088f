"""A file that HDF5 can write to on a full disk."""

import io
import os
from typing import Any


class DiskFile(io.RawIOBase):
    """A file that keeps its first error for `check`: HDF5 crashes if it meets one while it closes a file.

    What is written afterwards is dropped, and missing bytes are read as zeros, so that the file can be closed.
    """

    def __init__(self, file: io.FileIO):
        self._file = file
        self._error: BaseException | None = None

    def check(self) -> None:
        """Raises the first error of a write, if there was one."""
        if self._error is not None:
            raise self._error

    def write(self, data: Any, /) -> int:
        whole = rest = memoryview(data).cast("B")
        try:
            while self._error is None and len(rest):
                rest = rest[self._file.write(rest) :]
        except BaseException as error:  # an interrupt, too, must not reach HDF5
            self._error = error
        return len(whole)

    def readinto(self, buffer: Any, /) -> int:
        wanted = memoryview(buffer).cast("B")
        found = self._file.readinto(wanted) or 0
        wanted[found:] = bytes(len(wanted) - found)
        return len(wanted)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def truncate(self, size: int | None = None, /) -> int:
        try:
            return self._file.truncate(size)
        except OSError as error:
            self._error = self._error or error
            return size or 0

    def flush(self) -> None:
        pass
