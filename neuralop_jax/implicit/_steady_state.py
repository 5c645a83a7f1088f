"""Fixed points as steady states of an ordinary differential equation, found by Diffrax."""

from collections.abc import Callable
from typing import Any

import diffrax
import jax.numpy as jnp
from jaxtyping import Array

from neuralop_jax._result import EXPANDING, MAX_STEPS, NONFINITE, SUCCESS
from neuralop_jax.errors import ConfigError
from neuralop_jax.implicit._iteration import AbstractFixedPointMethod, Ended, grown, judge, reachable


class SteadyState(AbstractFixedPointMethod):
    r"""Follows $\dot z = T(z) - z$ until it stands still: the fixed point that a flow leads to, if one does.

    It converges wherever the eigenvalues of the derivative of $T$ at the fixed point have real parts below 1, also far from the
    unit circle. An explicit solver hovers about the steady state at the tolerance of its steps; the error of a step is therefore
    held to a hundredth of the tolerance of the residual, without which the event would never come, or to ten rounding errors.
    Half precision is integrated in single precision; the map sees its own type.

    Of the solution `num_steps` are those of Diffrax, rejected ones and all, and the residual is that of the last point. A solve
    that fails with a residual larger than the first has result 8, one that used up its steps 1, and any other 2.

    **Arguments:**

    - `solver`: a Diffrax solver; `diffrax.Tsit5()` if `None`. *Good values*: `diffrax.Kvaerno5()` for stiff maps.

    **Source:** Pal, Edelman, Rackauckas 2022, arXiv:2201.12240.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.implicit import SteadyState, fixed_point

        solution = fixed_point(lambda z: 2 - 3 * z, jnp.zeros(1), method=SteadyState(), rtol=1e-4)  # the plain iteration diverges
        assert jnp.allclose(solution.value, 0.5, atol=1e-3)
        ```
    """

    solver: diffrax.AbstractSolver | None = None

    def run(
        self,
        step: Callable[[Array], Array],
        start: Array,
        axes: tuple[int, ...],
        *,
        rtol: float | int,
        atol: float | int,
        max_steps: int,
    ) -> Ended:
        """Integrates until the residual is small, has grown beyond return, or the steps are used up.

        **Raises:** `ConfigError` if some axes are samples that stop by themselves.
        """
        if len(axes) < start.ndim:
            raise ConfigError("SteadyState has one time step for all samples. Leave out axis, and use jax.vmap.")
        rtol, exact = reachable(rtol, start), jnp.promote_types(start.dtype, jnp.float32)
        judged = lambda z: judge(step, z.astype(start.dtype), axes, rtol=rtol, atol=atol)  # noqa: E731
        first = judged(start)[1]

        def over(t: Array, z: Array, args: None, **_: Any) -> Array:
            size, relative, reached = judged(z)[1:]
            return (reached | grown(size, first, relative, atol) | ~jnp.isfinite(size)).all()

        found = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, z, _: step(z.astype(start.dtype)).astype(exact) - z),
            diffrax.Tsit5() if self.solver is None else self.solver,
            0.0,
            jnp.inf,
            None,
            start.astype(exact),
            stepsize_controller=diffrax.PIDController(
                rtol=max(rtol / 100, reachable(0, exact)), atol=max(float(atol) / 100, 1e-12)
            ),
            event=diffrax.Event(over),
            max_steps=max_steps,
            throw=False,
        )
        assert found.ys is not None
        z = found.ys[0].astype(start.dtype)
        _, size, relative, reached = judged(z)
        spent = jnp.where(found.result == diffrax.RESULTS.max_steps_reached, MAX_STEPS, NONFINITE)
        spent = jnp.where(size > first, EXPANDING, spent)
        code = jnp.where(reached, SUCCESS, jnp.where(jnp.isfinite(size), spent, NONFINITE))
        return Ended(z, code, jnp.broadcast_to(found.stats["num_steps"], code.shape), relative)
