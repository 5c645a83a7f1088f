"""Variables in MATLAB's files: version 7.3 is HDF5, version 5 is read by SciPy in another process."""

import math
import re
from functools import partial
from pathlib import Path
from types import EllipsisType

import numpy as np

from neuralop_jax.data._array_file import ArrayFile, LazyArray
from neuralop_jax.data._hdf5_file import HDF5Array, HDF5File
from neuralop_jax.data._matlab_process import list_variables, unpack_variable
from neuralop_jax.data._open import (
    SIZE_LIMIT,
    _one_line,
    check_dataset,
    damage_as_data_error,
    link_target,
    member,
    names_in,
    open_file,
    read_start,
    refuse_start,
    text_attribute,
)
from neuralop_jax.errors import DataError

TYPES = {
    "double": np.dtype(np.float64),
    "single": np.dtype(np.float32),
    "logical": np.dtype(bool),
    **{name: np.dtype(name) for size in (8, 16, 32, 64) for name in (f"int{size}", f"uint{size}")},
}
"""MATLAB's numeric classes."""


def read_mat(path: str | Path) -> ArrayFile:
    """The numeric variables of a MATLAB file, with the axes as MATLAB shows them, read when they are sliced.

    Version 7.3 is HDF5, which shows all axes reversed: they are reversed back here, and everything that `open_hdf5` refuses is
    refused. A slice of the first axis is one of the last stored axis, so a few large slices are faster than many small ones.
    Version 5 (also called 6 and 7) is parsed by SciPy in another process with limits on memory and time, since damaged files can
    make it crash: first for the names alone, then once for each variable that is used, which is put into a temporary file and
    memory-mapped.

    **Arguments:**

    - `path`: a file of version 5 or 7.3, which is told by its first bytes.

    **Returns:** an `ArrayFile`. The type is that of the variable's class in MATLAB, boolean for `logical`; numbers are arrays of
    shape `(1, 1)`. Characters, cells, structures, sparse and complex variables are in `notes`.

    **Raises:** `DataError` if the file is missing, of another version, damaged, or makes the reader crash or take too long; when
    it is asked for, also for a variable that is not numeric or claims more than 64 times the bytes of the file.

    !!! example

        ```python
        from neuralop_jax.data import read_mat

        def vorticity(path, start, stop):
            return read_mat(path)["u"][start:stop]      # NavierStokes_V1e-3_N5000_T50.mat: (stop - start, 64, 64, 50)
        ```
    """
    path = Path(path)
    return _read_hdf5(path) if _is_hdf5(path) else _read_version_5(path)


def list_mat(path: str | Path) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """The shape and type of every numeric variable of a MATLAB file, by name, without reading values; see `read_mat`.

    !!! example

        ```python
        import numpy as np
        from scipy.io import savemat
        from neuralop_jax.data import list_mat

        savemat("fields.mat", {"u": np.ones((3, 4))})
        assert list_mat("fields.mat")["u"] == ((3, 4), np.float64)
        ```
    """
    return read_mat(path).listing()


def _is_hdf5(path: Path) -> bool:
    """Whether the file is of version 7.3; raises unless it is of that or of version 5."""
    start, found = read_start(path)
    if start.startswith(b"MATLAB 5.0"):
        return False
    if found or start.startswith(b"MATLAB 7.3"):
        return True
    orders = [int.from_bytes(start[:4], order) for order in ("little", "big")]
    if len(start) >= 20 and any(0 <= number < 5000 for number in orders):
        raise DataError(f"{path} looks like a MATLAB 4 file; not supported. Save it again in MATLAB with: save(..., '-v7.3').")
    raise refuse_start(path, start, "a MATLAB file of version 5 or 7.3")


def _read_hdf5(path: Path) -> ArrayFile:
    file, arrays, notes = open_file(path), {}, {}
    with damage_as_data_error(str(path)):
        for name in names_in(file):
            if name.startswith("#"):  # what cells and objects refer to
                continue
            try:
                arrays[name] = _reversed_dataset(file, name)
            except DataError as error:
                notes[name] = str(error)
    return ArrayFile(path, arrays, notes)


def _reversed_dataset(file: HDF5File, name: str) -> LazyArray:
    where = f"{file.filename}:/{name}"
    target = link_target(file, name)
    if target:
        raise DataError(f"{where} points outside its place ({target}). Refused; copy the data into one file.")
    with damage_as_data_error(where):
        item = member(file, name)
        kind = _one_line(text_attribute(item, "MATLAB_class"))
        if not isinstance(item, HDF5Array) or (kind and kind not in TYPES):
            raise DataError(f"{where} is a {kind or 'structure'} variable, wanted numbers. Save its numbers as an array.")
        if "MATLAB_empty" in item.attributes:
            raise DataError(f"{where} is empty. Leave it out.")
        check_dataset(item)
        dtype = TYPES["logical"] if kind == "logical" else item.dtype
        # the file is held, because HDF5 closes its datasets with it
        return LazyArray(item.shape[::-1], dtype, partial(_read_reversed, file, item, dtype))


def _read_reversed(file: HDF5File, item: HDF5Array, dtype: np.dtype, rows: slice | EllipsisType) -> np.ndarray:
    with damage_as_data_error(f"{file.filename}:{item.name}"):
        values = item[...] if isinstance(rows, EllipsisType) else item[..., rows]
        return np.asarray(values != 0 if dtype.kind == "b" else values).T


def _read_version_5(path: Path) -> ArrayFile:
    arrays, notes = {}, {}
    limit = SIZE_LIMIT * path.stat().st_size
    for name, shape, kind in list_variables(path):
        where = f"{path}:{name}"
        if not re.fullmatch(r"[A-Za-z]\w{0,62}", name, re.ASCII) or name in arrays or name in notes:
            notes[name] = f"{path}:{name[:80]!r} is there twice or has a name that MATLAB would not give. Rename it in MATLAB."
            arrays.pop(name, None)
        elif kind.startswith("complex "):
            notes[name] = f"{where} holds {kind} numbers, wanted real numbers. Split a complex field into two channels."
        elif kind not in TYPES:
            notes[name] = f"{where} is a {kind} variable, wanted numbers. Save its numbers as an array."
        elif any(length < 0 for length in shape) or math.prod(shape) * TYPES[kind].itemsize > limit:
            notes[name] = f"{where} claims shape {shape}; refused (limit {SIZE_LIMIT} × file size). Save it without compression."
        else:
            arrays[name] = LazyArray(shape, TYPES[kind], _Variable(path, name, shape, TYPES[kind]))
    return ArrayFile(path, arrays, notes)


class _Variable:
    """A variable of version 5, unpacked when it is first read."""

    def __init__(self, path: Path, name: str, shape: tuple[int, ...], dtype: np.dtype):
        self._what = path, name, shape, dtype
        self._values: np.ndarray | None = None

    def __call__(self, rows: slice | EllipsisType) -> np.ndarray:
        if self._values is None:
            self._values = unpack_variable(*self._what)
        return self._values[rows]
