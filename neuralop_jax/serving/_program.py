"""The program of an exported operator as a function, once it is known to fit its card and its weights."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.export
import numpy as np
from jaxlib.mlir import ir
from jaxlib.mlir.dialects import chlo, stablehlo
from jaxtyping import Array

from neuralop_jax._checks import reason, shown
from neuralop_jax.errors import CheckpointError, ConfigError
from neuralop_jax.serving._artifact import PROGRAM, WEIGHTS, read_artifact
from neuralop_jax.serving._card import ModelCard


def load_program(path: Path) -> tuple[ModelCard, Callable[[Array], Array]]:
    """The card of an exported operator, and the outputs for samples `(batch, channels, *space)` that fit it.

    **Raises:** `CheckpointError` if it is damaged, or for other devices or a precision that JAX is not set to hold; the function
    does so if its program cannot be run. `ConfigError` if flatbuffers is not installed.
    """
    card, code, weights = read_artifact(path)
    if jax.dtypes.canonicalize_dtype(card.dtype) != np.dtype(card.dtype):
        raise CheckpointError(f"{path} computes in {card.dtype}, which JAX would shorten. Set JAX_ENABLE_X64=1 and load again.")
    with _one_line(f"{path} is damaged ({PROGRAM}"):
        program = _deserialized(code)
        _check_fit(program, card, weights)
    here = {"gpu": "cuda"}.get(jax.default_backend(), jax.default_backend())
    if here not in program.platforms:
        raise CheckpointError(
            f"{path} was exported for {', '.join(program.platforms)}, JAX computes on {here} here. Export it for {here}, or set "
            "JAX_PLATFORMS."
        )
    call, held = jax.jit(program.call), jax.device_put(weights)

    def compute(u: Array) -> Array:
        with _one_line(f"{path} cannot be run ({PROGRAM}"):
            return jax.block_until_ready(call(held, u))

    return card, compute


@contextlib.contextmanager
def _one_line(said: str) -> Iterator[None]:
    """Makes a `CheckpointError` of whatever is raised for a program that nobody vouches for; want of memory stays what it is."""
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:
        if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
            raise
        raise CheckpointError(f"{said}: {reason(error)}). Export the run again.") from error


def _deserialized(code: bytes) -> jax.export.Exported:
    """The program, parsed once where MLIR cannot print what it finds: JAX lets it do so on standard error."""
    try:
        program = jax.export.deserialize(bytearray(code))
    except ImportError as error:
        raise ConfigError("exported programs need flatbuffers. Install it with: pip install 'neuralop_jax[export]'") from error
    found: list[str] = []
    with ir.Context() as context:
        context.attach_diagnostic_handler(lambda diagnostic: found.append(diagnostic.message) is None)
        stablehlo.register_dialect(context)
        chlo.register_dialect(context)
        try:
            module = stablehlo.deserialize_portable_artifact(context, program.mlir_module_serialized)
            sound = module.operation.verify()
        except Exception as error:
            raise ValueError(found[0] if found else reason(error)) from error
    if not sound:
        raise ValueError(found[0] if found else "it is no valid module")
    return program


def _check_fit(program: jax.export.Exported, card: ModelCard, weights: Mapping[str, np.ndarray]) -> None:
    """Raises `ValueError` unless the program takes these weights, and has the inputs and outputs that the card speaks of."""
    ((wanted, u), _), (v,) = jax.tree.unflatten(program.in_tree, program.in_avals), program.out_avals
    for name in sorted(wanted.keys() | weights.keys()):
        here, there = (_described(arrays.get(name)) for arrays in (weights, wanted))
        if here != there:
            raise ValueError(f"it wants {there} for {shown(name)}, {WEIGHTS} has {here}")
    points, grid = u.shape[2:], card.grid
    if card.smallest_grid is None:
        fits = points == grid.shape
    else:
        fits = len(points) == grid.num_dims == len(card.smallest_grid) and all(map(jax.export.is_symbolic_dim, points))
    if not fits or not jax.export.is_symbolic_dim(u.shape[0]) or (u.shape[1], u.dtype) != (card.in_channels, card.dtype):
        raise ValueError(
            f"it reads {_described(u)}, the card says {card.in_channels} channels of {card.dtype} on a grid of {grid.shape} and "
            f"of {card.smallest_grid or grid.shape} at least"
        )
    if v.shape[1] != card.out_channels:
        raise ValueError(f"it gives {_described(v)}, the card says {card.out_channels} channels")


def _described(array: Any | None) -> str:
    return "nothing" if array is None else f"{array.dtype} of shape ({', '.join(map(str, array.shape))})"
