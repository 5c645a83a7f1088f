"""Everything that changes during training, as one pytree."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Int, PyTree

from neuralop_jax import models
from neuralop_jax.training._guard import Guard
from neuralop_jax.training._orders import Order, on_host


class TrainState(eqx.Module):
    """What a training step takes and gives: operator, optimizer state, averaged weights, number of steps, memory of bad steps.

    Only the leaves that `models.trainable` selects are in the optimizer and in the average.

    - `model`: the operator, also its untrained leaves (normalizers).
    - `opt_state`: the state of the Optax optimizer.
    - `ema`: averages of the trainable leaves, `None` elsewhere; `None` altogether if no average is kept.
    - `step`: steps done, also those that were skipped.
    - `guard`: what was skipped, and the usual size of the gradients.
    """

    model: PyTree
    opt_state: optax.OptState
    ema: PyTree
    step: Int[Array, ""]
    guard: Guard

    @classmethod
    def create(cls, model: PyTree, optimizer: optax.GradientTransformation, *, averaged: bool = False) -> "TrainState":
        """The state before the first step; `averaged` makes room for averaged weights.

        Its arrays are those of `model`, and an interval uses up the state that it is given, so that `model`, and normalizers that
        it shares with others, cannot be used after the first one: use `operator()` of a later state.
        """
        weights = eqx.filter(model, models.trainable(model))
        ema = jax.tree.map(jnp.copy, weights) if averaged else None
        return cls(model, optimizer.init(weights), ema, jnp.zeros((), jnp.int32), Guard.create())

    def operator(self) -> PyTree:
        """The operator to evaluate: with the averaged weights if there are any, on one device."""
        operator = on_host(self.model if self.ema is None else eqx.combine(self.ema, self.model), Order.OPERATOR)
        return jax.tree.map(lambda leaf: jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf, operator)
