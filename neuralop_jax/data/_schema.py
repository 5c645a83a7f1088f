"""Version 1 of the library's HDF5 schema, in the words of The Well, and its reader.

```
/                        schema, schema_version, dataset_name, title, license, citation, source, field_names, split_names;
                         generation (how the numbers were computed, JSON), if they were
/parameters              one attribute per physical parameter
/<split>                 num_samples
/<split>/dimensions      spatial_dims, unit, time_unit; one float64 dataset per axis (extent, endpoint, unit,
                               centered if true) and `time`
/<split>/boundary_conditions   one attribute per axis
/<split>/t0_fields/<name>      (samples, [time], [channels], *space), one chunk per sample, fletcher32;
                               unit, description, channels, time_varying, sha256
```
"""

from collections.abc import Sequence

import numpy as np

from neuralop_jax.data._hdf5_file import HDF5Array, HDF5File, HDF5Group
from neuralop_jax.data._open import attribute, check_dataset, member, text_attribute, texts_attribute
from neuralop_jax.errors import DataError
from neuralop_jax.grids import Grid
from neuralop_jax.info import DatasetInfo, FieldInfo, SplitInfo

SCHEMA = "neuralop_jax"
SCHEMA_VERSION = 1


def follows_schema(file: HDF5File) -> bool:
    """Whether the file claims the library's schema; `DataError` if it claims a version that is not known here."""
    if text_attribute(file, "schema") != SCHEMA:
        return False
    version = int(_number(file, "schema_version"))
    if version != SCHEMA_VERSION:
        raise DataError(
            f"{file.filename} follows version {version} of the schema, this library reads version {SCHEMA_VERSION}. "
            "Upgrade neuralop_jax, or write the file again."
        )
    return True


def field_shape(field: FieldInfo, split: SplitInfo) -> tuple[int, ...]:
    """The stored shape of a field: `(samples, [time], [channels], *space)`."""
    time = (len(split.times),) if field.time_varying else ()
    channels = (field.channels,) if field.channels > 1 else ()
    return (split.num_samples, *time, *channels, *split.grid.shape)


def schema_info(file: HDF5File) -> DatasetInfo:
    """The `DatasetInfo` of a file in the schema; `DataError` naming the first thing that is missing or contradicts another."""
    field_names, split_names = _texts(file, "field_names"), _texts(file, "split_names")
    splits = {name: _read_split(_group(file, name)) for name in split_names}
    parameters = _group(file, "parameters")
    return DatasetInfo(
        name=text_attribute(file, "dataset_name"),
        title=text_attribute(file, "title"),
        fields=tuple(_read_field(file, split_names, name) for name in field_names),
        splits=splits,
        parameters={name: _number(parameters, name) for name in parameters.attributes},
        license=text_attribute(file, "license"),
        citation=text_attribute(file, "citation"),
        source=text_attribute(file, "source"),
        generation=text_attribute(file, "generation"),
    )


def _group(parent: HDF5Group, *names: str) -> HDF5Group:
    try:
        item = member(parent, *names)
    except KeyError:
        item = None
    if not isinstance(item, HDF5Group):
        raise DataError(f"{parent.file.filename}:{parent.name} has no group {'/'.join(names)!r}, which its schema asks for.")
    return item


def _read_field(file: HDF5File, splits: Sequence[str], name: str) -> FieldInfo:
    described = []
    for split in splits:
        fields = _group(file, split, "t0_fields")
        try:
            item = member(fields, name)
        except KeyError:
            raise DataError(f"{file.filename}:{fields.name} has no field {name!r}, which its schema asks for.") from None
        described.append(
            FieldInfo(
                name=name,
                unit=text_attribute(item, "unit", "1"),
                description=text_attribute(item, "description"),
                channels=int(_number(item, "channels")),
                time_varying=bool(_number(item, "time_varying")),
            )
        )
    if any(other != described[0] for other in described):
        raise DataError(f"{file.filename} describes the field {name!r} differently in its splits. Write it again.")
    return described[0]


def _read_split(group: HDF5Group) -> SplitInfo:
    dimensions, boundary = _group(group, "dimensions"), _group(group, "boundary_conditions")
    names = _texts(dimensions, "spatial_dims")
    points = {name: _vector(dimensions, name) for name in (*names, "time")}
    axes = [member(dimensions, name) for name in names]
    grid = Grid(
        shape=tuple(len(points[name]) for name in names),
        extent=tuple((start, end) for start, end in (_numbers(axis, "extent", 2) for axis in axes)),
        boundary=tuple(text_attribute(boundary, name) for name in names),
        endpoint=tuple(bool(_number(axis, "endpoint")) for axis in axes),
        centered=tuple("centered" in axis.attributes and bool(_number(axis, "centered")) for axis in axes),
        names=names,
        unit=text_attribute(dimensions, "unit", "1"),
    )
    for name, coordinates in zip(names, grid.coordinates(), strict=True):
        if not np.allclose(points[name], coordinates, rtol=1e-12, atol=1e-12 * max(map(abs, grid.extent[names.index(name)]))):
            raise DataError(f"{group.file.filename}:{dimensions.name}/{name} contradicts its extent: the points are others.")
    return SplitInfo(
        num_samples=int(_number(group, "num_samples")),
        grid=grid,
        times=tuple(points["time"].tolist()),
        time_unit=text_attribute(dimensions, "time_unit", "1"),
    )


def _vector(group: HDF5Group, name: str) -> np.ndarray:
    """A one-dimensional float64 dataset; empty if it is absent, which only `time` may be."""
    try:
        item = member(group, name)
    except KeyError:
        item = None
    if item is None and name == "time":
        return np.zeros(0)
    if not isinstance(item, HDF5Array) or item.ndim != 1:
        raise DataError(f"{group.file.filename}:{group.name} has no vector {name!r}, which its schema asks for.")
    check_dataset(item)
    return np.asarray(item[:], np.float64)


def _numbers(item: HDF5Group | HDF5Array, name: str, count: int) -> list[float]:
    values = attribute(item, name)
    if values.size == count and values.dtype.kind in "fiub":
        return [float(value) for value in values]
    wanted = "a number" if count == 1 else f"{count} numbers"
    raise DataError(f"{item.file.filename}:{item.name} has no attribute {name!r} of {wanted}, which its schema asks for.")


def _number(item: HDF5Group | HDF5Array, name: str) -> float:
    return _numbers(item, name, 1)[0]


def _texts(item: HDF5Group | HDF5Array, name: str) -> tuple[str, ...]:
    values = texts_attribute(item, name)
    if not values:
        raise DataError(f"{item.file.filename}:{item.name} has no attribute {name!r}, which its schema asks for.")
    return values
