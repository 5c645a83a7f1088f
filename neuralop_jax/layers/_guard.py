"""Solves whose failure stays with the sample that failed: its gradient is zero, not zero times infinity."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import PyTree

from neuralop_jax._result import SUCCESS
from neuralop_jax.layers._ode_solution import ODESolution


@eqx.filter_custom_vjp
def guarded(inputs: PyTree, solve: Callable[[PyTree], ODESolution]) -> ODESolution:
    """`solve(inputs)`. In reverse mode a failed solve contributes nothing to the gradient by `inputs`.

    A state that overflowed has infinite derivatives. Parameters that the samples of a batch share would get NaN from them even
    where the loss does not read the sample.
    """
    return solve(inputs)


@guarded.def_fwd
def _forward(perturbed: PyTree, inputs: PyTree, solve: Callable[[PyTree], ODESolution]) -> tuple[ODESolution, Any]:
    moving, fixed = eqx.partition(inputs, perturbed)

    def split(moving: PyTree) -> tuple[PyTree, PyTree]:
        return eqx.partition(solve(eqx.combine(moving, fixed)), eqx.is_inexact_array)

    real, pull_back, rest = jax.vjp(split, moving, has_aux=True)
    solution = eqx.combine(real, rest)
    return solution, (pull_back, solution.result == SUCCESS, jax.tree.map(jnp.zeros_like, real))


@guarded.def_bwd
def _backward(residuals: Any, cotangents: PyTree, perturbed: PyTree, inputs: PyTree, solve: Any) -> PyTree:
    pull_back, successful, zeros = residuals
    materialized = jax.tree.map(lambda zero, ct: zero if ct is None else ct, zeros, cotangents)
    (gradients,) = pull_back(materialized)
    gradients = jax.tree.map(lambda leaf: jnp.where(successful, leaf, jnp.zeros_like(leaf)), gradients)
    return eqx.combine(gradients, jax.tree.map(lambda leaf: None, eqx.filter(inputs, eqx.is_inexact_array)))


def captured(fn: Callable, *args: Any) -> bool:
    """Whether `fn(*args)` reads traced arrays that are neither its leaves nor its arguments."""
    dynamic, static = eqx.partition((fn, args), eqx.is_array)

    def call(dynamic: PyTree) -> PyTree:
        fn, args = eqx.combine(dynamic, static)
        return fn(*args)

    return any(isinstance(constant, Tracer) for constant in jax.make_jaxpr(call)(dynamic).consts)
