"""Training of all members of an ensemble in one step."""

from collections.abc import Callable
from typing import Literal

import equinox as eqx
import optax
from jaxtyping import Array, Key

from neuralop_jax.data import Sample
from neuralop_jax.models import Ensemble
from neuralop_jax.training._state import TrainState
from neuralop_jax.training._step import Metrics, Step


def ensemble_state(ensemble: Ensemble, optimizer: optax.GradientTransformation, *, averaged: bool = False) -> TrainState:
    """The states of all members before the first step, as one state with a leading axis on every array.

    **Arguments:** as in `TrainState.create`. After training, `Ensemble(state.operator(), ensemble.size)` is the ensemble.
    """
    return eqx.filter_vmap(lambda member: TrainState.create(member, optimizer, averaged=averaged))(ensemble.members)


def ensemble_step(
    step: Step, *, batches: Literal["shared", "own"] = "shared"
) -> Callable[[TrainState, Sample, Key[Array, " members"]], tuple[TrainState, Metrics]]:
    r"""A step of every member of an ensemble at once: `step` mapped over the members.

    Nothing couples them: each has the loss, the clipped gradient, the moments and the guard that it would have alone, and the
    weights that separate trainings lead to, up to round-off.

    **Arguments:**

    - `step`: a step of one operator, as `make_step` returns it; without a `mesh`.
    - `batches`: whether all members see the same batch, or `"own"` ones, along a leading axis of the batch. With the same
        batches they differ by their initial weights, which as a rule is enough.

    **Returns:** `step(state, batch, keys)` with a state as `ensemble_state` makes it and a key for each member; its metrics are
    those of each.

    !!! example

        ```python
        import jax
        import jax.numpy as jnp
        import optax

        from neuralop_jax.data import Sample
        from neuralop_jax.models import FNO, Ensemble
        from neuralop_jax.training import ensemble_state, ensemble_step, make_step, supervised

        build = lambda key: FNO(in_channels=1, out_channels=1, n_modes=(4,), width=4, depth=1, key=key)
        ensemble, optimizer = Ensemble.of(build, jax.random.split(jax.random.key(0), 3)), optax.adam(1e-3)
        step = ensemble_step(make_step(supervised(lambda v, target: jnp.mean((v - target) ** 2)), optimizer))
        batch = Sample({"u": jnp.ones((2, 1, 8))}, jnp.zeros((2, 1, 8)))
        state = ensemble_state(ensemble, optimizer)
        state, metrics = jax.jit(step)(state, batch, jax.random.split(jax.random.key(1), 3))
        trained = Ensemble(state.operator(), 3)
        assert metrics["loss"].shape == (3,) and trained(jnp.ones((1, 8))).shape == (1, 8)
        ```
    """
    own = eqx.if_array(0)

    def all_steps(state: TrainState, batch: Sample, keys: Key[Array, " members"]) -> tuple[TrainState, Metrics]:
        return eqx.filter_vmap(step, in_axes=(own, own if batches == "own" else None, 0))(state, batch, keys)

    return all_steps
