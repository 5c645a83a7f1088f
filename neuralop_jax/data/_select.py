"""Part of a source, still unread: samples, fields, frames, every r-th point, another type."""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence

import numpy as np

from neuralop_jax._checks import one_of
from neuralop_jax.data._read import BLOCK_BYTES
from neuralop_jax.data._regrid import stated_grid, strided_grid
from neuralop_jax.data._source import Source, SourceField
from neuralop_jax.data._writer import Sliceable
from neuralop_jax.errors import ConfigError, DataError

TYPES = ("stored", "float32", "float64")
RANGE = re.compile(r"(-?\d+%?)?:(-?\d+%?)?(?::(\d+))?")


def select(
    source: Source,
    *,
    samples: str | slice = ":",
    fields: Mapping[str, str] | None = None,
    times: str | slice = ":",
    stride: int | Sequence[int] = 1,
    boundary: str | Sequence[str] = (),
    extent: Sequence[tuple[float, float]] = (),
    dtype: str = "stored",
) -> Source:
    r"""Part of a source: nothing is read; the grid and the times are those of the values that remain.

    Ranges are Python's, as a slice or as text `"START:STOP"`; a percentage counts in the whole, rounded down: the split of the
    PDEBench loader is `"0:10%"` for testing and `"10%:"` for training.

    **Arguments:**

    - `source`: from `open_source`, or selected before.
    - `samples`: the range of samples.
    - `fields`: old names by new names; all fields under their names if `None`. `{"past": "u@0:10"}` takes the first ten frames of
        `u` as the channels of a field that does not vary in time, `{"next": "u@10:20"}` the next ten: the pair on which models of
        trajectories are trained.
    - `times`: the range of frames of the fields that vary in time, with a step if wanted, `"0:50:5"`.
    - `stride`: $r$ keeps the points 0, $r$, 2$r$, ... of every space axis, a sequence those of each: 421 points and $r = 5$ give
        85 and keep both ends.
    - `boundary`, `extent`: what the file does not say, or says wrongly: one boundary condition or interval for all axes, or one
        for each.
    - `dtype`: `"stored"` leaves the type; `"float32"` and `"float64"` convert, booleans and integers too.

    **Returns:** a `Source`.

    **Raises:** `DataError` for a range that selects nothing or reaches beyond the end, an unknown field, a stride that does not
    fit; `ConfigError` for an unknown type.

    !!! example

        ```python
        import numpy as np

        from neuralop_jax.data import open_source, select

        np.savez("darcy.npz", x=np.zeros((12, 21, 21), bool), y=np.zeros((12, 21, 21), np.float32))
        source = open_source("darcy.npz")
        coarse = select(source, samples="10:", stride=3, fields={"permeability": "x", "pressure": "y"})
        assert coarse.fields["pressure"].shape == (2, 7, 7)
        ```
    """
    one_of("dtype", dtype, TYPES, ConfigError)
    rows = to_slice(samples, source.num_samples, f"samples of {source.path}")
    if rows.step != 1:
        raise DataError(f"samples of {source.path} are taken in one piece, got a step of {rows.step}. Leave the step out.")
    grid, told = source.grid, []
    if boundary or extent:
        grid = stated_grid(grid, (boundary,) if isinstance(boundary, str) else boundary, extent)
        told = [f"boundary {', '.join(grid.boundary)}"] * bool(boundary) + [f"extent {grid.extent}"] * bool(extent)
    strides = (stride,) * grid.num_dims if isinstance(stride, int) else tuple(stride)
    if len(strides) != grid.num_dims:
        raise DataError(f"stride has {len(strides)} entries for {grid.num_dims} space axes. Give one for each, or one for all.")
    grid, notes = strided_grid(grid, strides)
    frames = to_slice(times, len(source.times), f"frames of {source.path}") if source.times else slice(0, 0, 1)
    if not source.times and times not in (":", slice(None)):
        raise DataError(
            f"no field of {source.path} varies in time, so there are no frames {times!r} to take. Leave the range out."
        )
    space = tuple(slice(None, None, step) for step in strides)
    chosen = {}
    for new, old in (fields or {name: name for name in source.fields}).items():
        name, _, window = old.partition("@")
        field = source.field(name)
        if window and not field.info.time_varying:
            raise DataError(
                f"{source.path}: field {name!r} does not vary in time, so {old!r} has no frames. Leave the range out."
            )
        own = to_slice(window, len(source.times), f"frames of {name!r}") if window else frames
        index = (*([own] if field.info.time_varying else []), *([slice(None)] if field.info.channels > 1 else []), *space)
        array = Selected(field.array, rows, index, dtype, window_dims=grid.num_dims if window else 0)
        channels = math.prod(array.shape[1 : len(array.shape) - grid.num_dims]) if window else field.info.channels
        time_varying = field.info.time_varying and not window
        info = dataclasses.replace(field.info, name=new, channels=channels, time_varying=time_varying)
        chosen[new] = SourceField(info, array, field.stored)
    return dataclasses.replace(
        source,
        fields=chosen,
        grid=grid,
        times=source.times[frames] if any(field.info.time_varying for field in chosen.values()) else (),
        notes=(*source.notes, *[f"as told: {', '.join(told)}"] * bool(told), *notes),
        origin=_part(source.origin, rows.start, rows.stop),
    )


class Selected:
    """Rows and slices of an array, read in blocks of `BLOCK_BYTES`; all axes before the last `window_dims` become channels."""

    def __init__(self, array: Sliceable, rows: slice, index: tuple[slice, ...], dtype: str, *, window_dims: int = 0):
        self._array, self._first, self._index = array, rows.start, index
        self.dtype = np.dtype(array.dtype if dtype == "stored" else dtype)
        inside = tuple(len(range(*s.indices(n))) for s, n in zip(index, array.shape[1:], strict=True))
        if window_dims:
            channels = math.prod(inside[:-window_dims])
            inside = (*([channels] * (channels > 1)), *inside[-window_dims:])
        self.shape = (rows.stop - rows.start, *inside)

    def __getitem__(self, rows: slice) -> np.ndarray:
        start, stop, _ = rows.indices(self.shape[0])
        size = self._array.dtype.itemsize * math.prod(self._array.shape[1:])
        step = max(1, BLOCK_BYTES // max(1, size))
        values = np.empty((stop - start, *self.shape[1:]), self.dtype)
        for first in range(start, stop, step):
            last = min(first + step, stop)
            block = self._array[self._first + first : self._first + last][(slice(None), *self._index)]
            try:
                with np.errstate(over="raise"):
                    values[first - start : last - start] = block.reshape(last - first, *self.shape[1:])
            except FloatingPointError as error:
                largest = f"{np.finfo(self.dtype).max:.1e}"
                raise DataError(f"a value beyond {largest} does not fit into {self.dtype}. Keep the stored type.") from error
        return values


def to_slice(text: str | slice, length: int, what: str) -> slice:
    """A range of `length` things as a slice from `start` to `stop` that lies inside.

    **Raises:** `DataError` if it is no range, selects nothing, or reaches beyond the end.
    """
    if isinstance(text, slice):
        start, stop, step = text.start, text.stop, text.step
    else:
        match = RANGE.fullmatch(text)
        if match is None:
            raise DataError(f"{text!r} is no range of {what}. Wanted START:STOP, such as 0:1000, -200: or 0:10%.")
        start, stop = (_number(part, length) for part in match.groups()[:2])
        step = int(match[3]) if match[3] else None
    bounds = slice(start, stop, step).indices(length) if step != 0 else (0, 0, 0)
    beyond = any(end is not None and abs(end) > length for end in (start, stop))
    if beyond or bounds[2] < 1 or bounds[0] >= bounds[1]:
        shown = text if isinstance(text, str) else f"{'' if start is None else start}:{'' if stop is None else stop}"
        raise DataError(f"the range {shown} of {what} does not fit: there are {length}. Choose one from 0:{length}.")
    return slice(*bounds)


def _number(part: str | None, length: int) -> int | None:
    if not part:
        return None
    return int(part[:-1]) * length // 100 if part.endswith("%") else int(part)


def _part(origin: tuple[tuple[str, int, int], ...], start: int, stop: int) -> tuple[tuple[str, int, int], ...]:
    """The pieces of files in which the samples `start` to `stop` lie."""
    found, before = [], 0
    for path, first, last in origin:
        low, high = max(start - before, 0), min(stop - before, last - first)
        if low < high:
            found.append((path, first + low, first + high))
        before += last - first
    return tuple(found)
