"""An operator as a program of its own: StableHLO for several platforms, with weights and a card beside it."""

import dataclasses
import importlib.metadata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from jax.interpreters import mlir

from neuralop_jax._checks import one_of, shown
from neuralop_jax._whole_files import make_way
from neuralop_jax.errors import CheckpointError, ConfigError
from neuralop_jax.serving._artifact import write_artifact
from neuralop_jax.serving._card import ModelCard

if TYPE_CHECKING:
    from neuralop_jax.models import AbstractOperator

PLATFORMS = ("cpu", "cuda", "tpu")
"""What an operator is exported for: one program holds the code of all."""
Resolution = Literal["auto", "any", "fixed"]
_PACKAGES = ("neuralop_jax", "jax", "jaxlib")


def export_operator(
    path: str | Path,
    operator: "AbstractOperator",
    card: ModelCard,
    *,
    resolution: Resolution = "auto",
    platforms: Sequence[str] = PLATFORMS,
) -> ModelCard:
    """Writes `operator.batched` as a program for any number of samples into the new directory `path`, for `Predictor.load`.

    The directory holds `program.jax_export` (StableHLO, as `jax.export` serializes it), `weights.safetensors` and `card.json`.
    The weights are arguments of the program and not constants in it, whatever their size: they are wanted as safetensors anyway
    and would be there twice. Of 1.6 MB of weights, the program alone has 0.06 to 0.1 MB; it compiles and runs as fast.

    **Arguments:**

    - `path`: a directory that is not there. Its parents are made.
    - `operator`: `Normalized` or bare.
    - `card`: names, units and grid; what it says of the type, the smallest grid and the versions is filled in.
    - `resolution`: `"any"` for a program that is told the number of points when it runs, with transforms by matrix products;
        `"fixed"` for one that knows it, which is faster where the FFT is; `"auto"` for the first where the operator allows it.
    - `platforms`: some of `PLATFORMS`, at least one.

    **Returns:** the card that was written.

    **Raises:** `ConfigError` if the card speaks of other channels than the operator has, `resolution` is `"any"` and the operator
    does not allow it, `platforms` are not some of `PLATFORMS`, or flatbuffers is not installed;
    `CheckpointError` if `path` is in the way or cannot be written.

    !!! example

        ```python
        import jax
        import numpy as np

        from neuralop_jax import FNO, Grid
        from neuralop_jax.info import FieldInfo
        from neuralop_jax.serving import ModelCard, Predictor, export_operator

        model = FNO(in_channels=1, out_channels=1, n_modes=(4,), width=4, depth=1, key=jax.random.key(0))
        card = ModelCard((FieldInfo("a", "m"),), (FieldInfo("v", "m/s"),), Grid((8,)))
        export_operator("served", model, card)

        predictor = Predictor.load("served")  # also in another process, which needs no model code
        u = jax.random.normal(jax.random.key(1), (3, 1, 8))
        assert np.allclose(predictor(u, units={"a": "m"}), model.batched(u), atol=1e-5)
        ```
    """
    one_of("resolution", resolution, ("auto", "any", "fixed"), ConfigError)
    _check_platforms(platforms)
    for name in ("in_channels", "out_channels"):
        said, has = getattr(card, name), getattr(operator, name)
        if said != has:
            raise ConfigError(f"the card of {path} has {said} {name}, the operator {has}. Name a field for every channel.")
    make_way(Path(path), CheckpointError)
    program, weights, smallest = lower(operator, card.grid.shape, resolution=resolution, platforms=platforms)
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    record = {**card.record, "exported_with": versions, "platforms": list(platforms)}
    dtype = np.dtype(program.in_avals[-1].dtype).name
    card = dataclasses.replace(card, dtype=dtype, smallest_grid=smallest, record=record)
    write_artifact(path, card, _serialized(program), weights)
    return card


def _check_platforms(platforms: Sequence[str]) -> None:
    """Raises `ConfigError` unless these are some of `PLATFORMS`."""
    fits = isinstance(platforms, Sequence) and not isinstance(platforms, str) and 0 < len(platforms)
    if not fits or any(platforms.count(platform) > 1 or platform not in PLATFORMS for platform in platforms):
        known = ", ".join(map(repr, PLATFORMS))
        raise ConfigError(
            f"platforms must be a tuple of some of {known}, each once, got {shown(platforms)}. Use ('cuda',) for GPUs."
        )


def lower(
    operator: "AbstractOperator", shape: Sequence[int], *, resolution: Resolution, platforms: Sequence[str]
) -> tuple[jax.export.Exported, dict[str, np.ndarray], tuple[int, ...] | None]:
    """The program, its weights by name, and the smallest grid that it is for, `None` if it is for `shape` alone."""
    from neuralop_jax import models  # what only predicts loads neither
    from neuralop_jax._named_arrays import named_arrays

    arrays, rebuild = named_arrays(operator)
    weights = {name: np.asarray(array) for name, array in arrays.items()}
    apply = jax.jit(lambda weights, u: rebuild(weights).batched(u))
    dtype = jnp.result_type(*(leaf for leaf in weights.values() if jnp.issubdtype(leaf.dtype, jnp.floating)))

    def program(smallest: tuple[int, ...] | None) -> jax.export.Exported:
        axes = [f"n{axis}" for axis in range(len(shape))] if smallest else []
        at_least = [f"{axis} >= {points}" for axis, points in zip(axes, smallest or (), strict=True)]
        samples, *points = jax.export.symbolic_shape(", ".join(["batch", *axes]), constraints=at_least)
        u = jax.ShapeDtypeStruct((samples, operator.in_channels, *(points or shape)), dtype)
        return jax.export.export(apply, platforms=platforms, _override_lowering_rules=_without_callbacks())(weights, u)

    if resolution != "fixed":
        smallest = models.modes_and_grid(operator, shape)[0] or (2,) * len(shape)
        try:
            return program(smallest), weights, smallest
        except Exception as error:  # whatever code makes of a size that is no number; a real fault comes again below
            if resolution == "any":
                name = type(getattr(operator, "model", operator)).__name__
                raise ConfigError(
                    f"{name} cannot be exported for any resolution, because its shapes depend on the number of points: "
                    f"{str(error).splitlines()[0].rstrip('.')}. Leave resolution out, or use 'fixed'."
                ) from error
    return program(None), weights, None


def _without_callbacks() -> tuple[tuple[Any, Any]]:
    """The rule of lowering by which a program has NaN where Python would be called: only this process could call it.

    Equinox does so to raise the errors of Diffrax.
    """

    def not_a_number(*args: jax.Array, result_avals: Sequence[Any], **how: Any) -> list[jax.Array]:
        return [jnp.full(a.shape, jnp.nan if jnp.issubdtype(a.dtype, jnp.inexact) else 0, a.dtype) for a in result_avals]

    like = jax.ShapeDtypeStruct((), jnp.float32)
    call = jax.make_jaxpr(lambda: jax.pure_callback(lambda: np.float32(0), like))().eqns[0].primitive
    return ((call, mlir.lower_fun(not_a_number, multiple_results=True)),)


def _serialized(program: jax.export.Exported) -> bytes:
    try:
        return bytes(program.serialize())
    except ImportError as error:
        raise ConfigError("exported programs need flatbuffers. Install it with: pip install 'neuralop_jax[export]'") from error
