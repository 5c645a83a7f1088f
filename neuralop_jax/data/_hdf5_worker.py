"""Parses HDF5 files in processes of their own, which may crash, hang or run out of memory without harm to another.

A script that imports nothing of the package, so it starts fast: `python _hdf5_worker.py` reads one request per line, the JSON
list `[path, memory, seconds, patience]`, and forks for each. The fork limits itself, opens the file, and tells everything but the
numbers in the fields: groups, links, attributes, shapes, types, filters, and the place of every chunk. The answer is two 8-byte
integers, how the fork ended (as `os.waitstatus_to_exitcode` says it) and the length of what it told. That is an 8-byte integer,
the length of a JSON text, the text, and a table `(place, size, filter mask)` of 64-bit integers, a row for each chunk.
"""

import contextlib
import errno
import json
import os
import signal
import struct
import sys
from typing import Any

import h5py
import numpy as np
from h5py import h5o  # type: ignore[attr-defined]

MAX_ANSWER = 2**28
MAX_OBJECTS = 200_000
MAX_ATTRIBUTE = 2**20
MAX_INLINE = 2**16
"""The format allows that many bytes in the header of an object."""


def limit(memory: int, seconds: int, patience: int) -> None:
    """Makes this process end where it takes too much; it can neither write files nor start processes."""
    import resource

    limits = {"AS": memory, "CPU": seconds, "FSIZE": 0, "CORE": 0, "NPROC": 0}
    for name, most in limits.items():
        with contextlib.suppress(AttributeError, ValueError, OSError):
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))
    signal.alarm(patience)


class Contents:
    """What a file holds: objects by number, the root first, since groups may hold each other, and the places of all chunks."""

    def __init__(self, file: h5py.File, descriptor: int):
        self.objects: list[dict] = []
        self.tables: list[np.ndarray] = []
        self._rows, self._numbers, self._descriptor = 0, {}, descriptor
        self._size = os.fstat(descriptor).st_size
        waiting = [self._add(file)]
        while waiting:
            item, told = waiting.pop()
            with damage(told):
                told["attributes"] = [[shown(name), attribute(item, name)] for name in item.attrs]
                if isinstance(item, h5py.Group):
                    told["members"] = [[shown(name), self._member(item, name, waiting)] for name in item]
                else:
                    self._dataset(item, told)

    def _add(self, item: h5py.Group | h5py.Dataset) -> tuple[h5py.Group | h5py.Dataset, dict]:
        if len(self.objects) >= MAX_OBJECTS:
            raise ValueError(f"it holds more than {MAX_OBJECTS:,} objects")
        told = {"kind": "group" if isinstance(item, h5py.Group) else "dataset"}
        self._numbers[h5o.get_info(item.id).addr] = len(self.objects)
        self.objects.append(told)
        return item, told

    def _member(self, group: h5py.Group, name: Any, waiting: list) -> int | dict:
        """The number of an object, or what else the name leads to."""
        told: dict = {}
        with damage(told):
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.SoftLink):
                return {"link": f"soft link to {link.path!r}"}
            if isinstance(link, h5py.ExternalLink):
                return {"link": f"external link to {link.path!r} in {link.filename!r}"}
            if not isinstance(link, h5py.HardLink):
                return {"link": "link of an unknown kind"}
            item = group[name]
            if not isinstance(item, h5py.Group | h5py.Dataset):
                return {"type": True}
            address = h5o.get_info(item.id).addr
            if address not in self._numbers:
                waiting.append(self._add(item))
            return self._numbers[address]
        return told

    def _dataset(self, item: h5py.Dataset, told: dict) -> None:
        """Everything of a dataset but its numbers; where they are only if they lie in the file as NumPy holds them."""
        properties, dtype = item.id.get_create_plist(), item.dtype
        told["shape"] = None if item.shape is None else list(item.shape)
        told["chunks"] = list(item.chunks) if item.chunks else None
        told["dtype"], told["holds"] = dtype.str, holds(dtype)
        told["external"] = [str(name) for name, *_ in item.external or ()]
        told["virtual"] = sorted({source.file_name for source in item.virtual_sources()}) if item.is_virtual else []
        filters = [properties.get_filter(number) for number in range(properties.get_nfilters())]
        told["filters"] = [[code, list(values), name.decode("latin-1")] for code, _, values, name in filters]
        told["complete"] = item.id.get_space_status() == h5py.h5d.SPACE_STATUS_ALLOCATED
        if told["shape"] is None or told["external"] or told["virtual"] or dtype.kind not in "fiub" or dtype.itemsize > 8:
            return
        told["exact"] = bool(item.id.get_type().equal(h5py.h5t.py_create(dtype, logical=True)))
        if not (item.size and told["complete"] and told["exact"]):
            return
        if item.chunks:
            told["table"] = self._chunks(item, item.chunks)
        elif properties.get_layout() == h5py.h5d.COMPACT and item.nbytes <= MAX_INLINE:
            told["inline"] = item[...].tobytes().hex()
        else:
            told["place"] = item.id.get_offset()

    def _chunks(self, item: h5py.Dataset, chunks: tuple[int, ...]) -> list[int] | None:
        """The rows of the table in which the chunks are, in C order; none where there are more than bytes in the file."""
        grid = [-(-length // chunk) for length, chunk in zip(item.shape, chunks, strict=True)]
        number = 1
        for length in grid:
            number *= length
        if (self._rows + number) * 24 > MAX_ANSWER or number > self._size:
            return None
        table = np.full((number, 3), -1, np.int64)

        def enter(chunk: h5py.h5d.StoreInfo) -> None:
            place = [start // length for start, length in zip(chunk.chunk_offset, chunks, strict=True)]
            table[np.ravel_multi_index(place, grid)] = chunk.byte_offset, chunk.size, chunk.filter_mask

        item.id.chunk_iter(enter)
        place, size, _ = map(int, table[0])
        # some versions of HDF5 do not count the bytes before the signature of the file
        if os.pread(self._descriptor, size, place) != item.id.read_direct_chunk((0,) * item.ndim)[1]:
            raise ValueError("its first chunk is not where it is said to be")
        self.tables.append(table)
        self._rows += number
        return [self._rows - number, self._rows]


@contextlib.contextmanager
def damage(told: dict):
    """Notes an error instead of raising it: the rest of the file can still be read."""
    try:
        yield
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, MemoryError) as error:
        told["error"] = text(error)


def text(error: BaseException) -> str:
    return " ".join(str(error).split()).strip(" .'\"")[:400] or type(error).__name__


def shown(name: Any) -> str | dict:
    return name if isinstance(name, str) else {"bytes": name.hex()}


def holds(dtype: np.dtype) -> str:
    """What the elements are, in words."""
    if h5py.check_string_dtype(dtype):
        return "strings"
    if h5py.check_vlen_dtype(dtype):
        return "lists of varying length"
    if h5py.check_ref_dtype(dtype):
        return "references"
    return "records" if dtype.kind == "V" else str(dtype)


def attribute(item: h5py.Group | h5py.Dataset, name: str) -> dict:
    """An attribute: its texts, its numbers as bytes, or that it is something else."""
    told: dict = {}
    with damage(told):
        identifier = item.attrs.get_id(name)
        number = 1
        for length in identifier.shape or ():
            number *= length
        if number * identifier.dtype.itemsize > MAX_ATTRIBUTE:
            return {"large": True}
        if (
            not (h5py.check_string_dtype(identifier.dtype) or identifier.dtype.kind in "fiub")
            or identifier.dtype.itemsize > MAX_ATTRIBUTE
        ):
            return {}
        value = item.attrs[name]
        if isinstance(value, h5py.Empty):
            return {}
        values = np.ravel(np.asarray(value))
        if values.dtype.kind in "fiub":
            values = values.astype(values.dtype.newbyteorder("<"))
            return {"dtype": values.dtype.str, "values": values.tobytes().hex()}
        texts = [v.decode("utf-8") if isinstance(v, bytes) else str(v) for v in values]
        return {"large": True} if sum(map(len, texts)) > MAX_ATTRIBUTE else {"texts": texts}
    return told


def examine(path: str) -> bytes:
    """The answer for one file."""
    told, tables = {}, []
    try:
        with open(path, "rb", buffering=0) as raw, h5py.File(path, "r") as file:
            contents = Contents(file, raw.fileno())
            told, tables = {"objects": contents.objects}, contents.tables
    except Exception as error:
        busy = isinstance(error, OSError) and error.errno in (errno.EAGAIN, errno.EACCES) and "lock" in str(error)
        told = {"error": text(error), "busy": busy}
    return packed(told, *tables)


def packed(told: dict, *tables: np.ndarray) -> bytes:
    listed = json.dumps(told).encode()
    return b"".join([struct.pack("<q", len(listed)), listed, *(table.astype("<i8").tobytes() for table in tables)])


def apart(path: str, *limits: int) -> tuple[int, bytes]:
    """How a fork ends that examines a file, and what it says."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            for descriptor in (0, 1, reading):  # what is left of a file's code could answer for the next one
                os.close(descriptor)
            limit(*limits)
            with open(writing, "wb") as pipe:
                pipe.write(examine(path))
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writing)
    pieces, length = [], 0
    while length < MAX_ANSWER and (piece := os.read(reading, 2**20)):
        pieces.append(piece)
        length += len(piece)
    os.close(reading)
    said = b"".join(pieces)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said


def serve() -> None:
    """Answers requests until there are no more."""
    answers = sys.stdout.buffer
    for line in sys.stdin.buffer:
        try:
            code, said = apart(*json.loads(line))
        except OSError as error:  # no pipe, no fork: the system has nothing left
            code, said = 0, packed({"unable": f"{error.strerror}"})
        answers.write(struct.pack("<qq", code, len(said)) + said)
        answers.flush()


if __name__ == "__main__":
    serve()
