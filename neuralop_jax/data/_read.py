"""Reading descriptions and fields from a file of either layout, with the place of any damage named."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from neuralop_jax._checks import did_you_mean, one_of
from neuralop_jax.data._hdf5_file import BATCH_BYTES, HDF5Array, HDF5File
from neuralop_jax.data._open import check_dataset, damage_as_data_error, member, open_hdf5, text_attribute
from neuralop_jax.data._plain import is_flat, no_field, plain_info
from neuralop_jax.data._schema import field_shape, follows_schema, schema_info
from neuralop_jax.errors import ConfigError, DataError
from neuralop_jax.info import DatasetInfo

BLOCK_BYTES = 2**24
"""About so many bytes of a field are in memory at once when it is scanned."""


def read_info(path: str | Path, fields: Sequence[str] = (), *, num_dims: int = 0) -> DatasetInfo:
    """What an HDF5 file says of its fields, splits and source, without reading any field.

    A file without the library's schema is read as a plain file (see `HDF5Dataset`): every dataset of two or more axes is then
    taken as a field, unless `fields` names some.

    **Arguments:**

    - `path`: the file.
    - `fields`: of a plain file, the datasets to take as fields.
    - `num_dims`: of a plain file, the number of space axes; 0 tells by the arrays.

    **Returns:** a `DatasetInfo`.

    **Raises:** `DataError` as `open_hdf5`, and if the contents do not follow the schema; `ConfigError` unless `num_dims` is
    0 to 4.

    !!! example

        ```python
        from neuralop_jax.data import read_info

        info = read_info("datasets/darcy_small/darcy_small.h5")
        assert info.splits["train"].num_samples == 1000
        ```
    """
    with open_hdf5(path) as file:
        return info_of(file, fields, num_dims)


def info_of(file: HDF5File, names: Sequence[str] = (), num_dims: int = 0) -> DatasetInfo:
    """`read_info` of an open file; of a plain file only the datasets called `names` count, if any are given."""
    one_of("num_dims", num_dims, range(5), ConfigError)
    with damage_as_data_error(file.filename):
        return schema_info(file) if follows_schema(file) else plain_info(file, names, num_dims)


def find_field(file: HDF5File, info: DatasetInfo, split: str, name: str) -> HDF5Array:
    """The checked dataset of one field, its shape as `info` says.

    **Raises:** `DataError` if there is none, listing what there is, or as `check_dataset`.
    """
    if split not in info.splits:
        listed = ", ".join(f"{known} ({s.num_samples} samples)" for known, s in info.splits.items())
        raise DataError(f"{file.filename} has no split {split!r}. Found: {listed or 'none'}.{did_you_mean(split, info.splits)}")
    with damage_as_data_error(file.filename):
        flat = not follows_schema(file) and is_flat(file)
        group = file if flat else member(file, split, *(["t0_fields"] if follows_schema(file) else []))
        try:
            item = member(group, name)
        except KeyError:
            item = None
        if not isinstance(item, HDF5Array):
            raise no_field(group, name)
        check_dataset(item)
        wanted = field_shape(info.field(name), info.splits[split])
        if item.shape != wanted:
            found = f"{file.filename}:{item.name} has shape {item.shape}"
            raise DataError(f"{found}, its split and grid say {wanted}. Write it again.")
        return item


def read_rows(dataset: HDF5Array, start: int, stop: int) -> np.ndarray:
    """The samples `start` to `stop` of a field, in the stored type.

    **Raises:** `DataError` with the first sample that cannot be read, for instance because its checksum differs.
    """
    try:
        return dataset[start:stop]
    except (OSError, RuntimeError, ValueError) as error:
        sample = start
        if stop - start > 1:
            for sample in range(start, stop):
                read_rows(dataset, sample, sample + 1)
        where, reason = f"{dataset.file.filename}:{dataset.name}", " ".join(str(error).split())[:200]
        raise DataError(f"{where} is corrupt at sample {sample} ({reason}). Download or generate it again.") from error


def read_each(dataset: HDF5Array, rows: np.ndarray) -> np.ndarray:
    """The samples of these rows in float32, `(rows, ...)`, read in the order of the file, each into its place.

    **Raises:** `DataError` as `read_rows`.
    """
    values = np.empty((len(rows), *dataset.shape[1:]), np.float32)
    order = np.argsort(rows, kind="stable")
    step = max(1, BATCH_BYTES // max(1, dataset.dtype.itemsize * math.prod(dataset.shape[1:])))
    for first in range(0, len(rows), step):
        places = order[first : first + step]
        try:
            values[places] = dataset.take(rows[places])
        except OSError:
            for place in places:  # of which one says what is wrong with it
                values[place] = read_rows(dataset, int(rows[place]), int(rows[place]) + 1)[0]
    return values


def blocks(dataset: HDF5Array) -> Iterator[tuple[int, np.ndarray]]:
    """The field in consecutive pieces of about `BLOCK_BYTES`, each with the number of its first sample."""
    rows = max(1, BLOCK_BYTES // max(1, dataset.dtype.itemsize * int(np.prod(dataset.shape[1:]))))
    for start in range(0, dataset.shape[0], rows):
        yield start, read_rows(dataset, start, min(start + rows, dataset.shape[0]))


def raw_bytes(values: np.ndarray) -> bytes:
    """The bytes over which a field's sha256 is taken: C order, little-endian."""
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()


def check_sha256(dataset: HDF5Array, found: str) -> None:
    """Raises `DataError` if the file states another sha256 of the field than the one `found`."""
    stated = text_attribute(dataset, "sha256")
    if stated and stated != found:
        raise DataError(
            f"{dataset.file.filename}:{dataset.name} does not match its checksum: sha256 {found[:12]}…, "
            f"the file says {stated[:12]}…. Download or generate it again."
        )


def verify(path: str | Path) -> tuple[str, ...]:
    """Reads every field of a file in the library's schema and compares it with the sha256 stored beside it.

    **Arguments:**

    - `path`: the file.

    **Returns:** the names of the fields that were compared; none for a plain file, which states no checksums.

    **Raises:** `DataError` as `open_hdf5`, and naming the first field or sample that differs.

    !!! example

        ```python
        from neuralop_jax.data import verify

        assert len(verify("datasets/darcy_small/darcy_small.h5")) > 0
        ```
    """
    with open_hdf5(path) as file:
        info = info_of(file)
        if not follows_schema(file):
            return ()
        names = []
        for split in info.splits:
            for field in info.fields:
                dataset = find_field(file, info, split, field.name)
                digest = hashlib.sha256()
                for _, values in blocks(dataset):
                    digest.update(raw_bytes(values))
                check_sha256(dataset, digest.hexdigest())
                names.append(dataset.name)
        return tuple(names)
