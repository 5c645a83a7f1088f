"""Reading of foreign configurations and state dicts: every key and shape is checked before anything is converted."""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from neuralop_jax._checks import did_you_mean
from neuralop_jax.errors import CheckpointError, ConfigError

_LISTED = 4
"""Entries named in an error message; further ones are counted."""


def read_config(family: str, config: Mapping[str, Any], defaults: Mapping[str, Any], required: Sequence[str]) -> dict[str, Any]:
    """`config` completed by the original's `defaults`.

    **Raises:** `ConfigError` if a key is unknown or a required one is missing.
    """
    known = [*required, *defaults]
    for key in config:
        if key not in known:
            raise ConfigError(f"{family}: unknown option {key!r}.{did_you_mean(str(key), known)} Known: {', '.join(known)}.")
    missing = [key for key in required if key not in config]
    if missing:
        raise ConfigError(f"{family}: the configuration lacks {', '.join(missing)}, which the original requires.")
    return {**defaults, **config}


def read_state(
    family: str,
    state_dict: Mapping[str, Any],
    shapes: Mapping[str, tuple[int, ...]],
    *,
    spectral: Container[str],
    ignored: Iterable[str] = (),
) -> dict[str, np.ndarray]:
    """The entries of `state_dict` as numpy arrays of one precision: that of the state dict, as far as JAX is set to hold it.

    **Arguments:**

    - `shapes`: every entry that must be there, and its shape.
    - `spectral`: the entries that may be complex.
    - `ignored`: entries that may be there and say nothing.

    **Raises:** `CheckpointError` naming the entries that are missing, not expected, not finite, or of another shape than `shapes`
    says.
    """
    names = set(state_dict) - set(ignored)
    problems = []
    if missing := [name for name in shapes if name not in names]:
        problems.append(f"missing {_listed(missing)}")
    if unexpected := sorted(str(name) for name in names if name not in shapes):
        problems.append(f"unexpected {_listed(unexpected)}")
    arrays = {name: _array(family, name, state_dict[name]) for name in shapes if name in names}
    if not_real := [name for name, array in arrays.items() if array.dtype.kind == "c" and name not in spectral]:
        problems.append(f"complex instead of real {_listed(not_real)}")
    if infinite := [name for name, array in arrays.items() if not np.isfinite(array).all()]:
        problems.append(f"NaN or infinite {_listed(infinite)}")
    wrong = [f"{name} {arrays[name].shape}, wanted {shapes[name]}" for name in arrays if arrays[name].shape != shapes[name]]
    if wrong:
        problems.append(f"wrong shape {_listed(wrong, '; ')}")
    if problems:
        hint = _prefix_hint(names, shapes)
        raise CheckpointError(f"{family}: the state dict does not fit the configuration: {'; '.join(problems)}.{hint}")
    double = any(array.dtype in (np.float64, np.complex128) for array in arrays.values())
    real = jax.dtypes.canonicalize_dtype(np.float64 if double else np.float32)
    complex_ = np.result_type(real, np.complex64)
    return {name: array.astype(complex_ if name in spectral else real) for name, array in arrays.items()}


def split_complex(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Real and imaginary part of a complex array."""
    return np.real(weight), np.imag(weight)


def join_parts(state_dict: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """`state_dict` with the real entries `names`, whose last axis of two holds real and imaginary part, as complex ones."""
    joined = dict(state_dict)
    for name in names:
        if name in joined and np.shape(joined[name])[-1:] == (2,):
            parts = np.asarray(joined[name])
            joined[name] = parts[..., 0] + 1j * parts[..., 1]
    return joined


def _array(family: str, name: str, value: Any) -> np.ndarray:
    try:
        array = np.asarray(value)
    except (TypeError, RuntimeError) as error:  # a PyTorch tensor that is on a GPU, tracked, or of a type unknown to numpy
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{family}: {name} is no numpy array ({reason}); pass t.detach().cpu().numpy().") from error
    if array.dtype.kind not in "fc":
        raise CheckpointError(f"{family}: {name} holds {array.dtype}, wanted floating-point or complex numbers.")
    return array


def _prefix_hint(names: Iterable[str], wanted: Iterable[str]) -> str:
    """What to do if all `wanted` entries are there, but behind a common prefix."""
    found, wanted = set(map(str, names)), list(wanted)
    for prefix in sorted(name.removesuffix(wanted[0]) for name in found if name.endswith(wanted[0])):
        if prefix and all(prefix + name in found for name in wanted):
            return f" All that is missing is there behind {prefix!r}: give it as prefix (convert: --prefix {prefix})."
    return ""


def _listed(items: Sequence[str], separator: str = ", ") -> str:
    more = len(items) - _LISTED
    return separator.join(items[:_LISTED]) + (f" and {more} more" if more > 0 else "")


def fill(model: Any, where: Mapping[str, Callable[[Any], Any]], arrays: Mapping[str, Any]) -> Any:
    """`model` with every array leaf replaced: the leaf, or pair of leaves, `where[name](model)` by `arrays[name]`, reshaped."""
    leaves = [where[name](model) for name in arrays]
    values = jax.tree.map(lambda leaf, array: jnp.asarray(array.reshape(leaf.shape)), leaves, list(arrays.values()))
    return eqx.tree_at(lambda m: [where[name](m) for name in arrays], model, values)
