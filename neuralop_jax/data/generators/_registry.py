"""Generators by name: options of JSON types in, a generator out, and back."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from neuralop_jax import _config_loader
from neuralop_jax._checks import did_you_mean
from neuralop_jax.data.generators._advection import Advection
from neuralop_jax.data.generators._base import AbstractGenerator
from neuralop_jax.data.generators._burgers import Burgers
from neuralop_jax.data.generators._darcy import Darcy
from neuralop_jax.data.generators._kuramoto_sivashinsky import KuramotoSivashinsky
from neuralop_jax.data.generators._navier_stokes import Kolmogorov, NavierStokes
from neuralop_jax.data.generators._pen_strokes import PenStrokes
from neuralop_jax.data.generators._spirals import Spirals
from neuralop_jax.errors import ConfigError

GENERATORS: dict[str, type[AbstractGenerator]] = {
    "advection": Advection,
    "burgers": Burgers,
    "darcy": Darcy,
    "kolmogorov": Kolmogorov,
    "kuramoto_sivashinsky": KuramotoSivashinsky,
    "navier_stokes": NavierStokes,
    "pen_strokes": PenStrokes,
    "spirals": Spirals,
}
"""Every generator that the command line and a file can name. One of your own: `GENERATORS["mine"] = Mine`."""


def build_generator(name: str, options: Mapping[str, Any] | None = None, *, where: str = "options") -> AbstractGenerator:
    """The generator called `name`.

    **Arguments:**

    - `name`: one of `GENERATORS`.
    - `options`: arguments of its constructor; lists stand for tuples.
    - `where`: where the options come from, for messages.

    **Raises:** `ConfigError` for an unknown name or option, or a value out of range, with the nearest name.

    !!! example

        ```python
        from neuralop_jax.data.generators import build_generator, generator_options

        assert generator_options(build_generator("advection", {"speed": 1}))["speed"] == 1.0
        ```
    """
    if name not in GENERATORS:
        raise ConfigError(f"unknown generator {name!r}. Known: {', '.join(sorted(GENERATORS))}.{did_you_mean(name, GENERATORS)}")
    return _config_loader.build(GENERATORS[name], options or {}, lambda _: where)


def generator_name(generator: AbstractGenerator) -> str:
    """The name in `GENERATORS`; `ConfigError` if there is none."""
    for name, cls in GENERATORS.items():
        if cls is type(generator):
            return name
    raise ConfigError(
        f"{type(generator).__name__} is not a registered generator. Add it to neuralop_jax.data.generators.GENERATORS."
    )


def generator_options(generator: AbstractGenerator) -> dict[str, Any]:
    """The options from which `build_generator` makes an equal generator: JSON types only."""
    return {field.name: _lists(getattr(generator, field.name)) for field in dataclasses.fields(generator)}


def _lists(value: Any) -> Any:
    return [_lists(item) for item in value] if isinstance(value, tuple) else value
