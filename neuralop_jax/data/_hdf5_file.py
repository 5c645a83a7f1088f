"""HDF5 files read without the HDF5 library: another process parses them, this one takes the numbers from their places."""

import contextlib
import itertools
import math
import os
import re
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neuralop_jax.data._hdf5_filters import FLETCHER32, check_fletcher32, decode
from neuralop_jax.data._hdf5_process import identity, worker

BATCH_BYTES = 2**22
"""Chunks that follow each other in the file are read together up to about so many bytes."""
_MALFORMED = (ValueError, KeyError, TypeError, IndexError, ArithmeticError)
"""What comes of a description of the file that makes no sense."""
HULL_BYTES = 2**14
"""Of a piece of the file up to so many bytes all is read and a part taken, else each run of numbers is read by itself."""


class HDF5Object:
    """What a group and an array have in common: a name, the file, attributes.

    - `name`: its place in the file.
    - `attributes`: what the file says of each attribute, see `_hdf5_worker.py`.
    """

    def __init__(self, file: "HDF5File", number: int, name: str):
        self._file = None if file is self else file  # a file that held itself would not be closed with its last use
        self.name, self._number = name, number
        told = file.object(number)
        if "error" in told:
            raise OSError(str(told["error"]))
        self.attributes: dict[str, dict[str, Any]] = {_name(key): dict(value) for key, value in told["attributes"]}

    @property
    def file(self) -> "HDF5File":
        """The file in which it is."""
        return self if self._file is None else self._file  # type: ignore[return-value]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HDF5Object) and self.file is other.file and self._number == other._number

    def __hash__(self) -> int:
        return hash((id(self.file), self._number))


class HDF5Group(HDF5Object):
    """A group: `name in group`, `group["name"]`, `list(group)`; soft and external links are never followed."""

    def __init__(self, file: "HDF5File", number: int, name: str):
        super().__init__(file, number, name)
        self._members = {_name(key): value for key, value in file.object(number)["members"]}

    def __iter__(self) -> Iterator[Any]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def link(self, name: str) -> str:
        """Where a soft or external link points, in words; the empty string for an ordinary member."""
        member = self._members[name]
        return str(member.get("link", "")) if isinstance(member, dict) else ""

    def __getitem__(self, name: str) -> "HDF5Group | HDF5Array | HDF5Type":
        """The member `name`, or one of a member of it, `"group/name"`.

        **Raises:** `KeyError` if there is none, or it is a link; `OSError` if it is damaged.
        """
        first, _, rest = name.strip("/").partition("/")
        member = self._members[first]
        if isinstance(member, dict):
            if "error" in member:
                raise OSError(str(member["error"]))
            if "type" not in member or rest:
                raise KeyError(name)
            return HDF5Type()
        place = f"{self.name.rstrip('/')}/{first}"
        kind = HDF5Array if self.file.object(member).get("kind") == "dataset" else HDF5Group
        item = kind(self.file, member, place)
        if not rest:
            return item
        if not isinstance(item, HDF5Group):
            raise KeyError(name)
        return item[rest]


class HDF5Type:
    """The definition of a type that has a name."""


class HDF5File(HDF5Group):
    """A file opened for reading, and its root.

    - `filename`: its path.

    **Raises:** `OSError` if the file cannot be opened or parsed.
    """

    def __init__(self, path: Path):
        self.filename = str(path)
        self._descriptor = os.open(path, os.O_RDONLY)
        self._finalizer = weakref.finalize(self, os.close, self._descriptor)
        status = os.fstat(self._descriptor)
        self.size, self._identity = status.st_size, identity(status)
        try:
            self.objects, self.table = worker.contents(path, status)
            self._check_unchanged()
            super().__init__(self, 0, "/")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "HDF5File":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file; nothing can be read afterwards."""
        self._finalizer()

    def object(self, number: Any) -> dict[str, Any]:
        """What the worker says of an object."""
        told = self.objects[number] if isinstance(number, int) and 0 <= number < len(self.objects) else None
        if not isinstance(told, dict):
            raise OSError(f"object {number} is not described")
        return told

    def read(self, place: int, size: int) -> bytes:
        """The bytes at a place of the file."""
        if place < 0 or size < 0 or place + size > self.size:
            raise OSError(f"{size:,} bytes at byte {place:,} lie outside the file")
        if not self._finalizer.alive:
            raise OSError("the file is closed")
        self._check_unchanged()
        found = b""
        while len(found) < size:  # Linux reads at most 2 GiB at once
            piece = os.pread(self._descriptor, size - len(found), place + len(found))
            if not piece:
                raise OSError("the file ends too early")
            found = found + piece if found else piece
        return found

    def expect(self, place: int, size: int) -> None:
        """Lets the system fetch bytes that are read soon, and does not wait for them."""
        if hasattr(os, "posix_fadvise") and self._finalizer.alive and 0 <= place and 0 < size <= self.size - place:
            os.posix_fadvise(self._descriptor, place, size, os.POSIX_FADV_WILLNEED)

    def _check_unchanged(self) -> None:
        if identity(os.fstat(self._descriptor)) != self._identity:
            raise OSError("the file was changed while it was open")


class HDF5Array(HDF5Object):
    """An array in a file, sliced as NumPy arrays are, with steps of one.

    - `shape`, `dtype`, `chunks`: as in h5py; the shape is `None` where there is no array.
    - `holds`: what the elements are, in words.
    - `external`, `virtual`: the files in which the numbers are, if not in this one.
    - `filters`: the code, the parameters and the name of each filter.
    - `complete`: whether all of it was written.
    - `exact`: whether the file holds the numbers as NumPy does.
    """

    def __init__(self, file: HDF5File, number: int, name: str):
        super().__init__(file, number, name)
        told = self._told = file.object(number)
        self.shape: tuple[int, ...] = None if told["shape"] is None else tuple(map(int, told["shape"]))  # type: ignore[assignment]
        self.dtype, self.holds = _dtype(str(told["dtype"])), str(told["holds"])
        self.chunks = tuple(map(int, told["chunks"])) if told["chunks"] else None
        self.external, self.virtual = list(map(str, told["external"])), list(map(str, told["virtual"]))
        self.filters = [(int(code), list(map(int, values)), str(name)) for code, values, name in told["filters"]]
        self.complete, self.exact = bool(told["complete"]), bool(told.get("exact"))

    @property
    def ndim(self) -> int:
        return len(self.shape or ())

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def fletcher32(self) -> bool:
        """Whether every chunk carries a checksum."""
        return any(code == FLETCHER32 for code, *_ in self.filters)

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[...], dtype)

    def __getitem__(self, index: Any) -> np.ndarray:
        """A part of the array.

        **Raises:** `OSError` if the file is damaged there; `IndexError` for what is no slice with a step of one.
        """
        box = _box(index, self.shape)
        values = np.empty([stop - start for start, stop in box], self.dtype)
        if values.size == 0:
            return values
        try:
            if "inline" in self._told:
                whole = _numbers(bytes.fromhex(self._told["inline"]), self.dtype)
                values[...] = whole.reshape(self.shape)[_slices(box)]
            elif self._told.get("table"):
                self._read_chunks(values, box)
            elif self._told.get("place") is not None:
                _read_run(self.file, int(self._told["place"]), self.shape, box, values)
            else:
                raise ValueError("where its numbers are is not known")
        except _MALFORMED as error:
            raise OSError(str(error)) from error
        return values

    def take(self, rows: np.ndarray) -> np.ndarray:
        """These rows, `(rows, ...)`. Where each is a chunk as it is, the checksums of all are compared at once, which takes a
        fraction of the time.

        **Raises:** `OSError` if the file is damaged there; `IndexError` for rows that it does not have.
        """
        if ((rows < 0) | (rows >= len(self))).any():
            raise IndexError(f"an array of {len(self)} rows has not all of {rows.min()} to {rows.max()}")
        filters = [code for code, *_ in self.filters]
        size = self.dtype.itemsize * math.prod(self.shape[1:])
        stored = size + 4 * len(filters)
        alone = self.chunks == (1, *self.shape[1:]) and filters in ([], [FLETCHER32]) and size % 2 == 0
        if self._told.get("table") and alone and len(rows):
            try:
                table = self.file.table[slice(*self._told["table"])].reshape(len(self), 3)[rows]
                if (table[:, 1] == stored).all() and not table[:, 2].any():
                    found = b"".join(self.file.read(place, stored) for place in table[:, 0].tolist())
                    chunks = np.frombuffer(found, np.uint8).reshape(len(rows), stored)
                    if filters:
                        check_fletcher32(chunks)
                    return _numbers(chunks[:, :size], self.dtype).reshape(len(rows), *self.shape[1:])
            except _MALFORMED as error:
                raise OSError(str(error)) from error
        values = np.empty((len(rows), *self.shape[1:]), self.dtype)
        for place, row in enumerate(rows.tolist()):
            values[place] = self[row : row + 1][0]
        return values

    def expect(self, rows: np.ndarray) -> None:
        """Says that these rows are read next: a disk finds many faster at once than one after the other.

        Raises nothing; if something is wrong, reading says so.
        """
        with contextlib.suppress(OSError, *_MALFORMED):
            if self._told.get("table"):
                (length, *_) = self._told["chunks"]
                table = self.file.table[slice(*self._told["table"])].reshape(-(-len(self) // length), -1, 3)
                for place, size, _ in table[np.unique(rows // length)].reshape(-1, 3).tolist():
                    self.file.expect(place, size)
            elif self._told.get("place") is not None:
                size = self.dtype.itemsize * math.prod(self.shape[1:])
                for row in np.sort(rows).tolist():
                    self.file.expect(int(self._told["place"]) + row * size, size)

    def _read_chunks(self, values: np.ndarray, box: list[tuple[int, int]]) -> None:
        assert self.chunks is not None
        size = self.dtype.itemsize * math.prod(self.chunks)
        filters = [(code, parameters) for code, parameters, _ in self.filters]
        grid = [-(-length // chunk) for length, chunk in zip(self.shape, self.chunks, strict=True)]
        touched = [(start // chunk, -(-stop // chunk)) for (start, stop), chunk in zip(box, self.chunks, strict=True)]
        table = self.file.table[slice(*self._told["table"])].reshape(*grid, 3)[_slices(touched)].reshape(-1, 3)
        rows = grid[0] == self.shape[0] and math.prod(grid[1:]) == 1
        corners = [] if rows else list(itertools.product(*(range(*ends) for ends in touched)))
        first = 0
        for last in self._runs(table, filters, size):
            places = table[first:last].tolist()
            if last - first == 1:
                stored = self.file.read(*places[0][:2])
                chunks = decode(stored, filters, places[0][2], size)[None]
            else:
                stored = self.file.read(places[0][0], places[-1][0] + places[-1][1] - places[0][0])
                chunks = np.frombuffer(stored, np.uint8).reshape(last - first, -1)
                if filters:
                    check_fletcher32(chunks)
                chunks = chunks[:, :size]
            numbers = _numbers(chunks, self.dtype).reshape(last - first, *self.chunks)
            if rows:
                values[first:last] = numbers[(slice(None), 0, *_slices(box[1:]))]
            else:
                for place, chunk in zip(corners[first:last], numbers, strict=True):
                    _put(chunk, [number * length for number, length in zip(place, self.chunks, strict=True)], box, values)
            first = last

    def _runs(self, table: np.ndarray, filters: list[tuple[int, list[int]]], size: int) -> list[int]:
        """The ends of the runs of chunks that follow each other in the file as they are, without compression."""
        checked = bool(filters)
        if len(table) == 1 or any(code != FLETCHER32 for code, _ in filters) or len(filters) > 1 or size % 2:
            return list(range(1, len(table) + 1))
        stored = size + 4 * checked
        whole = (table[:, 1] == stored) & (table[:, 2] == 0)
        follows = whole[1:] & whole[:-1] & (np.diff(table[:, 0]) == stored)
        most, ends, first = max(1, BATCH_BYTES // stored), [], 0
        for stop in [*(np.flatnonzero(~follows) + 1).tolist(), len(table)]:
            ends += [*range(first + most, stop, most), stop]
            first = stop
        return ends


def _numbers(stored: Any, dtype: np.dtype) -> np.ndarray:
    """Stored bytes as numbers, along the last axis."""
    raw = stored if isinstance(stored, np.ndarray) else np.frombuffer(stored, np.uint8)
    return raw != 0 if dtype.kind == "b" else raw.view(dtype)


def _read_run(file: HDF5File, place: int, shape: Sequence[int], box: Sequence[tuple[int, int]], values: np.ndarray) -> None:
    """Reads a box of an array that lies in one piece."""
    dtype = values.dtype
    if not box:
        values[...] = _numbers(file.read(place, dtype.itemsize), dtype)[0]
        return
    (start, stop), row = box[0], dtype.itemsize * math.prod(shape[1:])
    hull = (stop - start) * row
    if hull <= max(HULL_BYTES, 4 * values.nbytes):
        whole = _numbers(file.read(place + start * row, hull), dtype).reshape(stop - start, *shape[1:])
        values[...] = whole[(slice(None), *_slices(box[1:]))]
        return
    for number in range(start, stop):
        _read_run(file, place + number * row, shape[1:], box[1:], values[number - start])


def _put(chunk: np.ndarray, corner: Sequence[int], box: Sequence[tuple[int, int]], values: np.ndarray) -> None:
    """Copies what a chunk and a box have in common."""
    common = [
        (max(start, place), min(stop, place + length))
        for place, length, (start, stop) in zip(corner, chunk.shape, box, strict=True)
    ]
    inside = [(start - place, stop - place) for place, (start, stop) in zip(corner, common, strict=True)]
    target = [(start - first, stop - first) for (first, _), (start, stop) in zip(box, common, strict=True)]
    values[_slices(target)] = chunk[_slices(inside)]


def _slices(box: Sequence[tuple[int, int]]) -> tuple[slice, ...]:
    return tuple(slice(*ends) for ends in box)


def _box(index: Any, shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """The start and the stop along each axis."""
    parts = index if isinstance(index, tuple) else (index,)
    at = parts.index(Ellipsis) if Ellipsis in parts else len(parts)
    whole = [slice(None)] * (len(shape) - len(parts) + (Ellipsis in parts))
    parts = [*parts[:at], *whole, *parts[at + 1 :]]
    slices = [part for part in parts if isinstance(part, slice) and part.step in (None, 1)]
    if len(slices) != len(parts) or len(parts) != len(shape):
        raise IndexError(f"an array in a file is read by slices with steps of one, not by {index!r}")
    bounds = [part.indices(length) for part, length in zip(slices, shape, strict=True)]
    return [(start, max(start, stop)) for start, stop, _ in bounds]


def _dtype(text: str) -> np.dtype:
    if not re.fullmatch(r"[<>|=][fiubcOSUV]\d*", text):
        raise ValueError(f"the type {text[:20]!r} is not known")
    return np.dtype(text)


def _name(name: Any) -> Any:
    """A name that is not UTF-8 stays bytes."""
    return name if isinstance(name, str) else bytes.fromhex(name["bytes"])
