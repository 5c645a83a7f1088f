"""A foreign file of named arrays: what is in it is known at once, values are read when they are sliced."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import EllipsisType
from typing import Any

import numpy as np

from neuralop_jax.errors import DataError


@dataclass(frozen=True, eq=False)
class LazyArray:
    """An array in a file: `shape` and `dtype` are known, `array[start:stop]` reads along the first axis, `np.asarray` all of it.

    What a slice gives may be a view of the file that cannot be written to, in any order of memory.

    **Arguments:**

    - `shape`, `dtype`: of the whole array.
    - `read`: gives the part at a slice of the first axis, or the whole at `...`.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[slice | EllipsisType], np.ndarray]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | EllipsisType) -> np.ndarray:
        if isinstance(rows, EllipsisType):
            return self.read(rows)
        start, stop, step = rows.indices(self.shape[0])
        if step != 1:
            raise IndexError(f"an array in a file is read in one piece, array[start:stop], not with a step of {step}")
        return self.read(slice(start, max(start, stop)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        values = self.read(...)
        if copy is False and dtype is not None and np.dtype(dtype) != values.dtype:
            raise ValueError(f"an array of {values.dtype} cannot become {dtype} without a copy")
        return np.array(values, dtype, copy=bool(copy)) if copy else np.asarray(values, dtype)


@dataclass(frozen=True, eq=False)
class ArrayFile(Mapping[str, LazyArray]):
    """The arrays of a file by name, as `read_torch` and `read_mat` give them.

    **Arguments:**

    - `path`: the file.
    - `arrays`: what can be read.
    - `notes`: for every other thing in the file one line that says what it is, or why it is refused. Asking for it raises a
        `DataError` with that line.
    """

    path: Path
    arrays: dict[str, LazyArray]
    notes: dict[str, str]

    def __getitem__(self, name: str) -> LazyArray:
        if name in self.notes:
            raise DataError(self.notes[name])
        return self.arrays[name]

    def __contains__(self, name: object) -> bool:
        return name in self.arrays

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)

    def listing(self) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """The shape and type of every array, by name."""
        return {name: (array.shape, array.dtype) for name, array in self.arrays.items()}
