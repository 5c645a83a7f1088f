"""Arrays known by their names: the files of the FNO, PINO, DeepONet and neuraloperator papers, and layouts in words."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from neuralop_jax.data._source import Source
from neuralop_jax.data._writer import Sliceable
from neuralop_jax.data.formats._arrays import SPACE
from neuralop_jax.data.formats._axes import grid_of, times_of
from neuralop_jax.data.formats._hdf5 import identifier
from neuralop_jax.data.formats._layout import build, parse_layout, unknown_layout
from neuralop_jax.errors import DataError
from neuralop_jax.grids import Grid

Arrays = Mapping[str, Sliceable]
Axes = dict[str, tuple[str, ...]]

_TIMES = ("t", "times", "tspan")
_PINO_SHAPES = {
    (64, 64, 65): ("samples", "x", "y", "time"),
    (129, 128, 128): ("samples", "time", "x", "y"),
    (129, 256, 256): ("samples", "time", "x", "y"),
    (320, 256, 256): ("samples", "time", "x", "y"),
}
"""Shapes of a sample in the published Kolmogorov flows (PINO, FactFormer), whose axes of time stand in two places."""


@dataclasses.dataclass(frozen=True)
class _Convention:
    """A published set of names: which files have it, the axes that their shapes show, and the published geometry."""

    title: str
    names: frozenset[str]
    axes: Callable[[Path, Arrays], Axes | None]
    extent: float = 1.0
    boundary: str = "open"
    endpoint: bool = True
    containers: tuple[str, ...] = ("MATLAB",)


def named_source(path: Path, container: str, arrays: Arrays, layout: Sequence[str]) -> Source:
    """The source of named arrays, by a layout in words if there is one, else by a published set of names and shapes.

    **Raises:** `DataError` if neither says what the axes are, or they contradict each other.
    """
    if not arrays:
        raise DataError(f"{path} holds no array. Save fields in it.")
    if layout:
        return _finish(path, f"{container}, axes as told", arrays, parse_layout(path, layout, arrays), None)
    if {"x", "t", "u"} <= set(arrays):
        source = _meshes(path, container, arrays)
        if source is not None:
            return source
    for convention in _CONVENTIONS:
        if convention.names <= set(arrays):
            axes = convention.axes(path, arrays)
            if axes is not None:
                known = convention if container in convention.containers else None
                return _finish(path, f"{container}, variables as in {convention.title}", arrays, axes, known)
    if container == "NumPy array":
        return _known_array(path, arrays)
    raise unknown_layout(path, arrays)


def _finish(path: Path, kind: str, arrays: Arrays, axes: Axes, known: _Convention | None, grid: Grid | None = None) -> Source:
    """Times and parameters from the arrays that are no fields, the published geometry, and what was left out."""
    notes, times, parameters, left = [], (), {}, []
    frames = next((arrays[name].shape[order.index("time")] for name, order in axes.items() if "time" in order), 0)
    for name, values in arrays.items():
        size = math.prod(values.shape)
        if name in axes:
            continue
        if frames and not times and name in _TIMES and size == max(values.shape, default=0) and size in (frames, frames + 1):
            times, said = times_of(values[0 : values.shape[0]], frames, f"{path}:{name}")
            notes += said
        elif size == 1 and values.shape:
            parameters[identifier(name)] = float(np.ravel(values[0:1])[0])
        else:
            left.append(f"{name} {tuple(values.shape)}")
    notes += [f"left out: {', '.join(left)}"] * bool(left)
    if known is not None:
        words = {word: int(arrays[name].shape[i]) for name, order in axes.items() for i, word in enumerate(order)}
        shape = tuple(words[word] for word in SPACE if word in words)
        dims, periodic = len(shape), known.boundary == "periodic"
        closed = known.endpoint and not periodic
        grid = Grid(shape, ((0.0, known.extent),) * dims, (known.boundary,) * dims, (closed,) * dims)
        ends = "2 pi" if known.extent > 6 else "1"
        notes.append(f"the file states no grid: {known.boundary}, each axis over (0, {ends}), as published for {known.title}")
    return build(path, kind, arrays, axes, grid=grid, times=times, parameters=parameters, notes=notes)


def _darcy(path: Path, arrays: Arrays) -> Axes | None:
    names = [name for name in ("coeff", "sol", "Kcoeff", "Kcoeff_x", "Kcoeff_y") if name in arrays]
    return {name: ("samples", "x", "y") for name in names} if len(arrays["sol"].shape) == 3 else None


def _burgers(path: Path, arrays: Arrays) -> Axes | None:
    names = [name for name in ("a", "u", "a_smooth", "a_smooth_x", "a_x") if name in arrays]
    flat = all(len(arrays[name].shape) == 2 for name in names)
    return {name: ("samples", "x") for name in names} if flat else None


def _navier_stokes(path: Path, arrays: Arrays) -> Axes | None:
    """`a` (samples, x, y) beside `u` (samples, x, y, time); every other order is refused, since `a` shows that it is another."""
    a, u = arrays["a"].shape, arrays["u"].shape
    if len(a) != 3 or len(u) != 4:
        return None
    axes: Axes = {"a": ("samples", "x", "y"), "u": ("samples", "x", "y", "time")}
    frames = _number_of_times(arrays)
    if u[:3] == a and frames in (0, u[3], u[3] + 1):
        return axes
    orders = {
        "the axes are reversed": (("y", "x", "samples"), ("time", "y", "x", "samples")),
        "the axis of time is second": (("samples", "x", "y"), ("samples", "time", "x", "y")),
        "the samples are last": (("x", "y", "samples"), ("x", "y", "time", "samples")),
        "the axis of time is first": (("samples", "x", "y"), ("time", "samples", "x", "y")),
    }
    found = []
    for reason, (first, second) in orders.items():
        sizes = dict(zip(first, a, strict=True))
        if all(sizes.get(word, n) == n for word, n in zip(second, u, strict=True)) and frames in (0, u[second.index("time")]):
            found.append(f'{reason}: --layout "a: {" ".join(first)}" --layout "u: {" ".join(second)}"')
    if found:
        wanted = f"a {tuple(a)} and u {tuple(u)}, wanted (samples, x, y) and (samples, x, y, time)"
        raise DataError(f"{path} holds {wanted}. Perhaps {'; or '.join(found)}.")
    raise unknown_layout(path, arrays, "wanted a (samples, x, y) and u (samples, x, y, time), which do not agree.")


def _trajectories(path: Path, arrays: Arrays) -> Axes | None:
    """`u` (samples, x, y, time) alone: believed only where stored times show which axis is time."""
    shape, frames = arrays["u"].shape, _number_of_times(arrays)
    if len(shape) == 4 and frames == shape[3] and frames not in shape[:3]:
        return {"u": ("samples", "x", "y", "time")}
    return None


def _pair(first: str, second: str, *, dims: int = 0, boolean: bool = False) -> Callable[[Path, Arrays], Axes | None]:
    """Input (samples, *space) and output (samples, *space) or (samples, time, *space), if of these dimensions and type."""

    def axes(path: Path, arrays: Arrays) -> Axes | None:
        given, wanted = tuple(arrays[first].shape), tuple(arrays[second].shape)
        space = SPACE[: len(given) - 1]
        fits = 2 <= len(given) <= 4 and dims in (0, len(space)) and (arrays[first].dtype == bool or not boolean)
        if not fits or (wanted != given and wanted[:1] + wanted[2:] != given):
            return None
        time = ("time",) * (len(wanted) - len(given))
        return {first: ("samples", *space), second: ("samples", *time, *space)}

    return axes


def _meshes(path: Path, container: str, arrays: Arrays) -> Source | None:
    """`x` and `t`, as vectors or as meshes (time, x), beside `u` (samples, time, x)."""
    x, t, u = (arrays[name] for name in ("x", "t", "u"))
    frames, points = tuple(u.shape)[1:] if len(u.shape) == 3 else (0, 0)
    axes = {"u": ("samples", "time", "x")}
    if len(u.shape) == 3 and tuple(x.shape) == tuple(t.shape) == (frames, points):
        positions, moments = x[0:frames], t[0:frames]
        if (positions != positions[0]).any() or (moments.T != moments[:, 0]).any():
            raise DataError(f"{path}: x and t of shape {tuple(x.shape)} are no meshes (time, x). Name the axes with --layout.")
        positions, moments = positions[0], moments[:, 0]
    elif len(u.shape) == 3 and tuple(x.shape) == (points,) and tuple(t.shape) == (frames,):
        positions, moments = x[0:points], t[0:frames]
    else:
        return None
    grid, notes = grid_of([positions], ["open"], centered=False)
    times, late = times_of(moments, frames, f"{path}:t")
    kind = f"{container}, variables as in the DeepONet comparison"
    return build(path, kind, {"u": u}, axes, grid=grid, times=times, notes=(*notes, *late))


def _known_array(path: Path, arrays: Arrays) -> Source:
    """One array without a name, if its shape is that of a published file."""
    shape = tuple(arrays["u"].shape)
    if len(shape) != 4 or shape[1:] not in _PINO_SHAPES:
        raise unknown_layout(path, arrays)
    side = (0.0, 2 * math.pi)
    order = _PINO_SHAPES[shape[1:]]
    space = tuple(shape[order.index(word)] for word in ("x", "y"))
    grid = Grid(space, (side, side), ("periodic", "periodic"))
    notes = [f"the axes {' '.join(order)} and the periodic square (0, 2 pi) are those of published files of this shape"]
    return build(path, "NumPy array, a Kolmogorov flow by its shape", arrays, {"u": order}, grid=grid, notes=notes)


def _number_of_times(arrays: Arrays) -> int:
    """The number of stored times, 0 if there are none."""
    shapes = [tuple(arrays[name].shape) for name in _TIMES if name in arrays]
    return math.prod(shapes[0]) if shapes and math.prod(shapes[0]) == max(shapes[0], default=0) else 0


_PAIR = "files of input and output functions"
_CONVENTIONS = (
    _Convention("the FNO Darcy files", frozenset({"coeff", "sol"}), _darcy, boundary="dirichlet"),
    _Convention("the FNO Burgers files", frozenset({"a", "u"}), _burgers, 2 * math.pi, "periodic"),
    _Convention("the FNO Navier-Stokes files", frozenset({"a", "u"}), _navier_stokes, boundary="periodic"),
    _Convention("the FNO Navier-Stokes files", frozenset({"u", "t"}), _trajectories, boundary="periodic"),
    _Convention("the PINO Burgers files", frozenset({"input", "output"}), _pair("input", "output", dims=1), boundary="periodic"),
    _Convention(
        "the neuraloperator Darcy files",
        frozenset({"x", "y"}),
        _pair("x", "y", dims=2, boolean=True),
        boundary="dirichlet",
        endpoint=False,
        containers=("PyTorch", "NumPy archive"),
    ),
    _Convention(
        "the neuraloperator Burgers files",
        frozenset({"x", "y", "visc"}),
        _pair("x", "y", dims=1),
        boundary="periodic",
        containers=("PyTorch", "NumPy archive"),
    ),
    _Convention(_PAIR, frozenset({"x", "y"}), _pair("x", "y"), containers=()),
    _Convention(_PAIR, frozenset({"input", "output"}), _pair("input", "output"), containers=()),
)
"""The first that fits is taken."""
