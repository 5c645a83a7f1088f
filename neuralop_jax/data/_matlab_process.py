"""The other side of `_matlab_worker.py`: starts it with limits, and turns any end it may take into a value or an error."""

import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from neuralop_jax._checks import reason
from neuralop_jax.data._hdf5_process import not_started
from neuralop_jax.data._open import _bytes, _one_line
from neuralop_jax.errors import DataError

WORKER = Path(__file__).with_name("_matlab_worker.py")
SECONDS = 20.0
"""Time that any file may take; larger ones get as much more as `BYTES_PER_SECOND` gives."""
BYTES_PER_SECOND = 2e7
MEMORY = 2**30
"""Address space that any file may take; a variable gets four times its size more."""
MAX_ANSWER = 2**24


def list_variables(path: Path) -> list[tuple[str, tuple[int, ...], str]]:
    """The name, shape and class of every variable in a MATLAB 5 file.

    **Raises:** `DataError` if the reader reports an error, crashes, or takes too long.
    """
    with tempfile.TemporaryDirectory(prefix="neuralop_jax-") as folder:
        answer = _run(path, folder, MEMORY, path.stat().st_size)
    try:
        return [
            (str(name), tuple(int(length) for length in shape), _one_line(str(kind))) for name, shape, kind in answer["variables"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise _failed(path, "reader gave no answer") from error


def unpack_variable(path: Path, name: str, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """One variable of a MATLAB 5 file, memory-mapped from a temporary file that is deleted at once or, where the system cannot
    delete an open file, with the temporary folder.

    **Raises:** `DataError` if the reader reports an error, crashes, takes too long, or finds another shape than `shape`.
    """
    size = math.prod(shape) * dtype.itemsize
    with tempfile.TemporaryDirectory(prefix="neuralop_jax-", ignore_cleanup_errors=True) as folder:
        refused = _run(path, folder, MEMORY + 4 * size, path.stat().st_size + size, name, dtype.str).get("refused")
        if refused:
            kind = _one_line(str(refused))
            raise DataError(f"{path}:{name} holds {kind}, wanted real numbers. Split a complex field into two channels.")
        try:
            values = np.lib.format.open_memmap(Path(folder, "values.npy"), mode="r") if size else np.empty(shape, dtype)
        except (OSError, ValueError) as error:
            raise _failed(path, "reader gave no values") from error
    if values.shape != shape or values.dtype != dtype:
        raise _failed(path, f"{name} was listed as {dtype} {shape} and read as {values.dtype} {values.shape}")
    return np.asarray(values)


def _run(path: Path, folder: str, memory: int, size: int, *variable: str) -> dict:
    """The answer of a worker that may take `memory` bytes, and time as for `size` bytes."""
    seconds = math.ceil(SECONDS + size / BYTES_PER_SECOND)
    command = [sys.executable, "-P", str(WORKER), str(path.resolve()), folder, str(memory), str(seconds + 1), *variable]
    one_thread = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # each reserves address space
    quiet = subprocess.DEVNULL
    try:
        result = subprocess.run(
            command, stdin=quiet, stdout=quiet, stderr=quiet, timeout=seconds, env=os.environ | one_thread, check=False
        )
    except OSError as error:
        raise not_started(path, f"{sys.executable}: {reason(error)}") from error
    except subprocess.TimeoutExpired:
        raise _failed(path, f"reader took more than {seconds} s") from None
    if result.returncode < 0:
        raise _failed(path, f"reader crashed, signal {-result.returncode}")
    try:
        with open(Path(folder, "answer.json"), encoding="utf-8") as file:
            answer = json.loads(file.read(MAX_ANSWER))
    except (OSError, ValueError, RecursionError) as error:
        raise _failed(path, f"reader gave no answer, code {result.returncode}") from error
    if isinstance(answer, dict) and answer.get("full"):
        raise DataError(
            f"{path} needs {_bytes(size)} in {tempfile.gettempdir()}, which is full. Set TMPDIR to a folder with room."
        )
    if not isinstance(answer, dict) or "error" in answer:
        raise _failed(path, _one_line(str(answer["error"] if isinstance(answer, dict) else answer)))
    return answer


def _failed(path: Path, reason: str) -> DataError:
    return DataError(f"{path} cannot be parsed ({reason}). The file is damaged or hostile; nothing was loaded.")
