"""Plain files: a user's own HDF5 arrays, read as fields when nothing but their names and shapes describes them."""

from collections.abc import Sequence
from pathlib import Path

from neuralop_jax._checks import did_you_mean
from neuralop_jax.data._hdf5_file import HDF5Array, HDF5File, HDF5Group
from neuralop_jax.data._open import link_target, member, names_in
from neuralop_jax.errors import DataError, NeuralOpError
from neuralop_jax.grids import Grid
from neuralop_jax.info import DatasetInfo, FieldInfo, SplitInfo


def is_flat(file: HDF5File) -> bool:
    """Whether a plain file keeps datasets in its root, not in one group per split."""
    return any(not link_target(file, name) and isinstance(file[name], HDF5Array) for name in names_in(file))


def plain_info(file: HDF5File, names: Sequence[str], num_dims: int = 0) -> DatasetInfo:
    """The `DatasetInfo` of a plain file; only the datasets called `names` count, if any are given.

    Datasets in the root form one split, `"train"`; otherwise every group that holds the fields is a split. Of the grid nothing
    but its shape is known, so it is taken as the unit box with open boundaries. It has `num_dims` axes; 0 tells by the arrays.

    **Raises:** `DataError` if a group holds some of the fields but not all, or no group holds them.
    """
    inside = {name: file[name] for name in names_in(file) if not link_target(file, name)}
    groups = {"train": file} if is_flat(file) else {name: item for name, item in inside.items() if isinstance(item, HDF5Group)}
    chosen: dict[str, dict[str, tuple[int, ...]]] = {}
    for split, group in groups.items():
        known = {name: group[name] for name in names_in(group) if not link_target(group, name)}
        shapes = {name: item.shape for name, item in known.items() if isinstance(item, HDF5Array) and item.ndim >= 2}
        if any(name in shapes for name in names):
            for name in names:
                _check_present(group, name)
            chosen[split] = {name: shapes[name] for name in names}
        elif not names and shapes:
            chosen[split] = shapes
    if not chosen:
        for name in names:
            _check_present(groups.get("train", next(iter(groups.values()), file)), name)
        raise DataError(f"{file.filename} holds no array of two or more axes, (samples, *space). Save fields in it.")
    splits, channels = {}, {}
    for split, shapes in chosen.items():
        where = f"{file.filename}:{groups[split].name}"
        splits[split], channels[split] = _plain_split(where, shapes, num_dims)
    first = next(iter(channels.values()))
    if any(other != first for other in channels.values()):
        raise DataError(f"{file.filename} has other channels in other splits: {channels}. Make them agree.")
    fields = tuple(FieldInfo(name, channels=count) for name, count in first.items())
    return DatasetInfo(name=Path(file.filename).stem, title=Path(file.filename).name, fields=fields, splits=splits)


def _plain_split(where: str, shapes: dict[str, tuple[int, ...]], num_dims: int) -> tuple[SplitInfo, dict[str, int]]:
    """The grid is the last `num_dims` axes; an array with one axis more than samples and space has channels."""
    num_dims = num_dims or min(map(len, shapes.values())) - 1
    for name, shape in shapes.items():
        if len(shape) - num_dims not in (1, 2):
            space = ", ".join("xyzw"[:num_dims])
            raise DataError(
                f"{where} has {name!r} of shape {shape}, wanted (samples, {space}) or (samples, channels, {space}), as "
                f"num_dims is {num_dims}. Save it so, choose other fields, or change data.num_dims."
            )
    reference = min(shapes, key=lambda name: len(shapes[name]))
    space = shapes[reference][-num_dims:]
    channels = {}
    for name, shape in shapes.items():
        if shape[0] != shapes[reference][0]:
            raise DataError(
                f"{where} has {shapes[reference][0]} samples of {reference!r} but {shape[0]} of {name!r}. Make the lengths equal."
            )
        if shape[1:] == space:
            channels[name] = 1
        elif shape[2:] == space:
            channels[name] = shape[1]
        else:
            raise DataError(
                f"{where} has {name!r} of shape {shape} beside {reference!r} of shape {shapes[reference]}: not on one grid. "
                f"Wanted (samples, *space) or (samples, channels, *space), read here with {num_dims} space axes. Save them so, "
                "or set data.num_dims."
            )
    try:
        return SplitInfo(shapes[reference][0], Grid(space)), channels
    except NeuralOpError as error:
        raise DataError(f"{where} has {reference!r} of shape {shapes[reference]}: {error}") from error


def _check_present(group: HDF5Group, name: str) -> None:
    where = f"{group.file.filename}:{group.name}"
    try:
        item = member(group, name)
    except KeyError:
        raise no_field(group, name) from None
    if not isinstance(item, HDF5Array) or item.ndim < 2:
        found = f"of shape {item.shape}" if isinstance(item, HDF5Array) else "a group"
        raise DataError(f"{where} has {name!r}, {found}; wanted an array (samples, *space) or (samples, channels, *space).")


def no_field(group: HDF5Group | HDF5Array, name: str) -> DataError:
    """The error for a field that is not in `group`, with names, shapes and types of the datasets that are."""
    found = {key: group[key] for key in names_in(group) if not link_target(group, key)} if isinstance(group, HDF5Group) else {}
    datasets = {key: item for key, item in found.items() if isinstance(item, HDF5Array)}
    listed = ", ".join(f"{key} {item.shape} {item.dtype}" for key, item in datasets.items())
    hint = did_you_mean(name, datasets) or " Choose with --data.input and --data.target."
    where = group.file.filename + (f":{group.name}" if group.name != "/" else "")
    return DataError(f"{where} has no dataset {name!r}. Found: {listed or 'none'}.{hint}")
