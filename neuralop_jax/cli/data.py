"""`data info FILE`: what an HDF5 file holds, and whether it is whole."""

from collections.abc import Sequence
from pathlib import Path

from tyro.conf import Positional

from neuralop_jax.cli._console import say, show_table
from neuralop_jax.errors import DataError
from neuralop_jax.info import DatasetInfo


def info(file: Positional[Path]) -> None:
    """Show the fields, splits and arrays of an HDF5 file, and verify its checksums.

    Args:
        file: The HDF5 file, in the library's schema or any other.
    """
    from neuralop_jax.data import HDF5Dataset, describe, verify

    found = describe(file)
    say(f"{found['path']}: {found['kind']}, {found['bytes']:,} bytes")
    known = DatasetInfo.from_json(found["info"]) if found["info"] else None
    if known:
        _show_info(known)
    rows = [(o["name"], _shape(o["shape"]), o["dtype"] or "", o["unit"] or "", o["note"]) for o in found["objects"]]
    show_table(("array", "shape", "type", "unit", "note"), rows)
    if known is None:
        raise DataError(found["problem"])
    compared = verify(file)
    names = [field.name for field in known.fields]
    for split in known.splits:
        HDF5Dataset(file, split, names, names)
    checksums = f"the checksums of all {len(compared)} arrays agree" if compared else "the file states no checksums"
    say(f"Every value was read and is finite; {checksums}.")


def _show_info(known: DatasetInfo) -> None:
    for label, text in (("title", known.title), ("license", known.license), ("source", known.source)):
        if text:
            say(f"{label}: {text}")
    if known.parameters:
        say("parameters: " + ", ".join(f"{name} = {value:g}" for name, value in known.parameters.items()))
    splits = [
        (name, split.num_samples, _shape(split.grid.shape), ", ".join(split.grid.boundary), len(split.times) or "")
        for name, split in known.splits.items()
    ]
    show_table(("split", ">samples", "grid", "boundary", ">frames"), splits)
    fields = [(f.name, f.unit, f.channels, "yes" if f.time_varying else "no", f.description) for f in known.fields]
    show_table(("field", "unit", ">channels", "time-varying", "description"), fields)


def _shape(shape: Sequence[int] | None) -> str:
    return "" if shape is None else " x ".join(map(str, shape)) or "scalar"
