"""The other side of `_hdf5_worker.py`: asks for the contents of files, and turns any end the worker may take into an error."""

import atexit
import hashlib
import json
import math
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from neuralop_jax._checks import reason
from neuralop_jax.errors import DataError

WORKER = Path(__file__).with_name("_hdf5_worker.py")
SECONDS = 20.0
"""Time of the processor that any file may take; larger ones get as much more as `BYTES_PER_SECOND` gives."""
BYTES_PER_SECOND = 1e9
PATIENCE = 5
"""A worker that waits, or a busy machine, may take so many times longer by the clock."""
MEMORY = 2**30 + 2**29
"""Address space that the worker may take."""
MAX_KNOWN, SETTLED, SMALL = 32, 2.0, 2**20
"""So many files are remembered: small ones by their bytes, in which a change cannot go unnoticed, larger ones by their time of
change, once that is more than `SETTLED` seconds ago, since clocks of file systems tick slowly."""


class Contents(NamedTuple):
    """What a worker says of a file: see `_hdf5_worker.py`."""

    objects: list[dict[str, Any]]
    table: np.ndarray


def identity(status: os.stat_result) -> tuple[int, ...]:
    """What changes if a file is replaced or written to."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


class Worker:
    """A process that examines one file after another, started for the first, started again where it was lost.

    Each file gets a fork of that process, so that nothing of one file is left when the next is examined.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._registered = False
        self._known: OrderedDict[tuple, Contents] = OrderedDict()

    def contents(self, path: Path, status: os.stat_result) -> Contents:
        """What is in the file at `path`, which has `status` now.

        **Raises:** `OSError` if the worker cannot open the file, as a `BlockingIOError` if another process writes to it;
        `DataError` if the worker crashes or takes too long, or cannot be started.
        """
        name, small = str(path.resolve()), status.st_size <= SMALL
        key = (name, *identity(status), hashlib.sha256(path.read_bytes()).digest() if small else b"")
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
            told, table = _parse(path, self._ask(path, name, status.st_size))
            if "unable" in told:
                raise not_started(path, str(told["unable"]))
            if told.get("busy"):
                raise BlockingIOError(f"{path} is locked")
            if "error" in told:
                raise OSError(str(told["error"]))
            contents = Contents(told["objects"], table)
            if small or time.time() - status.st_mtime > SETTLED:
                self._known[key] = contents
                if len(self._known) > MAX_KNOWN:
                    self._known.popitem(last=False)
            return contents

    def _ask(self, path: Path, name: str, size: int) -> bytes:
        """The answer of the worker."""
        seconds = math.ceil(SECONDS + size / BYTES_PER_SECOND)
        if self._process is None or self._process.poll() is not None:
            self._start(path)
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        late = threading.Timer((PATIENCE + 1) * seconds, _kill, (process,))  # for one that the signals below do not end
        late.start()
        try:
            process.stdin.write(json.dumps([name, MEMORY, seconds, PATIENCE * seconds]).encode() + b"\n")
            process.stdin.flush()
            code, length = struct.unpack("<qq", process.stdout.read(16))
            said = process.stdout.read(length)
        except (OSError, struct.error) as error:
            code = _end(process)
            self.stop()
            raise not_started(path, f"it ended with code {code}" if code else "it was lost") from error
        except BaseException:
            self.stop()  # the rest of the answer must not be taken for that to the next question
            raise
        finally:
            late.cancel()
        if code in (-signal.SIGALRM, -signal.SIGXCPU):
            raise _failed(path, f"reader took more than {seconds} s")
        if code < 0:
            raise _failed(path, f"reader crashed, signal {-code}")
        return said

    def _start(self, path: Path) -> None:
        self.stop()
        one_thread = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "HDF5_PLUGIN_PRELOAD": "::"}
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=os.environ | one_thread,
                start_new_session=True,  # Ctrl-C is for us
            )
        except OSError as error:
            raise not_started(path, f"{sys.executable}: {reason(error)}") from error
        if not self._registered:
            atexit.register(self.stop)
            os.register_at_fork(after_in_child=self._leave)
            self._registered = True

    def stop(self) -> None:
        """Ends the process; the next file starts another."""
        if self._process is not None:
            _kill(self._process)
            self._process.communicate()
        self._process = None

    def _leave(self) -> None:
        """In a fork of this process, which starts a worker of its own."""
        if self._process is not None:
            self._process.returncode = 0  # not ours: neither waited for nor warned about
        self._lock, self._process = threading.Lock(), None


def _end(process: "subprocess.Popen[bytes]") -> int | None:
    """The code of a process that has closed its pipes, which it does shortly before it ends."""
    try:
        return process.wait(timeout=2)
    except subprocess.TimeoutExpired:
        return None


def _kill(process: "subprocess.Popen[bytes]") -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        process.kill()


def _parse(path: Path, said: bytes) -> tuple[dict[str, Any], np.ndarray]:
    try:
        (length,) = struct.unpack_from("<q", said)
        told = json.loads(said[8 : 8 + length])
        table = np.frombuffer(said, "<i8", offset=8 + length).reshape(-1, 3)
        if not isinstance(told, dict) or not ("error" in told or "unable" in told or isinstance(told["objects"], list)):
            raise ValueError("no list of objects")
    except (struct.error, ValueError, KeyError, RecursionError) as error:
        raise _failed(path, "reader gave no answer") from error
    return told, table


def not_started(path: Path, why: str) -> DataError:
    """The error for a file that could not be looked at, for reasons that are not its own."""
    return DataError(
        f"{path} was not read: the process that reads such files does not run ({why}). The file may be whole: see that memory, "
        "processes and open files are left, and try again."
    )


def _failed(path: Path, reason: str) -> DataError:
    return DataError(f"{path} cannot be parsed ({reason}). The file is damaged or hostile; nothing was loaded.")


worker = Worker()
"""The worker of this process."""
