"""Many steps of a spectral stepper as one compiled loop, with a verdict."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex

from neuralop_jax._result import NONFINITE, SUCCESS, UNSTABLE_STEP
from neuralop_jax._typing import RealField
from neuralop_jax.errors import SolverError
from neuralop_jax.solvers._solution import Solution, check_finite
from neuralop_jax.solvers._spectral_stepper import AbstractSpectralStepper


def integrate(
    step: AbstractSpectralStepper,
    u0: RealField,
    num_steps: int,
    *,
    save_every: int = 1,
    include_init: bool = True,
    throw: bool = True,
) -> Solution:
    r"""The trajectory of `num_steps` steps from `u0`, every `save_every`-th of them kept; in Fourier space between frames.

    The CFL condition is checked at the start and at every frame, finiteness at the end. Under `jax.jit` and `jax.vmap` take
    `throw=False` and look at the result code of each sample.

    **Arguments:**

    - `step`: an `ETDRK` or `CrankNicolson`.
    - `u0`: the start, `(channels, *space)`.
    - `num_steps`: number of steps, a multiple of `save_every`.
    - `save_every`: steps between two frames.
    - `include_init`: whether the frames start with `u0`.
    - `throw`: raise if the step is too long for the start or the solution stops being finite.

    **Returns:** a `Solution`; its `values` are `(frames, channels, *space)`.

    **Raises:** `SolverError` if `u0` does not fit, `num_steps` is no multiple of `save_every`, and, if `throw`, for failure.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.equations import NavierStokes
        from neuralop_jax.grids import Grid
        from neuralop_jax.solvers import ETDRK, integrate

        grid = Grid((32, 32), boundary=("periodic", "periodic"))
        step = ETDRK(NavierStokes(viscosity=1e-2), grid, dt=1e-2)
        solution = integrate(step, NavierStokes.taylor_green(grid), 100, save_every=50)
        assert solution.values.shape == (3, 1, 32, 32) and abs(solution.times[-1] - 1.0) < 1e-6
        ```
    """
    if save_every < 1 or num_steps < 1 or num_steps % save_every:
        raise SolverError(f"num_steps must be a positive multiple of save_every = {save_every}, got {num_steps}.")
    step.equation.check(u0, step.grid)
    if throw:
        check_finite(u0)
        step.check(u0)
    basis, frames = step.basis, num_steps // save_every
    c = basis.coefficients(u0)
    step = jax.tree.map(lambda leaf: _in_precision(leaf, c) if eqx.is_inexact_array(leaf) else leaf, step)

    def frame(c: Complex[Array, "..."], _: None) -> tuple[Array, tuple[Array, Array]]:
        c = jax.lax.scan(lambda c, _: (step.advance(c), None), c, length=save_every)[0]
        u = basis.field(c).astype(u0.dtype)
        return c, (u, step.courant_number(u))

    values, numbers = jax.lax.scan(frame, c, length=frames)[1]
    times = jnp.arange(1 - include_init, frames + 1).astype(u0.dtype) * (step.dt * save_every)
    values = jnp.concatenate([u0[None], values]) if include_init else values
    finite = jnp.isfinite(values[-1]).all()  # what is not finite once stays so
    stable = jnp.maximum(step.courant_number(u0), numbers.max()) <= step.courant_limit
    result = jnp.where(finite, jnp.where(stable, SUCCESS, UNSTABLE_STEP), NONFINITE)
    solution = Solution(values, times, result, jnp.asarray(num_steps))
    return solution.or_raise() if throw else solution


def _in_precision(table: np.ndarray | Array, c: Array) -> Array:
    """A table converted once, before the loop, to the precision of the coefficients."""
    return jnp.asarray(table, c.dtype if jnp.iscomplexobj(table) else c.real.dtype)
