"""The order of stored axes, in words, and a source made of arrays whose axes are known."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from neuralop_jax._checks import did_you_mean
from neuralop_jax.data._source import Source, SourceField
from neuralop_jax.data._writer import Sliceable
from neuralop_jax.data.formats._arrays import SPACE, WORDS, Arranged
from neuralop_jax.errors import DataError, NeuralOpError
from neuralop_jax.grids import Grid
from neuralop_jax.info import FieldInfo


def listed(arrays: Mapping[str, Sliceable]) -> str:
    """Names, shapes and types of arrays, for a message."""
    shown = [f"{name} {tuple(values.shape)} {np.dtype(values.dtype)}" for name, values in arrays.items()]
    return ", ".join(shown[:12]) + (f" and {len(shown) - 12} more" if len(shown) > 12 else "") or "no array"


def unknown_layout(path: Path, arrays: Mapping[str, Sliceable], why: str = "") -> DataError:
    """The error for arrays of which nothing says what their axes are."""
    name, values = next(iter(arrays.items()), ("u", np.zeros((1, 1, 1))))
    words = {2: "samples x", 4: "samples x y time", 5: "samples time x y channels"}.get(len(values.shape), "samples x y")
    example = f'--layout "{words}"' if len(arrays) == 1 else f'--layout "{name}: {words}"'
    why = why or "nothing says what their axes are."
    return DataError(f"{path} holds {listed(arrays)}; {why} Name the axes in their stored order, for instance {example}.")


def parse_layout(path: Path, descriptions: Sequence[str], arrays: Mapping[str, Sliceable]) -> dict[str, tuple[str, ...]]:
    """For each described array the words of its axes.

    A description is `"NAME: samples time x"`, or without a name holds for every array with as many axes.

    **Raises:** `DataError` for a word that is no axis, a word twice, an unknown name, or a number of words that no array has.
    """
    axes: dict[str, tuple[str, ...]] = {}
    for text in sorted(descriptions, key=lambda text: ":" in text):
        name, _, words = (part.strip() for part in (text if ":" in text else f":{text}").partition(":"))
        order = tuple(words.replace(",", " ").split())
        for word in order:
            if word not in WORDS:
                hint = did_you_mean(word, WORDS)
                raise DataError(f"layout {text!r}: {word!r} is no axis. Wanted some of: {' '.join(WORDS)}.{hint}")
            if order.count(word) > 1:
                raise DataError(f"layout {text!r} names {word!r} twice. Name each axis once.")
        if name and name not in arrays:
            raise DataError(f"{path} has no array {name!r}. Found: {listed(arrays)}.{did_you_mean(name, arrays)}")
        chosen = [name] if name else [key for key, values in arrays.items() if len(values.shape) == len(order)]
        if not chosen or any(len(arrays[key].shape) != len(order) for key in chosen):
            raise DataError(f"layout {text!r} names {len(order)} axes; {path} holds {listed(arrays)}. Name every axis.")
        axes |= dict.fromkeys(chosen, order)
    return axes


def build(
    path: Path,
    kind: str,
    arrays: Mapping[str, Sliceable],
    axes: Mapping[str, Sequence[str]],
    *,
    grid: Grid | None = None,
    sizes: Mapping[str, int] | None = None,
    times: Sequence[float] = (),
    parameters: Mapping[str, float] | None = None,
    notes: Sequence[str] = (),
    descriptions: Mapping[str, str] | None = None,
) -> Source:
    """The source whose fields are the arrays with known `axes`.

    `sizes` states lengths that no array may contradict; `grid` defaults to the unit box with open boundaries, and `times` to the
    numbers of the frames.

    **Raises:** `DataError` if two arrays differ in the length of the same axis, or there is no axis of samples or space.
    """
    lengths = _lengths(path, arrays, axes, sizes or {})
    space = [word for word in SPACE if word in lengths]
    if not space or space != list(SPACE[: len(space)]):
        raise unknown_layout(path, arrays, f"their space axes are {space or 'none'}, wanted x, then y, then z.")
    empty = [word for word in (*space, "samples") if lengths.get(word, 1) == 0]
    if empty:
        raise DataError(f"{path} has no {empty[0]}: {listed(arrays)}. Add data.")
    said = list(notes)
    frames = lengths.get("time", 0)
    if frames and not times:
        times = [float(frame) for frame in range(frames)]
        said.append(f"the file states no times: the {frames} frames are numbered from 0")
    if frames and len(times) != frames:
        raise DataError(f"{path} has {len(times)} times for {frames} frames: {listed(arrays)}. Make them agree.")
    if grid is None:
        grid = _unit_box(path, [lengths[word] for word in space])
        said.append("the file states no grid: taken as the unit box with open boundaries and points on both ends")
    shape = {word: lengths[word] for word in ("samples", *space) if word in lengths} | {"samples": lengths.get("samples", 1)}
    fields = {}
    for name, order in axes.items():
        array = Arranged(arrays[name], order, shape)
        missing = [word for word in shape if word not in order]
        if missing:
            said.append(f"{name} does not vary with {', '.join(missing)}: its values are repeated there")
        info = FieldInfo(name, "1", (descriptions or {}).get(name, ""), array.channels, "time" in order)
        fields[name] = SourceField(info, array, f"{' '.join(order)} = {tuple(arrays[name].shape)}")
    return Source(path, kind, fields, grid, tuple(times) if frames else (), dict(parameters or {}), tuple(said))


def _lengths(
    path: Path, arrays: Mapping[str, Sliceable], axes: Mapping[str, Sequence[str]], stated: Mapping[str, int]
) -> dict[str, int]:
    """The length of every axis but channels, equal in all arrays."""
    found = {word: (length, "the file") for word, length in stated.items()}
    for name, order in axes.items():
        for place, word in enumerate(order):
            length = int(arrays[name].shape[place])
            other, where = found.setdefault(word, (length, repr(name)))
            if length != other and word != "channels":
                raise DataError(
                    f"{path}: {name!r} of shape {tuple(arrays[name].shape)} has {length} along {word} (axis {place}) but {where} "
                    f'has {other}. Make them agree, or say the order of its axes: --layout "{name}: ...".'
                )
    return {word: length for word, (length, _) in found.items() if word != "channels"}


def _unit_box(path: Path, shape: Sequence[int]) -> Grid:
    try:
        return Grid(tuple(shape))
    except NeuralOpError as error:
        raise DataError(f"{path}: {error}") from error
