"""An equation on a grid as a system of ordinary differential equations, solved by Diffrax."""

import diffrax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from neuralop_jax._result import MAX_STEPS, NONFINITE, SUCCESS
from neuralop_jax._typing import RealField
from neuralop_jax.equations import AbstractEvolution
from neuralop_jax.errors import SolverError
from neuralop_jax.grids import Grid
from neuralop_jax.solvers._solution import Solution, check_finite


def method_of_lines(
    equation: AbstractEvolution,
    u0: RealField,
    times: Float[Array, " frames"],
    grid: Grid,
    *,
    solver: diffrax.AbstractSolver | None = None,
    rtol: float = 1e-6,
    atol: float = 1e-8,
    max_steps: int = 100_000,
    throw: bool = True,
) -> Solution:
    r"""Solves $\dot u = $ `equation.rhs(u, grid)` with error control, and returns the solution at `times`.

    For equations whose stiffness does not matter, references of known accuracy, and steps chosen by the solver. Stiff linear
    parts, as in the equation of Kuramoto and Sivashinsky, are the business of `ETDRK`.

    **Arguments:**

    - `equation`: an evolution equation.
    - `u0`: the start at `times[0]`, `(channels, *space)`.
    - `times`: increasing; the first is the time of `u0`.
    - `grid`: its grid.
    - `solver`: a Diffrax solver; `diffrax.Tsit5()` if `None`. *Good values*: `diffrax.Dopri8()` for references.
    - `rtol`, `atol`: tolerances of the local error.
    - `max_steps`: steps after which to give up.
    - `throw`: raise on failure.

    **Returns:** a `Solution` with `values` of shape `(frames, channels, *space)`.

    **Raises:** `SolverError` if `u0` does not fit, `times` are fewer than two, and, if `throw`, for failure.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.equations import Burgers
        from neuralop_jax.grids import Grid
        from neuralop_jax.solvers import method_of_lines

        grid = Grid((64,), ((0.0, 2 * jnp.pi),), ("periodic",))
        u0 = jnp.sin(jnp.asarray(grid.coordinates()[0]))[None]
        solution = method_of_lines(Burgers(viscosity=0.1), u0, jnp.linspace(0.0, 1.0, 5), grid)
        assert solution.values.shape == (5, 1, 64)
        ```
    """
    equation.check(u0, grid)
    if len(times) < 2:
        raise SolverError(f"method_of_lines needs at least two times, the first that of u0, got {len(times)}.")
    if not isinstance(times, Tracer) and not (np.diff(np.asarray(times)) > 0).all():
        raise SolverError(f"method_of_lines needs increasing times, got {np.asarray(times).tolist()}.")
    check_finite(u0)
    found = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, u, _: equation.rhs(u, grid)),
        diffrax.Tsit5() if solver is None else solver,
        times[0],
        times[-1],
        None,
        u0,
        saveat=diffrax.SaveAt(ts=times),
        stepsize_controller=diffrax.PIDController(rtol=rtol, atol=atol),
        max_steps=max_steps,
        throw=False,
    )
    values = jnp.asarray(found.ys)
    gave_up = jnp.where(found.result == diffrax.RESULTS.max_steps_reached, MAX_STEPS, NONFINITE)
    finite = jnp.isfinite(values).all()
    result = jnp.where(found.result == diffrax.RESULTS.successful, jnp.where(finite, SUCCESS, NONFINITE), gave_up)
    solution = Solution(values, times, result, found.stats["num_steps"])
    return solution.or_raise() if throw else solution
