"""Arrays of files, each opened anew in every process, and their axes brought into one order."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from neuralop_jax.data._read import BLOCK_BYTES
from neuralop_jax.data._writer import Sliceable
from neuralop_jax.errors import DataError

SPACE: tuple[str, ...] = ("x", "y", "z")
WORDS = ("samples", "time", "channels", *SPACE)
"""The names of axes, in the canonical order."""
AHEAD_BYTES = 2**28
"""About so many bytes are read at once of an array whose samples do not lie together."""


class FileArray:
    """An array in a file whose shape and type are known: the file is opened for the first slice, in each process anew."""

    def __init__(self, shape: Sequence[int], dtype: Any, reopen: Callable[[], Sliceable], opened: Sliceable | None = None):
        self.shape = tuple(map(int, shape))
        self.dtype = np.dtype(dtype)
        self._reopen = reopen
        self._opened = None if opened is None else (os.getpid(), opened)

    def __getitem__(self, rows: slice) -> np.ndarray:
        if self._opened is None or self._opened[0] != os.getpid():
            opened = self._reopen()
            if tuple(opened.shape) != self.shape:
                raise DataError(f"an array of shape {self.shape} now has shape {tuple(opened.shape)}: its file was changed.")
            self._opened = (os.getpid(), opened)
        return np.asarray(self._opened[1][rows])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}


class ReadAhead:
    """An array whose samples do not lie together in the file: where slices follow each other, many samples are read at once."""

    def __init__(self, array: Sliceable):
        self.array, self.shape, self.dtype = array, tuple(array.shape), array.dtype
        self._rows = max(1, AHEAD_BYTES // max(1, self.dtype.itemsize * math.prod(self.shape[1:])))
        self._held: tuple[int, np.ndarray] = (-1, np.empty((0, *self.shape[1:]), self.dtype))

    def __getitem__(self, rows: slice) -> np.ndarray:
        start, stop, _ = rows.indices(self.shape[0])
        first, values = self._held
        if not first <= start <= stop <= first + len(values):
            follows = start == first + len(values)
            end = max(stop, min(start + self._rows, self.shape[0])) if follows else stop
            first, values = start, np.asarray(self.array[start:end])
            self._held = (first, values)
        return values[start - first : stop - first]


class Arranged:
    """A stored array as `(samples, [time], [channels], *space)`.

    `axes` names the stored axes in their order. Several axes of channels become one, a single channel none. An axis of samples or
    space that is not stored has the length that `sizes` states: the values are the same all along it.
    """

    def __init__(self, stored: Sliceable, axes: Sequence[str], sizes: Mapping[str, int]):
        self.stored, self.axes = stored, tuple(axes)
        self.dtype = np.dtype(stored.dtype)
        self._space = tuple(word for word in SPACE if word in sizes)
        own = list(zip(self.axes, stored.shape, strict=True))
        self.channels = math.prod(n for word, n in own if word == "channels")
        time = tuple(n for word, n in own if word == "time")
        self.shape = (sizes["samples"], *time, *([self.channels] * (self.channels > 1)), *(sizes[s] for s in self._space))

    def __getitem__(self, rows: slice) -> np.ndarray:
        start, stop, _ = rows.indices(self.shape[0])
        axes, stored = self.axes, self.stored
        if "samples" in axes:
            block = _take(stored, axes.index("samples"), start, stop)
        else:
            axes, block = ("samples", *axes), stored[0 : stored.shape[0]][None]
        canonical = ("samples", "time", "channels", *self._space)
        block = block.transpose([i for word in canonical for i, axis in enumerate(axes) if axis == word])
        missing = [word not in axes for word in self._space]
        leading = block.shape[: len(axes) - missing.count(False)]
        block = block[(..., *(None if absent else slice(None) for absent in missing))]
        whole = np.broadcast_to(block, (*leading, *self.shape[len(self.shape) - len(missing) :]))
        return np.broadcast_to(whole, (stop - start, *whole.shape[1:])).reshape(stop - start, *self.shape[1:])


def _take(stored: Sliceable, axis: int, start: int, stop: int) -> np.ndarray:
    """The entries `start` to `stop` of an axis; only slices of the first axis are asked for, about `BLOCK_BYTES` at a time."""
    if axis == 0:
        return stored[start:stop]
    chosen = (slice(None),) * axis + (slice(start, stop),)
    rows = max(1, BLOCK_BYTES // max(1, stored.dtype.itemsize * math.prod(stored.shape[1:])))
    pieces = [stored[first : first + rows][chosen] for first in range(0, stored.shape[0], rows)]
    return np.concatenate(pieces)
