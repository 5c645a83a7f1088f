"""Arrays and attributes of foreign HDF5 files, by ordinary members only."""

import functools
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from neuralop_jax.data._hdf5_file import HDF5Array, HDF5File, HDF5Group
from neuralop_jax.data._open import attribute, check_dataset, damage_as_data_error, link_target, member, names_in, open_file
from neuralop_jax.data._read import read_rows
from neuralop_jax.data.formats._arrays import FileArray
from neuralop_jax.errors import DataError


class HDF5Rows:
    """A checked HDF5 dataset whose slices name the sample that cannot be read."""

    def __init__(self, path: Path, names: tuple[str, ...]):
        self.file = open_file(path)  # held, because HDF5 may close its datasets with it
        self.dataset = find(self.file, *names)
        check_dataset(self.dataset)
        self.shape, self.dtype = self.dataset.shape, self.dataset.dtype

    def __getitem__(self, rows: slice) -> np.ndarray:
        start, stop, _ = rows.indices(self.shape[0] if self.shape else 0)
        return read_rows(self.dataset, start, stop)


def find(file: HDF5Group, *names: str) -> HDF5Array:
    """The dataset `names[0]/names[1]/...`; `DataError` if it is absent or a group."""
    with damage_as_data_error(file.file.filename):
        try:
            item = member(file, *names)
        except KeyError:
            item = None
    if not isinstance(item, HDF5Array):
        raise DataError(f"{file.file.filename} has no array {'/'.join(names)!r}. Its kind of file needs one.")
    return item


def hdf5_array(path: Path, file: HDF5File, *names: str) -> FileArray:
    """The array at `names`, checked."""
    item = find(file, *names)
    check_dataset(item)
    return FileArray(item.shape, item.dtype, functools.partial(HDF5Rows, path, names))


def hdf5_vector(file: HDF5Group, *names: str) -> np.ndarray:
    """A one-dimensional dataset of coordinates, times or numbers, in its stored type."""
    item = find(file, *names)
    check_dataset(item)
    if item.ndim != 1 or item.shape[0] == 0:
        raise DataError(f"{file.file.filename}:{item.name} has shape {item.shape}, wanted a vector.")
    return item[:]


def members(group: HDF5Group) -> Iterator[tuple[str, HDF5Group | HDF5Array]]:
    """The groups and datasets directly below `group`; links are passed over."""
    for name in names_in(group):
        if not link_target(group, name):
            item = group[name]
            if isinstance(item, HDF5Group | HDF5Array):
                yield name, item


def numbers(item: HDF5Group | HDF5Array) -> dict[str, float]:
    """The attributes that are single numbers, under names of letters, digits and underscores."""
    found = {}
    for name in item.attributes:
        if isinstance(name, str):
            values = attribute(item, name)
            if values.size == 1 and values.dtype.kind in "fiub" and np.isfinite(values[0]):
                found[identifier(name)] = float(values[0])
    return found


def identifier(name: str) -> str:
    """`name` with letters, digits and underscores only, a letter first."""
    plain = re.sub(r"[^A-Za-z0-9_]", "_", name)
    return plain if plain[:1].isalpha() else f"p_{plain}"
