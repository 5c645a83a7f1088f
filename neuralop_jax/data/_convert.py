"""Sources to one file in the library's schema, block by block."""

import itertools
from collections.abc import Mapping
from pathlib import Path

from neuralop_jax.data._join import common_parameters
from neuralop_jax.data._source import Source
from neuralop_jax.data._writer import write_hdf5
from neuralop_jax.errors import DataError
from neuralop_jax.info import DatasetInfo


def convert(
    splits: Mapping[str, Source],
    path: str | Path,
    *,
    name: str = "",
    title: str = "",
    license: str = "",
    citation: str = "",
    overwrite: bool = False,
) -> DatasetInfo:
    """Writes sources as the splits of one HDF5 file in the library's schema; about 16 MiB are in memory at a time.

    **Arguments:**

    - `splits`: the source of each split, from `open_source`, `select` or `join`. Their fields must be the same; their grids and
        times may differ.
    - `path`: the file to write, as for `write_hdf5`.
    - `name`, `title`: of the dataset; the name of the file if empty.
    - `license`, `citation`: of the original data; none of the formats that are read states them reliably.
    - `overwrite`: replace a file that is already there.

    **Returns:** the description that was written. Its `source` says which samples of which files the splits are.

    **Raises:** `DataError` if two splits share samples or differ in their fields, and as `write_hdf5`, for instance for values
    that are not finite.

    !!! example

        ```python
        import numpy as np

        from neuralop_jax.data import HDF5Dataset, convert, open_source, select

        rng = np.random.default_rng(0)
        np.savez("pairs.npz", x=rng.normal(size=(12, 8, 8)), y=rng.normal(size=(12, 8, 8)))
        source = open_source("pairs.npz")
        convert({"train": select(source, samples="0:10"), "test": select(source, samples="10:12")}, "pairs.h5")
        assert len(HDF5Dataset("pairs.h5", "test", "x", "y")) == 2
        ```
    """
    path = Path(path)
    if not splits:
        raise DataError(f"nothing to write to {path}. Give at least one split.")
    _check_apart(splits)
    for source in splits.values():
        for origin, *_ in source.origin:
            if path.exists() and path.samefile(origin):
                raise DataError(f"{path} is one of the files to convert, which would be lost. Write to another name.")
    first, sources = next(iter(splits)), list(splits.values())
    fields = {split: tuple(field.info for field in source.fields.values()) for split, source in splits.items()}
    for split, infos in fields.items():
        if infos != fields[first]:
            listed = {key: [f"{f.name} ({f.channels} channels)" for f in fields[key]] for key in (first, split)}
            raise DataError(
                f"split {split!r} has the fields {', '.join(listed[split])} but {first!r} has {', '.join(listed[first])}. "
                "Select and rename fields until they agree."
            )
    parameters, _ = common_parameters(sources)
    pieces = [f"{split}: {_origin(source)}" for split, source in splits.items()]
    info = DatasetInfo(
        name=name or path.stem,
        title=title or name or path.stem,
        fields=fields[first],
        splits={split: source.split() for split, source in splits.items()},
        parameters=parameters,
        license=license,
        citation=citation,
        source=f"converted from {'; '.join(pieces)}",
    )
    arrays = {split: {key: field.array for key, field in source.fields.items()} for split, source in splits.items()}
    write_hdf5(path, info, arrays, overwrite=overwrite)
    return info


def _origin(source: Source) -> str:
    pieces = [f"{Path(path).name} samples {start}:{stop}" for path, start, stop in source.origin]
    return f"{', '.join(pieces)} ({source.kind})"


def _check_apart(splits: Mapping[str, Source]) -> None:
    """Raises `DataError` if two splits hold the same samples of the same file."""
    for (name, one), (other_name, other) in itertools.combinations(splits.items(), 2):
        for (path, start, stop), (other_path, other_start, other_stop) in itertools.product(one.origin, other.origin):
            low, high = max(start, other_start), min(stop, other_stop)
            if low < high and Path(path).resolve() == Path(other_path).resolve():
                raise DataError(
                    f"the splits {name!r} and {other_name!r} share the samples {low}:{high} of {path}. Keep them apart."
                )
