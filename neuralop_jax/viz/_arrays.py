"""What figures are drawn from: arrays of real numbers in the shapes that are wanted, and the range of their finite values."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from neuralop_jax._checks import reason
from neuralop_jax.errors import ConfigError
from neuralop_jax.grids import Grid


def check_named(where: str, what: str, given: Any) -> None:
    """Raises `ConfigError` unless `given` holds something by name."""
    if not isinstance(given, Mapping):
        raise ConfigError(f"{where} needs every {what} by its name, got {type(given).__name__}. Give a dictionary.")
    if not given:
        raise ConfigError(f"{where} needs at least one {what}, got none. Give it by its name.")


def real(where: str, name: str, values: Any) -> np.ndarray:
    """`values` in float64; `ConfigError` unless they are real numbers."""
    try:
        found = np.asarray(values)
        if np.iscomplexobj(found):
            raise TypeError(f"got {found.dtype}; show its real part, or its size by np.abs")
        return found.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where} needs {name} as an array of real numbers: {reason(error)}.") from error


def vector(where: str, name: str, values: Any) -> np.ndarray:
    """`values` as `(numbers,)` in float64; `ConfigError` unless there is at least one, and one axis."""
    found = real(where, name, values)
    if found.ndim != 1 or not len(found):
        remedy = "Leave out what is empty." if found.size == 0 else "Give one number after the other, along one axis."
        raise ConfigError(f"{where} needs {name} as a list of numbers, got shape {found.shape}. {remedy}")
    return found


def vectors(where: str, named: Mapping[str, Any]) -> list[np.ndarray]:
    """Several vectors of one length, see `vector`."""
    found = {name: vector(where, name, values) for name, values in named.items()}
    if len({len(values) for values in found.values()}) > 1:
        lengths = ", ".join(f"{len(values)} for {name}" for name, values in found.items())
        raise ConfigError(f"{where} needs lists of one length, got {lengths}. Cut them to the same points.")
    return list(found.values())


def field(where: str, name: str, values: Any, grid: Grid, channels: int | None = None) -> np.ndarray:
    """`values` as `(channels, *space)` in float64; `ConfigError` unless that is their shape on `grid`."""
    found = real(where, name, values)
    wanted = (len(found) if found.ndim and len(found) else 1) if channels is None else channels
    if found.shape == (wanted, *grid.shape):
        return found
    if found.shape == grid.shape:
        remedy = f"Add the channel axis with {name}[None]."
    elif found.ndim == grid.num_dims + 2:
        remedy = f"Select one sample, such as {name}[0]."
    elif found.shape[1:] == grid.shape:
        remedy = "Select the channels that are compared."
    else:
        remedy = "Give the grid that the values are on."
    axes = ", ".join(map(str, (channels or "channels", *grid.shape)))
    raise ConfigError(f"{where} needs {name} as (channels, *space) = ({axes}), got {found.shape}. {remedy}")


def finite_range(*values: np.ndarray) -> tuple[float, float]:
    """The least and the largest finite value; zeros if there is none."""
    finite = np.concatenate([np.zeros(0), *(each[np.isfinite(each)] for each in values)])
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def about_zero(*values: np.ndarray) -> tuple[float, float]:
    """The range of the finite values made symmetric; that of 1 if there is nothing but zeros."""
    largest = max(map(abs, finite_range(*values))) or 1.0
    return -largest, largest
