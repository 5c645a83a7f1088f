"""Writing a dataset in the library's schema: checked first, then written beside its place and moved there in one step."""

import hashlib
import io
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import h5py
import numpy as np

from neuralop_jax._whole_files import whole_file
from neuralop_jax.data._disk_file import DiskFile
from neuralop_jax.data._read import BLOCK_BYTES, raw_bytes
from neuralop_jax.data._schema import SCHEMA, SCHEMA_VERSION, field_shape
from neuralop_jax.errors import DataError
from neuralop_jax.info import DatasetInfo, FieldInfo, SplitInfo

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FORMAT = ("v110", "v110")
"""The format of HDF5 1.10 (2016): its metadata carry checksums, which older formats do not."""


@runtime_checkable
class Sliceable(Protocol):
    """What `write_hdf5` needs of an array: NumPy arrays, memory maps and HDF5 datasets have it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape, samples first."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """The type in which the values are stored."""
        ...

    def __getitem__(self, rows: slice, /) -> Any:
        """The samples of a slice, as a NumPy array."""
        ...


def write_hdf5(
    path: str | Path,
    info: DatasetInfo,
    arrays: Mapping[str, Mapping[str, Sliceable]],
    *,
    overwrite: bool = False,
) -> None:
    """Writes fields on a grid to one HDF5 file: one chunk per sample, a checksum on every chunk and a sha256 on every field.

    The file appears under its name only when it is complete and on the disk; a writer that is killed leaves what was there
    before. The same arguments give the same bytes.

    **Arguments:**

    - `path`: where to write; the directory must exist.
    - `info`: names, units, grids, splits, license, citation and source.
    - `arrays`: for each split the array of each field, of shape `(samples, [time], [channels], *space)`: a time axis if the field
        is time-varying, a channel axis if it has more than one channel. Floats of at most 64 bits, integers and booleans are
        stored as they are. Only slices of samples are asked for, about 16 MiB at a time, so that a memory map, an HDF5 dataset
        or any object with `shape`, `dtype` and `[start:stop]` may be larger than memory.
    - `overwrite`: replace a file that is already there.

    **Raises:** `DataError` if a split, field or shape does not agree with `info`, a value is not finite, a name is not a plain
    identifier, or the file exists.

    !!! example

        ```python
        import numpy as np

        from neuralop_jax.data import write_hdf5
        from neuralop_jax.grids import Grid
        from neuralop_jax.info import DatasetInfo, FieldInfo, SplitInfo

        a, u = np.random.rand(2, 100, 64, 64).astype(np.float32)
        grid = Grid((64, 64), boundary=("periodic", "periodic"))
        info = DatasetInfo(
            name="mine",
            title="Two random fields",
            fields=(FieldInfo("a", unit="m/s"), FieldInfo("u", unit="Pa")),
            splits={"train": SplitInfo(80, grid), "test": SplitInfo(20, grid)},
        )
        write_hdf5("mine.h5", info, {"train": {"a": a[:80], "u": u[:80]}, "test": {"a": a[80:], "u": u[80:]}})
        ```
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise DataError(f"{path} exists. Choose another name, or pass overwrite=True.")
    if not path.parent.is_dir():
        raise DataError(f"no such directory: {path.parent}. Create it before writing {path.name}.")
    _check(info, arrays)
    try:
        with whole_file(path) as opened:
            disk = DiskFile(cast(io.FileIO, opened.raw))
            with h5py.File(disk, "w", libver=_FORMAT, track_times=False) as file:
                _write(file, info, arrays, disk)
            disk.check()
    except OSError as error:
        raise DataError(f"{path} cannot be written: {' '.join(str(error).split())[:200]}. Check space and rights.") from error


def _check(info: DatasetInfo, arrays: Mapping[str, Mapping[str, Sliceable]]) -> None:
    fields = {field.name: field for field in info.fields}
    axes = [name for split in info.splits.values() for name in split.grid.names]
    for name in (*fields, *info.splits, *info.parameters, *axes):
        if not _NAME.fullmatch(name):
            raise DataError(f"the name {name!r} cannot be stored: wanted letters, digits and underscores, a letter first.")
    if not fields or not info.splits:
        raise DataError("a dataset needs at least one field and one split; info has none.")
    if "parameters" in info.splits:
        raise DataError("a split cannot be called 'parameters', where the physical parameters are kept. Rename it.")
    if len(fields) != len(info.fields):
        raise DataError(f"info.fields names a field twice: {[field.name for field in info.fields]}.")
    if set(arrays) != set(info.splits):
        raise DataError(f"arrays has the splits {sorted(arrays)}, but info.splits has {sorted(info.splits)}. Make them agree.")
    for split_name, split in info.splits.items():
        if set(arrays[split_name]) != set(fields):
            found, wanted = sorted(arrays[split_name]), sorted(fields)
            raise DataError(f"split {split_name!r} has the fields {found}, but info.fields has {wanted}. Make them agree.")
        if split.num_samples < 1:
            raise DataError(f"split {split_name!r} is empty. Leave it out, or give it samples.")
        if "time" in split.grid.names:
            raise DataError("a space axis cannot be called 'time'. Rename it in Grid.names.")
        for name, values in arrays[split_name].items():
            _check_field(f"{split_name}/{name}", fields[name], split, values)


def _check_field(where: str, field: FieldInfo, split: SplitInfo, values: Sliceable) -> None:
    if field.channels < 1:
        raise DataError(f"{where} has channels={field.channels}; wanted at least 1.")
    if field.time_varying and not split.times:
        raise DataError(f"{where} varies in time, but its split has no times. Give SplitInfo.times.")
    if values.dtype.kind not in "fiub" or values.dtype.itemsize > 8:
        raise DataError(f"{where} has type {values.dtype}; wanted floats of at most 64 bits, integers or booleans. Convert it.")
    wanted = field_shape(field, split)
    if values.shape != wanted:
        raise DataError(f"{where} has shape {values.shape}; samples, times, channels and grid of its split make {wanted}.")


def _write(file: h5py.File, info: DatasetInfo, arrays: Mapping[str, Mapping[str, Sliceable]], disk: DiskFile) -> None:
    _set_text(file, "schema", SCHEMA)
    file.attrs["schema_version"] = SCHEMA_VERSION
    _set_text(file, "dataset_name", info.name)
    for name in ("title", "license", "citation", "source"):
        _set_text(file, name, getattr(info, name))
    if info.generation:
        _set_text(file, "generation", info.generation)
    _set_text(file, "field_names", [field.name for field in info.fields])
    _set_text(file, "split_names", list(info.splits))
    parameters = file.create_group("parameters")
    for name, value in info.parameters.items():
        parameters.attrs[name] = np.float64(value)
    for name, split in info.splits.items():
        _write_split(file.create_group(name), split, info.fields, arrays[name], disk)


def _write_split(
    group: h5py.Group, split: SplitInfo, fields: tuple[FieldInfo, ...], arrays: Mapping[str, Sliceable], disk: DiskFile
) -> None:
    group.attrs["num_samples"] = split.num_samples
    dimensions, boundary = group.create_group("dimensions"), group.create_group("boundary_conditions")
    grid = split.grid
    _set_text(dimensions, "spatial_dims", list(grid.names))
    _set_text(dimensions, "unit", grid.unit)
    _set_text(dimensions, "time_unit", split.time_unit)
    for axis, name in enumerate(grid.names):
        points = _write_array(dimensions, name, grid.coordinates()[axis], (grid.shape[axis],))
        points.attrs["extent"] = np.asarray(grid.extent[axis], np.float64)
        points.attrs["endpoint"] = grid.endpoint[axis]
        if grid.centered[axis]:
            points.attrs["centered"] = True
        _set_text(points, "unit", grid.unit)
        _set_text(boundary, name, grid.boundary[axis])
    if split.times:
        times = _write_array(dimensions, "time", np.asarray(split.times, np.float64), (len(split.times),))
        _set_text(times, "unit", split.time_unit)
    stored = group.create_group("t0_fields")
    for field in fields:
        _write_field(stored, field, arrays[field.name], disk)


def _write_field(group: h5py.Group, field: FieldInfo, values: Sliceable, disk: DiskFile) -> None:
    """Writes a field block by block, with the sha256 of all of it."""
    kind = np.dtype(values.dtype).newbyteorder("<")
    options: dict[str, Any] = {"chunks": (1, *values.shape[1:]), "fletcher32": True, "track_times": False}
    dataset, digest = group.create_dataset(field.name, values.shape, kind, **options), hashlib.sha256()
    for start, block in _blocks(values):
        bad = np.argwhere(~np.isfinite(block))
        if len(bad):
            first = [int(bad[0, 0]) + start, *bad[0, 1:].tolist()]
            where = f"{group.name}/{field.name}".replace("/t0_fields", "").lstrip("/")
            raise DataError(f"{where} holds {len(bad)} non-finite values, first at {first}. Drop these samples first.")
        dataset[start : start + len(block)] = block
        disk.check()
        digest.update(raw_bytes(block))
    _set_text(dataset, "unit", field.unit)
    _set_text(dataset, "description", field.description)
    dataset.attrs["channels"] = field.channels
    dataset.attrs["time_varying"] = field.time_varying
    _set_text(dataset, "sha256", digest.hexdigest())


def _blocks(values: Sliceable) -> Iterator[tuple[int, np.ndarray]]:
    """Consecutive pieces of about `BLOCK_BYTES`, each with the number of its first sample."""
    rows = max(1, BLOCK_BYTES // max(1, values.dtype.itemsize * math.prod(values.shape[1:])))
    for start in range(0, values.shape[0], rows):
        yield start, np.asarray(values[start : start + rows], values.dtype)


def _write_array(group: h5py.Group, name: str, values: np.ndarray, chunks: tuple[int, ...]) -> h5py.Dataset:
    kind = values.dtype.newbyteorder("<")
    data = np.ascontiguousarray(values, kind)
    return group.create_dataset(name, data=data, dtype=kind, chunks=chunks, fletcher32=True, track_times=False)


def _set_text(item: h5py.Group | h5py.Dataset, name: str, text: str | list[str]) -> None:
    """Fixed-length text lies in the object's header, under its checksum; text of varying length would not."""
    encoded = [part.encode("utf-8") for part in ([text] if isinstance(text, str) else text)]
    kind = h5py.string_dtype("utf-8", max(1, *map(len, encoded)))
    item.attrs.create(name, np.array(encoded[0] if isinstance(text, str) else encoded, dtype=kind), dtype=kind)
