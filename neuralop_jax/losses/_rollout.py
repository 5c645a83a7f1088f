"""The loss of a trajectory that an emulator makes by itself."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact

from neuralop_jax.losses._supervised import relative_l2
from neuralop_jax.rollout import rollout


def rollout_loss(
    step: Callable[[Array], Array],
    u0: Inexact[Array, "channels *space"],
    targets: Inexact[Array, "time channels *space"],
    *,
    pushforward: bool = False,
) -> Float[Array, ""]:
    r"""$\sum_{t=1}^{T} \lVert u_t - y_t\rVert/\lVert y_t\rVert$ over the rollout $u_t = \text{step}(u_{t-1})$ from $u_0$.

    **Arguments:**

    - `step`: one step in time.
    - `u0`: the state at the start.
    - `targets`: the states $y_1 \dots y_T$.
    - `pushforward`: differentiate each term through its last step only, not through the whole rollout.

    **Source:** Li et al. 2021, arXiv:2010.08895, section 5.3; pushforward of Brandstetter et al. 2022, arXiv:2202.03376.
    """
    advance = (lambda u: step(jax.lax.stop_gradient(u))) if pushforward else step
    predictions = rollout(advance, u0, len(targets), include_init=False)
    return jnp.sum(jax.vmap(relative_l2)(predictions, targets))
