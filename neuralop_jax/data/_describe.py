"""What is in a file of data, told without reading a field or following a link."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neuralop_jax.data._hdf5_file import HDF5Array, HDF5Group
from neuralop_jax.data._open import check_dataset, damage_as_data_error, link_target, names_in, open_hdf5, place, text_attribute
from neuralop_jax.data._read import info_of
from neuralop_jax.data._schema import SCHEMA_VERSION, follows_schema
from neuralop_jax.data._source import Source
from neuralop_jax.data._writer import Sliceable
from neuralop_jax.data.formats._open_source import arrays_of, is_foreign, open_source, raw_reader
from neuralop_jax.errors import DataError

MAX_OBJECTS = 200


def describe(path: str | Path, *, layout: str | Sequence[str] = ()) -> dict[str, Any]:
    """The kind, fields, splits and objects of any file that `open_source` or `HDF5Dataset` reads, as a dictionary of JSON types.

    **Arguments:**

    - `path`: the file.
    - `layout`: the axes of its arrays in words, as for `open_source`.

    **Returns:** a dictionary with

    - `path`, `bytes`: the name and the size of the file;
    - `kind`: `"neuralop_jax schema 1"`, `"plain HDF5"`, or the kind of a foreign file, see `Source`;
    - `info`: `DatasetInfo.to_json()`, or `None` where the contents cannot be read as fields, and then
    - `problem`: why they cannot, else the empty string;
    - `fields`: of a foreign file the `name`, canonical `shape`, `dtype` and `stored` order of every field, else empty;
    - `notes`: what was inferred of a foreign file, or left out;
    - `objects`: for every array and every soft or external link its `name`, `shape`, `dtype`, `unit`, and a `note`: where the
        link points, or why the library would refuse to read the array. At most 200 are listed.

    **Raises:** `DataError` if the file is missing, damaged, unsafe, or of no known kind.

    !!! example

        ```python
        from neuralop_jax.data import describe

        for item in describe("datasets/darcy_small/darcy_small.h5")["objects"]:
            print(item["name"], item["shape"], item["dtype"])
        ```
    """
    path = Path(path)
    found: dict[str, Any] = {"path": str(path), "bytes": path.stat().st_size if path.is_file() else 0}
    reader = raw_reader(path)
    if reader is not None:
        arrays, notes = arrays_of(path, reader[1])
        return found | _source(path, reader[0], layout) | {"objects": _arrays(arrays, notes)}
    with open_hdf5(path) as file:
        kind, foreign, info, problem = "plain HDF5", bool(layout), None, ""
        try:
            with damage_as_data_error(str(path)):
                kind = f"neuralop_jax schema {SCHEMA_VERSION}" if follows_schema(file) else kind
                foreign = foreign or (kind == "plain HDF5" and is_foreign(file))
            info = None if foreign else info_of(file).to_json()
        except DataError as error:
            problem = str(error)
        with damage_as_data_error(str(path)):
            objects = list(itertools.islice(_objects(file), MAX_OBJECTS))
    said = {"kind": kind, "info": info, "problem": problem, "fields": [], "notes": []}
    return found | (_source(path, "HDF5", layout) if foreign else said) | {"objects": objects}


def _source(path: Path, kind: str, layout: str | Sequence[str]) -> dict[str, Any]:
    """What is said of a foreign file, or why it cannot be read as fields."""
    try:
        source = open_source(path, layout=layout)
    except DataError as error:
        return {"kind": kind, "info": None, "problem": str(error), "fields": [], "notes": []}
    return {
        "kind": source.kind,
        "info": source.info().to_json(),
        "problem": "",
        "fields": _fields(source),
        "notes": list(source.notes),
    }


def _fields(source: Source) -> list[dict[str, Any]]:
    return [
        {"name": name, "shape": list(field.shape), "dtype": str(field.dtype), "stored": field.stored}
        for name, field in source.fields.items()
    ]


def _arrays(arrays: Mapping[str, Sliceable], notes: Sequence[str]) -> list[dict[str, Any]]:
    """The arrays of a file that is not HDF5, then what its reader would not read."""
    known = [
        {"name": name, "shape": list(values.shape), "dtype": str(np.dtype(values.dtype)), "unit": None, "note": ""}
        for name, values in arrays.items()
    ]
    other = [{"name": "", "shape": None, "dtype": None, "unit": None, "note": note} for note in notes]
    return [*known, *other][:MAX_OBJECTS]


def _objects(top: HDF5Group) -> Iterator[dict[str, Any]]:
    """Every dataset and link below `top` once, in order of their names, also where a group contains itself."""
    waiting, seen = [top], {top}
    while waiting:
        group = waiting.pop()
        inside = []
        for key in names_in(group):
            name, target = place(group, key), link_target(group, key)
            if target:
                yield {"name": name, "shape": None, "dtype": None, "unit": None, "note": target}
                continue
            item = group[key]
            if isinstance(item, HDF5Array):
                yield _dataset(name, item)
            elif isinstance(item, HDF5Group):
                if item not in seen:
                    seen.add(item)
                    inside.append(item)
        waiting.extend(reversed(inside))


def _dataset(name: str, item: HDF5Array) -> dict[str, Any]:
    try:
        check_dataset(item)
        note = ""
    except DataError as error:
        note = str(error)
    shape = None if item.shape is None else list(item.shape)
    return {"name": name, "shape": shape, "dtype": str(item.dtype), "unit": text_attribute(item, "unit") or None, "note": note}
