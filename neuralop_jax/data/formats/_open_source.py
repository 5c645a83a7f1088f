"""Any file of fields as a `Source`: its kind is told by its first bytes and by the names inside."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from neuralop_jax.data._hdf5_file import HDF5Array, HDF5File
from neuralop_jax.data._open import damage_as_data_error, open_hdf5, read_start, refuse_start
from neuralop_jax.data._schema import follows_schema
from neuralop_jax.data._source import Source
from neuralop_jax.data._writer import Sliceable
from neuralop_jax.data.formats._arrays import FileArray, ReadAhead
from neuralop_jax.data.formats._hdf5 import hdf5_array, members
from neuralop_jax.data.formats._named import named_source
from neuralop_jax.data.formats._numpy import is_npz, read_npy, read_npz
from neuralop_jax.data.formats._pdebench import is_pdebench, read_pdebench
from neuralop_jax.data.formats._the_well import is_the_well, read_the_well
from neuralop_jax.errors import DataError

Reader = Callable[[Path], Mapping[str, Sliceable]]


def open_source(path: str | Path, *, layout: str | Sequence[str] = ()) -> Source:
    r"""Opens a file of fields of any known kind, without reading them.

    Known are PDEBench and The Well; the MATLAB files of the FNO and PINO papers (versions 5 and 7.3), the PyTorch files of
    neuraloperator, the NumPy files of the DeepONet comparison, of PINO and of FactFormer; and any array in a MATLAB, PyTorch,
    NumPy or HDF5 file whose axes `layout` names. What the file does not say, and what was inferred instead, is in `notes`.

    Of PyTorch files only tensors are read, no code is run; Python objects in NumPy files are refused.

    **Arguments:**

    - `path`: the file.
    - `layout`: the axes of arrays in their stored order, `"NAME: AXES"`, or `"AXES"` for every array with as many axes. The words
        are `samples`, `time`, `channels`, `x`, `y`, `z`. Arrays that no description fits are left out. A field that lacks an axis
        of another is constant along it.

    **Returns:** a `Source`: fields `(samples, [time], [channels], *space)`, of which slices of samples are read when asked for,
    with grid, times and parameters where they are known.

    **Raises:** `DataError` if the file is missing, damaged or unsafe, if it is in the library's own schema already, if nothing
    says what the axes are (the message lists the arrays and how to name them), or if shapes contradict each other.

    !!! example

        ```python
        import numpy as np

        from neuralop_jax.data import open_source

        np.save("flow.npy", np.zeros((10, 16, 16, 5), np.float32))
        source = open_source("flow.npy", layout="samples x y time")
        assert source.fields["u"].shape == (10, 5, 16, 16)
        ```
    """
    path, descriptions = Path(path), (layout,) if isinstance(layout, str) else tuple(layout)
    reader = raw_reader(path)
    if reader is not None:
        container, read = reader
        arrays, notes = arrays_of(path, read)
        source = named_source(path, container, arrays, descriptions)
        return dataclasses.replace(source, notes=(*source.notes, *(note.removesuffix(".") for note in notes)))
    with open_hdf5(path) as file, damage_as_data_error(str(path)):
        if follows_schema(file):
            raise DataError(f"{path} is in the library's schema already. Read it with HDF5Dataset.")
        if not descriptions and is_the_well(file):
            return read_the_well(path, file)
        if not descriptions and is_pdebench(file):
            return read_pdebench(path, file)
        return named_source(path, "HDF5", hdf5_arrays(path, file), descriptions)


def is_foreign(file: HDF5File) -> bool:
    """Whether an HDF5 file is of PDEBench or The Well."""
    return is_the_well(file) or is_pdebench(file)


def raw_reader(path: Path) -> tuple[str, Reader] | None:
    """The kind and the reader of a file of named arrays; `None` for an HDF5 file other than MATLAB's.

    **Raises:** `DataError` if the file is missing or of no kind that is known here.
    """
    start, is_hdf5 = read_start(path)
    if start.startswith((b"MATLAB 5.0", b"MATLAB 7.3")) or (is_hdf5 and _from_matlab(path)):
        from neuralop_jax.data._matlab import read_mat

        return "MATLAB", read_mat
    if is_hdf5:
        return None
    if start.startswith(b"\x93NUMPY"):
        return "NumPy array", read_npy
    is_zip = start.startswith(b"PK\x03\x04")
    if is_zip and is_npz(path):
        return "NumPy archive", read_npz
    if is_zip:
        from neuralop_jax.data._torch_file import read_torch

        return "PyTorch", read_torch
    raise refuse_start(path, start, "an HDF5, MATLAB, NumPy or PyTorch file")


def arrays_of(path: Path, read: Reader) -> tuple[dict[str, Sliceable], tuple[str, ...]]:
    """The arrays of a file by name, each opening its file anew in every process, and what the reader says of the rest."""
    found, arrays = {}, read(path)
    for name, values in arrays.items():
        reopen = functools.partial(_reopen, read, path, name)
        own = isinstance(values, FileArray)
        found[name] = values if own else FileArray(values.shape, values.dtype, reopen, ReadAhead(values))
    return found, tuple(getattr(arrays, "notes", {}).values())


def _reopen(read: Reader, path: Path, name: str) -> Sliceable:
    return ReadAhead(read(path)[name])


def hdf5_arrays(path: Path, file: HDF5File) -> dict[str, Sliceable]:
    """The arrays in the root of an HDF5 file and, as `group/name`, in the groups of its root."""
    found: dict[str, Sliceable] = {}
    for name, item in members(file):
        inside = [(name,)] if isinstance(item, HDF5Array) else [(name, key) for key, _ in members(item)]
        for names in inside:
            array = file["/".join(names)]
            if isinstance(array, HDF5Array) and array.shape is not None and array.dtype.kind in "fiub":
                found["/".join(names)] = hdf5_array(path, file, *names)
    return found


def _from_matlab(path: Path) -> bool:
    """Whether MATLAB, or a program that imitates it, wrote an HDF5 file: its axes are then stored in reverse."""
    if path.suffix.lower() == ".mat":
        return True
    with open_hdf5(path) as file, damage_as_data_error(str(path)):
        return any("MATLAB_class" in item.attributes for _, item in itertools.islice(members(file), 20))
