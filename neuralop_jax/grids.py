"""Uniform grids: the geometry of a field, kept beside the array that holds its values."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from neuralop_jax._checks import one_of
from neuralop_jax.errors import ConfigError

BOUNDARIES = ("periodic", "dirichlet", "neumann", "open")


@dataclasses.dataclass(frozen=True)
class Grid:
    r"""A uniform grid of `shape` points over the box `extent`: on axis $i$, $x_j = a_i + j h_i$.

    The spacing is $h = (b - a)/N$ on an axis that excludes its right end (always so on a periodic axis, where the end is
    the start) and $h = (b - a)/(N - 1)$ on an axis that includes it. On a centered axis the points are the centers of $N$ cells,
    $x_j = a + (j + \tfrac12) h$ with $h = (b - a)/N$.

    **Arguments:**

    - `shape`: points per axis.
    - `extent`: the interval $(a, b)$ of each axis, in `unit`; defaults to $(0, 1)$.
    - `boundary`: per axis one of `"periodic"`, `"dirichlet"`, `"neumann"`, `"open"` (nothing is known).
    - `endpoint`: per axis, whether the last point lies on $b$; defaults to true on every axis that is neither periodic nor
        centered.
    - `centered`: per axis, whether the points are the centers of cells; defaults to false.
    - `names`: the names of the axes; default `("x", "y", "z", "w")`.
    - `unit`: the unit of length; `"1"` is dimensionless.

    **Raises:** `ConfigError` if the lengths differ, an interval is empty, `endpoint` or `centered` hold anything but booleans,
    or a periodic or centered axis includes its right end.

    !!! example

        ```python
        from neuralop_jax.grids import Grid

        grid = Grid((64,), extent=((0.0, 6.283185307179586),), boundary=("periodic",))
        assert abs(grid.spacing[0] - 6.283185307179586 / 64) < 1e-15
        ```
    """

    shape: tuple[int, ...]
    extent: tuple[tuple[float, float], ...] = ()
    boundary: tuple[str, ...] = ()
    endpoint: tuple[bool, ...] = ()
    names: tuple[str, ...] = ()
    unit: str = "1"
    centered: tuple[bool, ...] = ()

    def __post_init__(self):
        dims = len(self.shape)
        if not 1 <= dims <= 4 or any(n < 1 for n in self.shape):
            raise ConfigError(f"Grid.shape must hold 1 to 4 positive sizes, got {self.shape}.")
        defaults: dict[str, Any] = {
            "extent": ((0.0, 1.0),) * dims,
            "boundary": ("open",) * dims,
            "names": ("x", "y", "z", "w")[:dims],
            "centered": (False,) * dims,
        }
        for name, default in defaults.items():
            object.__setattr__(self, name, tuple(getattr(self, name)) or default)
        object.__setattr__(self, "extent", tuple((float(a), float(b)) for a, b in self.extent))
        pairs = zip(self.boundary, self.centered, strict=False)  # lengths are compared below
        endpoint = tuple(self.endpoint) or tuple(kind != "periodic" and not centered for kind, centered in pairs)
        object.__setattr__(self, "endpoint", endpoint)
        for name in ("endpoint", "centered"):
            if wrong := [entry for entry in getattr(self, name) if not isinstance(entry, bool | np.bool_)]:
                raise ConfigError(
                    f"Grid.{name} must hold True or False for each axis, got {wrong[0]!r}. Names of axes are given as names=."
                )
        for name in ("extent", "boundary", "centered", "endpoint", "names"):
            if len(getattr(self, name)) != dims:
                raise ConfigError(f"Grid.{name} has {len(getattr(self, name))} entries but shape {self.shape} has {dims} axes.")
        axes = zip(self.boundary, self.endpoint, self.centered, self.extent, strict=True)
        for kind, closed, centered, (left, right) in axes:
            one_of("Grid.boundary", kind, BOUNDARIES, ConfigError)
            if not left < right:
                raise ConfigError(f"Grid.extent must hold intervals (a, b) with a < b, got ({left}, {right}).")
            if kind == "periodic" and closed:
                raise ConfigError("Grid.endpoint must be False on a periodic axis: its right end is its left end.")
            if centered and closed:
                raise ConfigError("Grid.endpoint must be False on a centered axis: its points are the centers of cells.")

    @property
    def num_dims(self) -> int:
        """The number of space axes."""
        return len(self.shape)

    @property
    def spacing(self) -> tuple[float, ...]:
        """The distance of neighboring points per axis, in `unit`."""
        return tuple(
            (b - a) / max(n - closed, 1) for n, (a, b), closed in zip(self.shape, self.extent, self.endpoint, strict=True)
        )

    def coordinates(self) -> tuple[np.ndarray, ...]:
        """The coordinates of the points of each axis: one float64 vector per axis."""
        axes = zip(self.shape, self.extent, self.spacing, self.centered, strict=True)
        return tuple(a + h * (np.arange(n, dtype=np.float64) + (0.5 if centered else 0.0)) for n, (a, _), h, centered in axes)

    def with_shape(self, shape: tuple[int, ...]) -> "Grid":
        """The same box with another number of points per axis."""
        return dataclasses.replace(self, shape=tuple(shape))

    def to_json(self) -> dict[str, Any]:
        """A dictionary of JSON types from which `from_json` makes an equal grid."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Grid":
        """The grid that `to_json` described."""
        known: dict[str, Any] = {name: value if name == "unit" else tuple(value) for name, value in data.items()}
        if "extent" in known:
            known["extent"] = tuple((a, b) for a, b in known["extent"])
        return cls(**known)


def strides_to(fine: Grid, shape: Sequence[int]) -> tuple[int, ...] | None:
    """The strides at which the points of `fine` are those of `shape` points over the same box; `None` if there are none.

    An axis that includes its right end has N - 1 spacings, another N: the spacings must divide.

    !!! example

        ```python
        from neuralop_jax.grids import Grid, strides_to

        fine = Grid((16, 17), boundary=("periodic", "dirichlet"))
        assert strides_to(fine, (8, 5)) == (2, 4) and strides_to(fine, (8, 6)) is None
        ```
    """
    strides = []
    for many, few, closed in zip(fine.shape, shape, fine.endpoint, strict=True):
        whole, part = many - closed, few - closed
        if part < 1 or whole % part:
            return None
        strides.append(whole // part)
    return tuple(strides)
