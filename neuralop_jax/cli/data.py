"""`data info FILE`: what a file holds, and whether it is whole; `data convert FILE OUT`: a foreign file in our schema."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional, UseAppendAction

from neuralop_jax._checks import shown
from neuralop_jax.cli._console import say, show_table
from neuralop_jax.errors import DataError
from neuralop_jax.info import DatasetInfo

Repeated = UseAppendAction[tuple[str, ...]]


def info(file: Positional[Path], *, layout: Repeated = ()) -> None:
    """Show the fields, splits and arrays of a file, and verify the checksums of an HDF5 file that can be trained on as it is.

    Of files of PDEBench and The Well, MATLAB, PyTorch and NumPy files no field is read.

    Args:
        file: The file.
        layout: Axes of the arrays as stored, "NAME: samples x y time", where the file does not say; may be repeated.
    """
    from neuralop_jax.data import HDF5Dataset, describe, verify

    found = describe(file, layout=layout)
    say(f"{found['path']}: {found['kind']}, {found['bytes']:,} bytes")
    known = DatasetInfo.from_json(found["info"]) if found["info"] else None
    if known and found["fields"]:
        _show_source(known, found["fields"])
    elif known:
        _show_info(known)
    if known and found["kind"] == "plain HDF5" and not found["fields"]:
        _show_reading(known)
    rows = [(o["name"], _shape(o["shape"]), o["dtype"] or "", o["unit"] or "", o["note"]) for o in found["objects"]]
    show_table(("array", "shape", "type", "unit", "note"), rows)
    for note in found["notes"]:
        say(f"Note: {note}.")
    if known is None:
        raise DataError(found["problem"])
    if found["fields"]:
        say(f"No field was read. To train on it: neuralop-jax data convert {shlex.quote(str(file))} OUT.h5")
        return
    compared = verify(file)
    names = [field.name for field in known.fields]
    for split in known.splits:
        HDF5Dataset(file, split, names, names)
    checksums = f"the checksums of all {len(compared)} arrays agree" if compared else "the file states no checksums"
    say(f"Every value was read and is finite; {checksums}.")


def convert(
    file: Positional[Path],
    output: Positional[Path],
    *,
    split: Repeated = (),
    field: Repeated = (),
    layout: Repeated = (),
    time: str = ":",
    stride: tuple[int, ...] = (1,),
    boundary: tuple[str, ...] = (),
    extent: tuple[float, ...] = (),
    dtype: Literal["stored", "float32", "float64"] = "stored",
    name: str = "",
    title: str = "",
    license: str = "",
    citation: str = "",
    overwrite: bool = False,
) -> None:
    """Write a file of PDEBench, The Well, MATLAB, PyTorch or NumPy as an HDF5 file in the library's schema, OUTPUT.

    What does not fit in memory is converted all the same. Ranges are START:STOP as in Python, also -200: and 10%:.

    Args:
        file: The file to read.
        output: The HDF5 file to write.
        split: NAME=RANGE of samples, NAME=FILE or NAME=FILE@RANGE; may be repeated. One split, train, if left out.
        field: NEW=OLD or OLD; NEW=OLD@RANGE takes frames of OLD as channels. May be repeated. All fields if left out.
        layout: Axes of the arrays as stored, "NAME: samples x y time", where the file does not say; may be repeated.
        time: The range of frames, START:STOP:STEP.
        stride: Keep every n-th point of every space axis, or of each axis one number.
        boundary: periodic, dirichlet, neumann or open: one for all axes or one for each.
        extent: Two numbers for all axes, or two for each.
        dtype: The type to store.
        name: The name of the dataset.
        title: A line that describes it.
        license: The license of the data.
        citation: What to cite.
        overwrite: Replace OUTPUT if it exists.
    """
    from neuralop_jax.data import convert as write, join, open_source, select
    from neuralop_jax.data._join import common_parameters

    if len(extent) % 2:
        raise DataError(f"--extent has {len(extent)} numbers. Give two for all axes, or two for each.")
    options = {
        "fields": dict(_named(word) for word in field) or None,
        "times": time,
        "stride": stride[0] if len(stride) == 1 else stride,
        "boundary": boundary,
        "extent": list(zip(extent[::2], extent[1::2], strict=True)),
        "dtype": dtype,
    }
    parts: dict[str, list[Any]] = {}
    for key, path, samples in [_part(word, file) for word in split] or [("train", file, ":")]:
        parts.setdefault(key, []).append(select(open_source(path, layout=layout), samples=samples, **options))
    sources = {key: join(pieces) for key, pieces in parts.items()}
    first = next(iter(sources.values()))
    say(f"{file}: {first.kind}")
    written = write(sources, output, name=name, title=title, license=license, citation=citation, overwrite=overwrite)
    if not split:
        say(f"No --split was given: all {first.num_samples} samples are the split train.")
    _show_info(written)
    notes = [note for source in sources.values() for note in source.notes]
    for note in dict.fromkeys([*notes, *common_parameters(list(sources.values()))[1]]):
        say(f"Note: {note}.")
    say(f"Written to {output}.")


def _named(word: str) -> tuple[str, str]:
    """`NEW=OLD` or `OLD`, which may end in a range of frames, as the new and the old name."""
    new, equals, old = word.partition("=")
    return (new, old) if equals else (new.partition("@")[0], new)


def _part(word: str, file: Path) -> tuple[str, Path, str]:
    """`NAME=RANGE`, `NAME=FILE` or `NAME=FILE@RANGE` as the name of the split, the file and the range of its samples."""
    from neuralop_jax.data._select import RANGE

    name, equals, what = word.partition("=")
    if not (name and equals and what):
        raise DataError(f"--split {word!r} is no NAME=RANGE, NAME=FILE or NAME=FILE@RANGE, such as train=0:1000.")
    if RANGE.fullmatch(what):
        return name, file, what
    path, at, samples = what.rpartition("@")
    path, samples = (path, samples) if at and RANGE.fullmatch(samples) else (what, ":")
    if ":" in path and not os.path.exists(path):
        raise DataError(
            f"--split {shown(word)}: {shown(path)} is neither a range, such as 0:1000 or 10%:, nor a file that is there. Give "
            "one of them, or FILE@RANGE."
        )
    return name, Path(path), samples


def _show_source(known: DatasetInfo, fields: Sequence[dict[str, Any]]) -> None:
    split = next(iter(known.splits.values()))
    _show_parameters(known)
    rows = [(f["name"], _shape(f["shape"]), f["dtype"], f["stored"]) for f in fields]
    show_table(("field", "samples x [time] x [channels] x space", "type", "stored as"), rows)
    grid = split.grid
    axes = [
        (name, n, f"{a:g} to {b:g}", kind, "centers" if center else "nodes with both ends" if closed else "nodes without the end")
        for name, n, (a, b), kind, center, closed in zip(
            grid.names, grid.shape, grid.extent, grid.boundary, grid.centered, grid.endpoint, strict=True
        )
    ]
    show_table(("axis", ">points", "extent", "boundary", "points are"), axes)
    if split.times:
        say(f"times: {len(split.times)} frames from {split.times[0]:g} to {split.times[-1]:g}")


def _show_info(known: DatasetInfo) -> None:
    for label, text in (("title", known.title), ("license", known.license), ("source", known.source)):
        if text:
            say(f"{label}: {text}")
    _show_parameters(known)
    splits = [
        (name, split.num_samples, _shape(split.grid.shape), ", ".join(split.grid.boundary), len(split.times) or "")
        for name, split in known.splits.items()
    ]
    show_table(("split", ">samples", "grid", "boundary", ">frames"), splits)
    fields = [(f.name, f.unit, f.channels, "yes" if f.time_varying else "no", f.description) for f in known.fields]
    show_table(("field", "unit", ">channels", "time-varying", "description"), fields)


def _show_reading(known: DatasetInfo) -> None:
    """Which axes of a plain file are taken as space, and how to take others."""
    names = next(iter(known.splits.values())).grid.names
    space, dims = ", ".join(names), len(names)
    counts = {field.name: f"{field.channels} channels, " if field.channels > 1 else "" for field in known.fields}
    read = ", ".join(f"{name} (samples, {count}{space})" for name, count in counts.items())
    otherwise = f"data.num_dims = {dims - 1} reads {names[0]} as channels" if dims > 1 and not any(counts.values()) else ""
    say(f"Read together, by their shapes: {read}.")
    say(f"data.num_dims = {dims} reads any choice of them so{otherwise and '; '}{otherwise}.")


def _show_parameters(known: DatasetInfo) -> None:
    if known.parameters:
        say("parameters: " + ", ".join(f"{name} = {value:g}" for name, value in known.parameters.items()))


def _shape(shape: Sequence[int] | None) -> str:
    return "" if shape is None else " x ".join(map(str, shape)) or "scalar"
