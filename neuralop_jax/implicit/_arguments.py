"""What solvers are given: numbers as arrays, their types, and whether a value can be looked at."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, PyTree

from neuralop_jax.errors import ConfigError, ModelInputError


def arrays(tree: PyTree) -> PyTree:
    """The tree with its floats as arrays; anything that is no number stays."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf) if isinstance(leaf, float | np.ndarray | jax.Array) else leaf, tree)


def stopped(tree: PyTree) -> PyTree:
    """The tree, its arrays without derivatives."""
    return jax.tree.map(lambda leaf: jax.lax.stop_gradient(leaf) if eqx.is_array(leaf) else leaf, tree)


def kinds(tree: PyTree) -> PyTree[str]:
    """Type and shape of every array; whether a type is weak does not matter."""
    return jax.tree.map(lambda leaf: f"{jnp.result_type(leaf)}{jnp.shape(leaf)}", tree)


def floating(who: str, tree: PyTree) -> PyTree:
    """The tree as arrays; `ConfigError`, which says `who` needs them, unless they are real floating arrays and not empty."""
    if not all(
        isinstance(leaf, bool | int | float | complex | np.ndarray | np.generic | jax.Array) for leaf in jax.tree.leaves(tree)
    ):
        raise ConfigError(
            f"{who} of real floating arrays, got {', '.join(sorted({type(a).__name__ for a in jax.tree.leaves(tree)}))}."
        )
    tree = jax.tree.map(jnp.asarray, tree)
    leaves = jax.tree.leaves(tree)
    types = {str(leaf.dtype) for leaf in leaves if not jnp.issubdtype(leaf.dtype, jnp.floating)}
    if types or not sum(leaf.size for leaf in leaves):
        raise ConfigError(f"{who} of real floating arrays, got {', '.join(sorted(types)) or 'nothing'}.")
    return tree


def is_known(value: Any) -> bool:
    """Whether `value` is a number, or an array with entries that can be looked at: not one inside compiled code."""
    return isinstance(value, bool | int | float | np.ndarray | np.generic | jax.Array) and not isinstance(value, Tracer)


def check_least(who: str, name: str, value: ArrayLike, least: float | int, *, above: bool = False) -> None:
    """`ModelInputError` unless every number of `value`, where they are known, is at least `least`, or `above` it."""
    if is_known(value) and not np.all(np.asarray(value) > least if above else np.asarray(value) >= least):
        raise ModelInputError(f"{who} needs {name} {'above' if above else 'of at least'} {least:g}, got {value}.")


def unit_of(x: Array, axis: int | tuple[int, ...] | None = None, *, keepdims: bool = False) -> Array:
    """The largest absolute value along `axis`, or of all, or 1: a number to divide by before squares are taken."""
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(x), axis, keepdims=keepdims, initial=0))
    return jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1)
