"""PDEBench files: one tensor, one dataset per variable, or one group per sample."""

import functools
from pathlib import Path

import numpy as np

from neuralop_jax.data._hdf5_file import HDF5File, HDF5Group
from neuralop_jax.data._open import check_dataset, damage_as_data_error, link_target, member, names_in
from neuralop_jax.data._source import Source
from neuralop_jax.data.formats._arrays import SPACE, FileArray
from neuralop_jax.data.formats._axes import grid_of, times_of
from neuralop_jax.data.formats._hdf5 import HDF5Rows, find, hdf5_array, hdf5_vector, members, numbers
from neuralop_jax.data.formats._layout import build, listed
from neuralop_jax.errors import DataError

VARIABLES = ("density", "pressure", "Vx", "Vy", "Vz")
_COORDINATES = tuple(f"{axis}-coordinate" for axis in SPACE)


def is_pdebench(file: HDF5File) -> bool:
    """Whether the names in the file are those of PDEBench."""
    names = names_in(file)
    if "x-coordinate" in names:
        return "tensor" in names or any(name in names for name in VARIABLES)
    return bool(names) and all(name.isascii() and name.isdigit() for name in names) and _is_sample(file, names[0])


def _is_sample(file: HDF5File, name: str) -> bool:
    item = None if link_target(file, name) else file[name]
    return isinstance(item, HDF5Group) and "data" in item and "grid" in item


def read_pdebench(path: Path, file: HDF5File) -> Source:
    """The source of a PDEBench file: every variable a field, points in the centers of cells, attributes as parameters.

    **Raises:** `DataError` if shapes, coordinates and times do not agree.
    """
    return _with_coordinates(path, file) if "x-coordinate" in names_in(file) else _grouped(path, file)


def _with_coordinates(path: Path, file: HDF5File) -> Source:
    names = names_in(file)
    points = [hdf5_vector(file, name) for name in _COORDINATES if name in names]
    space, parameters, notes = SPACE[: len(points)], numbers(file), []
    fields = [name for name in ("nu", "tensor", *VARIABLES) if name in names]
    arrays = {name: hdf5_array(path, file, name) for name in fields}
    steady = "nu" in arrays
    axes = {name: ("samples", "time", *space) for name in fields}
    if steady:
        axes = {"nu": ("samples", *space), "tensor": ("samples", "channels", *space)}
    for name, order in axes.items():
        if len(arrays[name].shape) != len(order):
            raise DataError(
                f"{path}: {name!r} has shape {arrays[name].shape}, but beside {', '.join(_COORDINATES[: len(points)])} "
                f"wanted ({', '.join(order)}). Name the axes with --layout."
            )
    periodic = len(points) == 1 and not steady and "tensor" in arrays and bool({"Nu", "beta"} & set(parameters))
    if periodic:
        notes.append("the file states no boundary condition: periodic, as PDEBench computed its 1-D advection and Burgers sets")
    else:
        notes.append("the file states no boundary condition: open")
    grid, said = grid_of(points, ["periodic" if periodic else "open"] * len(points), centered=True)
    times, late = (), []
    if not steady and "t-coordinate" in names:
        frames = arrays[fields[0]].shape[1]
        times, late = times_of(hdf5_vector(file, "t-coordinate"), frames, f"{path}:t-coordinate")
    sizes = dict(zip(space, grid.shape, strict=True))
    kind = "PDEBench, steady" if steady else "PDEBench, one dataset per variable" if "tensor" not in names else "PDEBench, tensor"
    left = [name for name, item in members(file) if name not in (*fields, *_COORDINATES, "t-coordinate")]
    notes += [f"left out: {', '.join(left)}"] * bool(left)
    said = (*notes, *said, *late)
    return build(path, kind, arrays, axes, grid=grid, sizes=sizes, times=times, parameters=parameters, notes=said)


def _grouped(path: Path, file: HDF5File) -> Source:
    names = sorted(names_in(file), key=int)
    data = find(file, names[0], "data")
    group = member(file, names[0], "grid")
    if not isinstance(group, HDF5Group):
        raise DataError(f"{path}:{names[0]}/grid is an array, wanted a group with the coordinates.")
    inside = [axis for axis in SPACE if axis in names_in(group)]
    points = [hdf5_vector(file, names[0], "grid", axis) for axis in inside]
    order = ("samples", "time", *inside, "channels")
    array = FileArray((len(names), *data.shape), data.dtype, functools.partial(Stacked, path, tuple(names)))
    if len(array.shape) != len(order):
        raise DataError(f"{path}: the groups hold {listed({'data': array})}, wanted ({', '.join(order)}). Name the axes.")
    grid, notes = grid_of(points, ["open"] * len(points), centered=True)
    notes.append("the file states no boundary condition: open")
    times, late = times_of(hdf5_vector(file, names[0], "grid", "t"), data.shape[0], f"{path}:{names[0]}/grid/t")
    sizes = dict(zip(inside, grid.shape, strict=True))
    return build(
        path,
        "PDEBench, one group per sample",
        {"data": array},
        {"data": order},
        grid=grid,
        sizes=sizes,
        times=times,
        parameters=numbers(file),
        notes=(*notes, *late),
    )


class Stacked:
    """The datasets `data` of one group per sample as one array."""

    def __init__(self, path: Path, names: tuple[str, ...]):
        first = HDF5Rows(path, (names[0], "data"))
        self.path, self.names, self.file = path, names, first.file
        self.shape, self.dtype = (len(names), *first.shape), first.dtype

    def __getitem__(self, rows: slice) -> np.ndarray:
        chosen = self.names[rows]
        values = np.empty((len(chosen), *self.shape[1:]), self.dtype)
        for place, name in enumerate(chosen):
            item = find(self.file, name, "data")
            if item.shape != self.shape[1:]:
                raise DataError(f"{self.path}:{name}/data has shape {item.shape}, the first {self.shape[1:]}. Leave it out.")
            check_dataset(item)
            with damage_as_data_error(f"{self.path}:{name}/data"):
                values[place] = item[...]
        return values
