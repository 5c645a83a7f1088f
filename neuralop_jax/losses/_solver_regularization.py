"""Penalties that teach a neural ODE a vector field that is cheap to solve."""

from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float, PyTree

from neuralop_jax._checks import one_of
from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ConfigError
from neuralop_jax.layers import NeuralODE, ODESolution


class SolverPenalties(eqx.Module):
    r"""What a solver thinks of a vector field, to be added to a loss with a weight. NaN if the solve failed.

    - `error`: estimated local error in units of the tolerance, times the length of the step: summed over the solve, or at one
      random time.
    - `stiffness`: estimated largest rate: times the length of the step and summed, or at one random time; `None` for solvers
      that do not show it.
    """

    error: Float[Array, ""]
    stiffness: Float[Array, ""] | None


def global_penalties(
    ode: NeuralODE, z0: PyTree[Array], ts: Float[Array, " times"], args: Any = None
) -> tuple[ODESolution, SolverPenalties]:
    r"""$\sum_n E_n |h_n|$ and $\sum_n S_n |h_n|$ over the accepted steps of a solve, and the solve.

    The gradient goes through the steps of the solver with their lengths held: adjoints `"checkpoint"` and `"direct"`.

    **Arguments:** the layer, and those of its call.

    **Raises:** `ModelInputError` for an adjoint that cannot do it, or a solver without error estimate.

    **Source:** Pal, Ma, Shah, Rackauckas 2021, arXiv:2105.03918; the stiffness as in the released code, where each $S_n$ has its
    $h_n$, so that the sum does not depend on the number of steps.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.layers import NeuralODE
        from neuralop_jax.losses import global_penalties

        decay = NeuralODE(lambda t, z, a: -3 * z, only_end=True)
        solution, penalties = global_penalties(decay, jnp.ones(1), jnp.asarray([0.0, 2.0]))
        assert jnp.allclose(penalties.stiffness, 3 * 2)
        ```
    """
    solution = ode(z0, ts, args, measure=True)
    assert solution.measured is not None and solution.measured.error is not None
    return solution, SolverPenalties(solution.measured.error, solution.measured.stiffness)


def local_penalties(
    ode: NeuralODE,
    z0: PyTree[Array],
    ts: Float[Array, " times"],
    args: Any = None,
    *,
    sampling: str = "uniform",
    key: PRNGKey,
) -> tuple[ODESolution, SolverPenalties]:
    r"""$E h$ and $S$ of one automatic step from the state at a random time, and the solve, which may have any adjoint but
    `"implicit"`.

    The state is taken as it is: the gradient sees the vector field in one step, and costs no more than that.

    **Arguments:** the layer, those of its call, and

    - `sampling`: `"uniform"` over the time; `"accepted"`, over the steps that the solver took, more of which lie where the field
      is stiff.
    - `key`: the random time.

    **Raises:** `ConfigError` for another `sampling`; `ModelInputError` as `global_penalties`.

    **Source:** Pal, Edelman, Rackauckas 2023, arXiv:2303.02262, as "unbiased" and "biased".

    !!! example

        ```python
        import jax
        import jax.numpy as jnp
        from neuralop_jax.layers import NeuralODE
        from neuralop_jax.losses import local_penalties

        decay = NeuralODE(lambda t, z, a: -3 * z, adjoint="backsolve")
        _, penalties = local_penalties(decay, jnp.ones(1), jnp.asarray([0.0, 2.0]), key=jax.random.key(0))
        assert jnp.allclose(penalties.stiffness, 3)
        ```
    """
    one_of("sampling", sampling, ("uniform", "accepted"), ConfigError)
    solution = ode(z0, ts, args, visit=sampling, key=key)
    assert solution.measured is not None and solution.measured.time is not None
    end = jax.lax.stop_gradient(ts[-1]).astype(solution.measured.time.dtype)
    estimates = ode.local_estimates(solution.measured.time, solution.measured.state, end, args)
    return solution, SolverPenalties(*estimates)
