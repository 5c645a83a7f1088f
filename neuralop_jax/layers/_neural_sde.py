"""A stochastic differential equation as a layer."""

from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
from jaxtyping import Array, PyTree

from neuralop_jax._checks import one_of
from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.layers._horizon import check_horizon
from neuralop_jax.layers._initial_value import Problem, in_some_order, solve_problem
from neuralop_jax.layers._neural_ode import check_state, check_times, is_number
from neuralop_jax.layers._ode_solution import ODESolution
from neuralop_jax.layers._solver_choice import ADJOINTS, equal_steps, root_mean_square

STOCHASTIC_SOLVERS: dict[str, type[diffrax.AbstractSolver]] = {
    "euler_heun": diffrax.EulerHeun,
    "heun": diffrax.Heun,
    "midpoint": diffrax.Midpoint,
    "reversible_heun": diffrax.ReversibleHeun,
}
"""Methods that converge to the solution in the sense of Stratonovich."""


class NeuralSDE(eqx.Module):
    r"""One path of $dz = \mu(t, z, a)\,dt + \sigma(t, z, a) \circ dW$ in the sense of Stratonovich, with steps that end at
    every output time, equal between two of them.

    **Arguments:**

    - `drift`: $\mu$, with the shape of the state.
    - `diffusion`: $\sigma$: with the shape of the state, one Brownian motion for each of its numbers.
    - `step`: the length that no step exceeds.
    - `solver`: a name in `STOCHASTIC_SOLVERS`, or a Stratonovich solver of Diffrax.
    - `adjoint`: `"checkpoint"`, `"backsolve"`, `"direct"`, `"forward"`, as for `NeuralODE`.
    - `only_end`: return the last state alone.
    - `max_steps`: steps after which to give up.

    **Raises:** `ConfigError` for unknown options, and for solvers of ordinary equations or in the sense of Itô.

    **Source:** Kidger, Foster, Li, Lyons 2021, arXiv:2102.03657.

    !!! example

        ```python
        import jax
        import jax.numpy as jnp
        from neuralop_jax.layers import NeuralSDE

        layer = NeuralSDE(lambda t, z, a: -z, lambda t, z, a: 0.1 * jnp.ones_like(z), step=0.05)
        path = layer(jnp.ones(2), jnp.linspace(0.0, 1.0, 5), key=jax.random.key(0))
        assert path.values.shape == (5, 2) and path.successful
        ```
    """

    drift: Callable[..., Array]
    diffusion: Callable[..., Array]
    step: float = eqx.field(static=True)
    solver: str | diffrax.AbstractSolver = eqx.field(static=True)
    adjoint: str = eqx.field(static=True)
    only_end: bool = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)

    def __init__(
        self,
        drift: Callable[..., Array],
        diffusion: Callable[..., Array],
        *,
        step: float,
        solver: str | diffrax.AbstractSolver = "reversible_heun",
        adjoint: str = "checkpoint",
        only_end: bool = False,
        max_steps: int = 4096,
    ):
        if isinstance(solver, str):
            one_of("solver", solver, STOCHASTIC_SOLVERS, ConfigError)
        elif not isinstance(solver, diffrax.AbstractStratonovichSolver):
            raise ConfigError(
                f"NeuralSDE needs a solver in the sense of Stratonovich, got {type(solver).__name__}. Use 'reversible_heun'."
            )
        one_of("adjoint", adjoint, sorted(set(ADJOINTS) - {"implicit"}), ConfigError)
        if not (is_number(step) and step > 0) or not isinstance(max_steps, int) or max_steps < 1:
            raise ConfigError(f"NeuralSDE needs a positive step and max_steps of at least 1, got {step!r} and {max_steps!r}.")
        self.drift, self.diffusion, self.step, self.solver = drift, diffusion, step, solver
        self.adjoint, self.only_end, self.max_steps = adjoint, only_end, max_steps

    def __call__(self, z0: PyTree[Array], ts: Array, args: Any = None, *, key: PRNGKey) -> ODESolution:
        """One path at the times `ts`, of which the first is that of `z0`; the same key is the same path.

        **Raises:** `ModelInputError` as for a call of `NeuralODE`.
        """
        check_state(z0)
        if not hasattr(z0, "dtype"):
            raise ModelInputError(f"NeuralSDE moves one array, got {type(z0).__name__}. Concatenate its parts.")
        ts = check_times(ts, z0)
        check_horizon((self.drift, self.diffusion, args), ts)
        problem = Problem(
            solver=STOCHASTIC_SOLVERS[self.solver]() if isinstance(self.solver, str) else self.solver,
            rtol=0.0,
            atol=0.0,
            step=self.step,
            controller=None,
            adjoint=ADJOINTS[self.adjoint](),
            norm=root_mean_square,
            steady=None,
            event=None,
            only_end=self.only_end,
            max_steps=self.max_steps,
            measure=False,
            visit=None,
            stop=True,
        )
        dtype = jnp.promote_types(z0.dtype, jnp.float32)
        times, _ = in_some_order(jax.lax.stop_gradient(ts.astype(dtype)))
        ends, gaps = jnp.sort(times[jnp.asarray([0, -1])]), jnp.abs(jnp.diff(times))
        shortest = jnp.min(gaps / equal_steps(gaps, self.step))
        noise = diffrax.VirtualBrownianTree(
            ends[0], ends[1], tol=shortest / 2, shape=jax.ShapeDtypeStruct(z0.shape, dtype), key=key
        )
        return solve_problem(problem, _terms, (self.drift, self.diffusion, noise), z0, ts, args)


def _terms(fields: tuple[Callable, Callable, diffrax.VirtualBrownianTree]) -> diffrax.AbstractTerm:
    drift, diffusion, noise = fields
    return diffrax.MultiTerm(diffrax.ODETerm(drift), diffrax.ControlTerm(_Diagonal(diffusion), noise))


class _Diagonal(eqx.Module):
    """The diffusion as a diagonal linear map of the Brownian motion."""

    diffusion: Callable[..., Array]

    def __call__(self, t: Any, z: Array, args: Any) -> lx.DiagonalLinearOperator:
        return lx.DiagonalLinearOperator(self.diffusion(t, z, args))
