"""NumPy files: `.npy` and uncompressed `.npz` mapped into memory, compressed `.npz` read as a stream, objects never."""

import contextlib
import functools
import math
import struct
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from neuralop_jax._checks import reason
from neuralop_jax.data._open import SIZE_LIMIT
from neuralop_jax.data.formats._arrays import FileArray
from neuralop_jax.errors import DataError, NeuralOpError

_LOCAL_HEADER = 30


def read_npy(path: Path) -> dict[str, FileArray]:
    """The array of an `.npy` file, under the name `u`, mapped into memory."""
    with open(path, "rb") as file:
        dtype, shape, fortran, offset = _header(file, str(path))
    return {"u": _mapped(path, str(path), dtype, shape, fortran, offset)}


class _NotNumbers(DataError):
    """An array is whole, but of a type that is not wanted."""


class ArchiveArrays(dict[str, FileArray]):
    """The arrays of an archive by name; `notes` say of every other member why it is refused, and asking for it raises that."""

    def __init__(self):
        super().__init__()
        self.notes: dict[str, str] = {}

    def __missing__(self, name: str) -> FileArray:
        if name in self.notes:
            raise DataError(self.notes[name])
        raise KeyError(name)


def read_npz(path: Path, *, kinds: str = "fiub", whole: bool = False) -> ArchiveArrays:
    """The arrays of an `.npz` file by name whose types are of `kinds`, the letters of NumPy's `dtype.kind`.

    Members of other types, such as texts, records and objects, are in `notes` of what is returned. With `whole` all arrays will
    be read at once: none may then be of another type, and a compressed one may claim at most 64 times the bytes of the file.

    **Raises:** `DataError` for an archive that is damaged, or holds nothing but arrays of other types.

    !!! example

        ```python
        from pathlib import Path

        import numpy as np
        from neuralop_jax.data.formats import read_npz

        np.savez("fields.npz", u=np.ones((3, 4)))
        assert read_npz(Path("fields.npz"))["u"][1:].shape == (2, 4)
        ```
    """
    found = ArchiveArrays()
    with _unzip(path) as archive:
        for entry in archive.infolist():
            if not entry.filename.endswith(".npy"):
                continue
            name = entry.filename.removesuffix(".npy")
            where = f"{path}:{name}"
            try:
                with _zip_damage(where), archive.open(entry) as file:
                    dtype, shape, fortran, offset = _header(file, where, kinds)
            except _NotNumbers as error:
                if whole:
                    raise
                found.notes[name] = str(error)
                continue
            size = dtype.itemsize * math.prod(shape)
            if entry.file_size != offset + size:
                raise DataError(f"{where} is damaged: it has {entry.file_size:,} bytes, its header says {offset + size:,}.")
            if entry.compress_type == zipfile.ZIP_STORED:
                start = _data_start(path, entry, where)
                found[name] = _mapped(path, where, dtype, shape, fortran, start + offset)
            else:
                held = path.stat().st_size
                if whole and size > SIZE_LIMIT * held:
                    raise DataError(f"{where} claims {size:,} bytes, the file has {held:,}; refused (limit {SIZE_LIMIT} × that).")
                if fortran and size > SIZE_LIMIT * held:
                    raise DataError(f"{where} is compressed and stored by columns; save it with numpy.savez, which maps it.")
                reopen = functools.partial(Inflated, path, entry.filename, dtype, shape, fortran, offset)
                found[name] = FileArray(shape, dtype, reopen)
    if found.notes and not found:
        raise DataError(next(iter(found.notes.values())))
    return found


def is_npz(path: Path) -> bool:
    """Whether a zip archive holds NumPy arrays and no pickle."""
    with _unzip(path) as archive:
        names = archive.namelist()
    return any(name.endswith(".npy") for name in names) and not any(name.endswith(".pkl") for name in names)


class Inflated:
    """A compressed array of an `.npz` file, inflated as far as its rows are asked for; going back starts over."""

    def __init__(self, path: Path, entry: str, dtype: np.dtype, shape: tuple[int, ...], fortran: bool, offset: int):
        self.dtype, self.shape = dtype, shape
        self._where, self._fortran, self._offset = f"{path}:{entry.removesuffix('.npy')}", fortran, offset
        self._lock = threading.Lock()
        self._file = _unzip(path).open(entry)

    def __getitem__(self, rows: slice) -> np.ndarray:
        start, stop, _ = rows.indices(self.shape[0] if self.shape else 0)
        size = self.dtype.itemsize * math.prod(self.shape[1:])
        with self._lock, _zip_damage(self._where):
            if self._fortran:
                self._file.seek(self._offset)
                whole = np.frombuffer(self._file.read(), self.dtype)
                return whole.reshape(self.shape, order="F")[start:stop]
            self._file.seek(self._offset + start * size)
            values = np.frombuffer(self._file.read((stop - start) * size), self.dtype)
        return values.reshape(stop - start, *self.shape[1:])


def _header(file: Any, where: str, kinds: str = "fiub") -> tuple[np.dtype, tuple[int, ...], bool, int]:
    """The type, shape and order of an array, and where its numbers begin."""
    readers: dict[tuple[int, int], Callable[..., tuple[Any, bool, Any]]] = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    try:
        version = np.lib.format.read_magic(file)
        if version not in readers:
            raise ValueError(f"format {version} with records")
        shape, fortran, dtype = readers[version](file)
    except (ValueError, EOFError, SyntaxError, RecursionError, MemoryError, struct.error) as error:  # also of Python's parser
        raise DataError(f"{where} is no NumPy array: {reason(error).rstrip('.')}. Save it again.") from error
    if any(n < 0 for n in shape):
        raise DataError(f"{where} claims the shape {shape}: it is damaged. Save it again.")
    if dtype.hasobject:
        raise _NotNumbers(
            f"{where} holds Python objects, which are pickles and can run code; refused. Where you trust the file, load it with "
            "NumPy and save each array inside under a name of its own with numpy.savez."
        )
    if dtype.kind not in kinds or dtype.itemsize > (16 if dtype.kind == "c" else 8):
        raise _NotNumbers(
            f"{where} holds {dtype}, wanted real floats of at most 64 bits, integers or booleans. "
            "Convert it, and split a complex field into two channels."
        )
    return dtype, tuple(int(n) for n in shape), bool(fortran), file.tell()


def _mapped(path: Path, where: str, dtype: np.dtype, shape: tuple[int, ...], fortran: bool, offset: int) -> FileArray:
    wanted, size = offset + dtype.itemsize * math.prod(shape), path.stat().st_size
    if size < wanted:
        raise DataError(
            f"{where} is truncated: {size:,} bytes on disk, its header says {wanted:,}. Download or generate it again."
        )
    if math.prod(shape) == 0:
        return FileArray(shape, dtype, functools.partial(np.zeros, shape, dtype))
    order = "F" if fortran else "C"
    reopen = functools.partial(np.memmap, path, dtype, "r", offset, shape or (1,), order)
    return FileArray(shape or (1,), dtype, reopen)


def _data_start(path: Path, entry: zipfile.ZipInfo, where: str) -> int:
    """Where the bytes of an uncompressed entry begin: behind its local header, whose length may differ from the directory's."""
    with open(path, "rb") as file:
        file.seek(entry.header_offset)
        header = file.read(_LOCAL_HEADER)
    if len(header) < _LOCAL_HEADER or not header.startswith(b"PK\x03\x04"):
        raise DataError(f"{where} is damaged: no entry where the directory of the archive says. Download or generate it again.")
    name, extra = struct.unpack("<HH", header[26:30])
    return entry.header_offset + _LOCAL_HEADER + name + extra


def _unzip(path: Path) -> zipfile.ZipFile:
    with _zip_damage(str(path)):
        return zipfile.ZipFile(path)


@contextlib.contextmanager
def _zip_damage(where: str) -> Iterator[None]:
    """Turns what a damaged archive raises into a one-line `DataError`."""
    try:
        yield
    except NeuralOpError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{where} is damaged or truncated: {reason}. Download or generate it again.") from error
