"""What the steps of a solve cost, rejected ones too, counted where Diffrax keeps what rejected steps leave behind."""

from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PyTree


class Cost(eqx.Module):
    """Evaluations of a vector field, and products of its derivative with vectors."""

    evaluations: Int[Array, ""]
    products: Int[Array, ""]

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.evaluations + other.evaluations, self.products + other.products)


class Costed(eqx.Module):
    """The error estimate of a step, with what the step cost: of a rejected step, step control sees nothing else."""

    error: PyTree[Array]
    cost: Cost


def plain(error: Any) -> PyTree[Array]:
    """The error estimate without its cost, if it has one."""
    return error.error if isinstance(error, Costed) else error


class Counted(eqx.Module):
    """What all steps so far said that they cost, how many were rejected before one was accepted, and whether none was yet."""

    cost: Cost
    first_rejected: Int[Array, ""]
    first: Bool[Array, ""]


class Counting(diffrax.AbstractAdaptiveStepSizeController):
    """`controller`, with a `Counted` as the second part of its state.

    `rtol`, `atol` and `norm` are those that Diffrax reads from a controller.
    """

    controller: diffrax.AbstractStepSizeController
    rtol: Any
    atol: Any
    norm: Callable[[PyTree], Array]

    def wrap(self, direction: Any) -> "Counting":
        return Counting(controller=self.controller.wrap(direction), rtol=self.rtol, atol=self.atol, norm=self.norm)

    def init(
        self, terms: Any, t0: Any, t1: Any, y0: PyTree, dt0: Any, args: Any, func: Any, error_order: Any
    ) -> tuple[Any, tuple[Any, Counted]]:
        first, state = self.controller.init(terms, t0, t1, y0, dt0, args, func, error_order)
        zero = jnp.zeros((), int)
        return first, (state, Counted(Cost(zero, zero), zero, jnp.asarray(True)))

    def adapt_step_size(
        self, t0: Any, t1: Any, y0: PyTree, y1_candidate: PyTree, args: Any, y_error: Any, error_order: Any, controller_state: Any
    ) -> tuple[Any, Any, Any, Any, Any, diffrax.RESULTS]:
        state, counted = controller_state
        keep, t0, t1, made_jump, state, result = self.controller.adapt_step_size(
            t0, t1, y0, y1_candidate, args, plain(y_error), error_order, state
        )
        cost, first = counted.cost, counted.first & ~jnp.asarray(keep)
        if isinstance(y_error, Costed):  # in numbers that Diffrax has made floating
            cost = cost + jax.tree.map(lambda x: jax.lax.stop_gradient(x).astype(int), y_error.cost)
        return keep, t0, t1, made_jump, (state, Counted(cost, counted.first_rejected + first, first)), result
