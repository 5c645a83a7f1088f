"""Checks of what constructors are given: sizes, and numbers per space axis."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from neuralop_jax._config_values import Bounds
from neuralop_jax.errors import ConfigError

_MOST_AXES = 4

OperatorSpec = Annotated[Mapping[str, Any], "operator"]
"""An argument that is the specification of another operator, `{"kind": name, **arguments}`: its options are checked, too."""


Depth = Annotated[int, Bounds(at_least=1.0, below=1000.0)]
"""An argument that is a number of parts one behind another. Each is built, traced and compiled by itself: a number of millions
in a file that nobody vouches for would take hours."""


def check_sizes(**sizes: int) -> None:
    """Raises `ConfigError` unless every size is an integer of at least 1."""
    _check_integers(1, sizes)


def check_counts(**counts: int) -> None:
    """Raises `ConfigError` unless every count is an integer of at least 0."""
    _check_integers(0, counts)


def sizes_of(name: str, sizes: Sequence[int]) -> tuple[int, ...]:
    """The sizes as a tuple; `ConfigError` unless they are a sequence and each is an integer of at least 1."""
    if not isinstance(sizes, Sequence):
        raise ConfigError(f"{name} must be a list of sizes, got {sizes!r}. Write {[sizes]!r} for one.")
    for size in sizes:
        check_sizes(**{f"every entry of {name}": size})
    return tuple(sizes)


def check_hidden(name: str, ratio: int | float, width: int, *, rounding: Callable[[float], int] = int) -> None:
    """Raises `ConfigError` unless `ratio` times `width` makes at least one hidden channel."""
    if not (math.isfinite(ratio) and 1 <= rounding(ratio * width) < 2**31):
        raise ConfigError(f"{name} must give at least one hidden channel, got {ratio} times a width of {width}. Raise it.")


def modes_per_axis(name: str, modes: int | Sequence[int], num_dims: int | None) -> tuple[int, ...]:
    """One positive integer per space axis; a lone integer is for each of `num_dims` axes.

    **Raises:** `ConfigError` for other values, or for another number of them than `num_dims` says.
    """
    if isinstance(modes, int) and not isinstance(modes, bool):
        if num_dims is None:
            raise ConfigError(
                f"{name}={modes} is for every axis, but num_dims is not given. Give num_dims, or one number per axis."
            )
        modes = (modes,) * num_dims
    if not isinstance(modes, Sequence) or not 1 <= len(modes) <= _MOST_AXES or not all(_is_integer(m) and m >= 1 for m in modes):
        raise ConfigError(f"{name} must be one to four positive integers, got {modes!r}.")
    if num_dims is not None and num_dims != len(modes):
        channels = f", or data.num_dims {len(modes)} if the first axis of a plain file holds channels"
        raise ConfigError(
            f"{name} {tuple(modes)} has {len(modes)} entries, the data have {num_dims} space axes. Give one each"
            f"{channels if len(modes) == num_dims - 1 else ''}."
        )
    return tuple(modes)


def check_per_axis(
    name: str,
    values: int | float | Sequence[int | float],
    num_dims: int,
    *,
    least: int | float,
    most: int | float,
    whole: bool = False,
) -> None:
    """Raises `ConfigError` unless `values` is a number between `least` and `most`, or one for each space axis."""
    numbers = tuple(values) if isinstance(values, Sequence) else (values,) * num_dims
    fits = lambda n: isinstance(n, int if whole else int | float) and not isinstance(n, bool) and least <= n <= most  # noqa: E731
    if len(numbers) != num_dims or not all(fits(n) for n in numbers):
        kind, several = "whole number" if whole else "number", f", or {num_dims} of them, one per axis" if num_dims > 1 else ""
        raise ConfigError(f"{name} must be one {kind} from {least:g} to {most:g}{several}, got {values!r}.")


def _check_integers(least: int, values: Mapping[str, int]) -> None:
    for name, value in values.items():
        if not _is_integer(value) or value < least:
            raise ConfigError(f"{name} must be an integer of at least {least}, got {value!r}.")


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
