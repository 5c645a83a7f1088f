"""Files of The Well: fields by the rank of their tensors, axes along which nothing varies not stored."""

from pathlib import Path

import numpy as np

from neuralop_jax.data._hdf5_file import HDF5Array, HDF5File, HDF5Group
from neuralop_jax.data._open import attribute, member, names_in, text_attribute, texts_attribute
from neuralop_jax.data._source import Source
from neuralop_jax.data.formats._arrays import SPACE
from neuralop_jax.data.formats._axes import grid_of, times_of
from neuralop_jax.data.formats._hdf5 import find, hdf5_array, hdf5_vector, identifier, members, numbers
from neuralop_jax.data.formats._layout import build
from neuralop_jax.errors import DataError

_RANKS = {"t0_fields": 0, "t1_fields": 1, "t2_fields": 2}
_BOUNDARIES = {"PERIODIC": "periodic", "OPEN": "open", "DIRICHLET": "dirichlet", "NEUMANN": "neumann"}
_ROOT = {"n_spatial_dims", "n_trajectories"}


def is_the_well(file: HDF5File) -> bool:
    """Whether the file has the groups of The Well."""
    return {"dimensions", "boundary_conditions", "t0_fields"} <= set(names_in(file))


def read_the_well(path: Path, file: HDF5File) -> Source:
    """The source of a file of The Well: the components of vectors and tensors are channels, row by row.

    **Raises:** `DataError` if shapes, coordinates and flags do not agree.
    """
    dimensions = _group(file, "dimensions")
    names = texts_attribute(dimensions, "spatial_dims")
    if not 1 <= len(names) <= 3:
        raise DataError(f"{path}:/dimensions has the space axes {list(names)} in spatial_dims, wanted one to three names.")
    space = dict(zip(SPACE, names, strict=False))
    boundary, notes = _boundary(file, names)
    points = [hdf5_vector(dimensions, name) for name in names]
    grid, said = grid_of(points, boundary, names=tuple(map(identifier, names)))
    notes += said
    kind = text_attribute(file, "grid_type", "cartesian")
    notes += [f"the coordinates are {kind}, not cartesian"] * (kind != "cartesian")
    arrays, axes, descriptions = {}, {}, {}
    for group, rank in _RANKS.items():
        for name, item in members(_group(file, group)) if group in names_in(file) else ():
            arrays[name] = hdf5_array(path, file, group, name)
            axes[name] = _axes(item, tuple(space), rank)
            flags = [flag for flag in ("symmetric", "antisymmetric") if _flag(item, flag, False)]
            descriptions[name] = " ".join([*flags, ("scalar", "vector", "tensor")[rank]])
    if not arrays:
        raise DataError(f"{path} has no field in t0_fields, t1_fields or t2_fields. Add one.")
    sizes = dict(zip(space, grid.shape, strict=True))
    trajectories = attribute(file, "n_trajectories")
    sizes |= {"samples": int(trajectories[0])} if trajectories.size == 1 else {}
    times = ()
    frames = next((arrays[name].shape[order.index("time")] for name, order in axes.items() if "time" in order), 0)
    if frames and "time" in names_in(dimensions):
        times, said = _times(file, frames)
        notes += said
    parameters, said = _parameters(file)
    return build(
        path,
        f"The Well, {text_attribute(file, 'dataset_name', 'without a name')}",
        arrays,
        axes,
        grid=grid,
        sizes=sizes,
        times=times,
        parameters=parameters,
        notes=(*notes, *said),
        descriptions=descriptions,
    )


def _axes(item: HDF5Group | HDF5Array, space: tuple[str, ...], rank: int) -> tuple[str, ...]:
    """The stored axes of a field: those along which its flags say that it varies, then one per index of the tensor."""
    varying = attribute(item, "dim_varying")
    varying = varying if varying.size else np.ones(len(space), bool)
    if len(varying) != len(space):
        raise DataError(f"{item.file.filename}:{item.name} has {len(varying)} flags in dim_varying for {len(space)} space axes.")
    order = ("samples",) * _flag(item, "sample_varying", True) + ("time",) * _flag(item, "time_varying", True)
    order += (*(word for word, varies in zip(space, varying, strict=True) if varies), *("channels",) * rank)
    shape = item.shape if isinstance(item, HDF5Array) else ()
    if len(shape) != len(order):
        raise DataError(f"{item.file.filename}:{item.name} has shape {shape}, its flags say {', '.join(order)}. Write it again.")
    return order


def _boundary(file: HDF5File, names: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """The condition on each axis, and which of them are not known here."""
    kinds, notes = dict.fromkeys(names, "open"), []
    for name, item in members(_group(file, "boundary_conditions")):
        stated = text_attribute(item, "bc_type").upper()
        axes = [axis for axis in texts_attribute(item, "associated_dims") if axis in kinds]
        kinds |= dict.fromkeys(axes, _BOUNDARIES.get(stated, "open"))
        if stated not in _BOUNDARIES:
            notes.append(f"the boundary condition {stated or name!r} of {', '.join(axes) or name} is recorded as open")
    return list(kinds.values()), notes


def _times(file: HDF5File, frames: int) -> tuple[tuple[float, ...], list[str]]:
    """The times of the frames; of several trajectories those of the first."""
    stored = find(file, "dimensions", "time")
    if stored.ndim == 2 and stored.shape[0] and stored.shape[1]:
        rows = hdf5_array(Path(file.filename), file, "dimensions", "time")
        values = rows[0 : stored.shape[0]]
        notes = ["the times differ from sample to sample; those of the first are stated"] * bool((values != values[0]).any())
        values = values[0]
    else:
        values, notes = hdf5_vector(file, "dimensions", "time"), []
    times, late = times_of(values, frames, f"{file.filename}:dimensions/time")
    return times, [*notes, *late]


def _parameters(file: HDF5File) -> tuple[dict[str, float], list[str]]:
    """The numbers among the root's attributes and the scalars that do not vary; which scalars do is noted."""
    found, notes = {name: value for name, value in numbers(file).items() if name not in _ROOT}, []
    for name, item in members(_group(file, "scalars")) if "scalars" in names_in(file) else ():
        if isinstance(item, HDF5Array) and item.size == 1 and item.dtype.kind in "fiub":
            found[identifier(name)] = float(np.ravel(item[...])[0])
        else:
            notes.append(f"the scalar {name} varies and was left out")
    return found, notes


def _flag(item: HDF5Group | HDF5Array, name: str, default: bool) -> bool:
    values = attribute(item, name)
    return bool(values[0]) if values.size == 1 else default


def _group(file: HDF5File, name: str) -> HDF5Group:
    item = member(file, name)
    if not isinstance(item, HDF5Group):
        raise DataError(f"{file.filename}:/{name} is an array, wanted a group.")
    return item
