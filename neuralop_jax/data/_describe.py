"""What is in an HDF5 file, told without reading an array or following a link."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

from neuralop_jax.data._open import check_dataset, damage_as_data_error, link_target, names_in, open_hdf5, place, text_attribute
from neuralop_jax.data._read import info_of
from neuralop_jax.data._schema import SCHEMA_VERSION, follows_schema
from neuralop_jax.errors import DataError


def describe(path: str | Path) -> dict[str, Any]:
    """The kind, fields, splits and objects of any HDF5 file, as a dictionary of JSON types.

    **Arguments:**

    - `path`: the file.

    **Returns:** a dictionary with

    - `path`, `bytes`: the name and the size of the file;
    - `kind`: `"neuralop_jax schema 1"` or `"plain HDF5"`;
    - `info`: `DatasetInfo.to_json()`, or `None` where the contents cannot be read as fields, and then
    - `problem`: why they cannot, else the empty string;
    - `objects`: for every dataset and every soft or external link its `name`, `shape`, `dtype`, `unit`, and a `note`: where the
        link points, or why the library would refuse to read the dataset.

    **Raises:** `DataError` as `open_hdf5`.

    !!! example

        ```python
        from neuralop_jax.data import describe

        for item in describe("datasets/darcy_small/darcy_small.h5")["objects"]:
            print(item["name"], item["shape"], item["dtype"])
        ```
    """
    with open_hdf5(path) as file:
        info, problem, kind = None, "", "plain HDF5"
        try:
            with damage_as_data_error(str(path)):
                kind = f"neuralop_jax schema {SCHEMA_VERSION}" if follows_schema(file) else kind
            info = info_of(file).to_json()
        except DataError as error:
            problem = str(error)
        with damage_as_data_error(str(path)):
            objects = list(_objects(file))
        size = Path(path).stat().st_size
        return {"path": str(path), "bytes": size, "kind": kind, "info": info, "problem": problem, "objects": objects}


def _objects(top: h5py.Group) -> Iterator[dict[str, Any]]:
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
            if isinstance(item, h5py.Dataset):
                yield _dataset(name, item)
            elif isinstance(item, h5py.Group):
                if item not in seen:
                    seen.add(item)
                    inside.append(item)
        waiting.extend(reversed(inside))


def _dataset(name: str, item: h5py.Dataset) -> dict[str, Any]:
    try:
        check_dataset(item)
        note = ""
    except DataError as error:
        note = str(error)
    shape = None if item.shape is None else list(item.shape)
    return {"name": name, "shape": shape, "dtype": str(item.dtype), "unit": text_attribute(item, "unit") or None, "note": note}
