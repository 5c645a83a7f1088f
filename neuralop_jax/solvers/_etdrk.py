"""Exponential time differencing Runge-Kutta methods."""

import equinox as eqx
import numpy as np
from jaxtyping import Array, Complex

from neuralop_jax.equations import AbstractEvolution
from neuralop_jax.equations._fourier_basis import multiply_symbol
from neuralop_jax.grids import Grid
from neuralop_jax.solvers._phi import phi_functions
from neuralop_jax.solvers._spectral_stepper import AbstractSpectralStepper, check_step

_COURANT_LIMITS = {1: 0.5, 2: 1.0, 3: 1.7, 4: 2.8}


class ETDRK(AbstractSpectralStepper):
    r"""Steps of $\partial_t u = \mathcal L u + \mathcal N(u)$, exact for $\mathcal L$, by a Runge-Kutta rule for $\mathcal N$.

    With $z = \Delta t\,\hat{\mathcal L}$ and the functions $\varphi_k$ the first-order step is
    $\hat u_{n+1} = e^z \hat u_n + \Delta t\,\varphi_1(z)\,\hat{\mathcal N}(u_n)$; orders 2, 3 and 4 are ETD2RK, ETD3RK and
    ETD4RK of the source. Diffusion sets no limit on $\Delta t$; what $\mathcal N$ carries does.

    **Arguments:**

    - `equation`: an evolution equation.
    - `grid`: a grid that is periodic on every axis.
    - `dt`: the time step. *Good values*: with order 4 a `courant_number` of about 1.
    - `order`: 1 to 4. Order 4 costs four evaluations of $\mathcal N$ and is the cheapest for errors below a percent.

    **Raises:** `SolverError` for a grid that is not periodic or has other dimensions, a bad `dt` or `order`.

    **Source:** Cox and Matthews 2002, J. Comput. Phys. 176, 430-455, equations (22)-(29), without the cancellation at small $z$
    (see `phi_functions`). The limits of the Courant number are, for orders 3 and 4, the stability intervals of the explicit rules
    on the imaginary axis; orders 1 and 2 have no such interval, theirs are found safe.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.equations import Burgers
        from neuralop_jax.grids import Grid
        from neuralop_jax.solvers import ETDRK

        grid = Grid((128,), ((0.0, 2 * jnp.pi),), ("periodic",))
        step = ETDRK(Burgers(viscosity=0.1), grid, dt=1e-2, order=4)
        u = step(jnp.sin(jnp.asarray(grid.coordinates()[0]))[None])
        assert u.shape == (1, 128)
        ```
    """

    equation: AbstractEvolution
    grid: Grid = eqx.field(static=True)
    dt: float
    order: int = eqx.field(static=True)
    _tables: dict[str, np.ndarray | Array]

    def __init__(self, equation: AbstractEvolution, grid: Grid, dt: float, *, order: int = 4):
        check_step(equation, grid, dt, order, range(1, 5))
        self.equation, self.grid, self.dt, self.order = equation, grid, dt, order
        z = dt * equation.symbol(self.basis)
        e, p1, p2, p3 = phi_functions(z, 4)
        if order <= 2:
            self._tables = {"whole": e, "first": dt * p1} | ({"second": dt * p2} if order == 2 else {})
            return
        half, p1_half = phi_functions(z / 2, 2)
        self._tables = {"whole": e, "half": half, "inner": dt / 2 * p1_half, "start": dt * (p1 - 3 * p2 + 4 * p3)}
        if order == 3:
            self._tables |= {"first": dt * p1, "middle": dt * (4 * p2 - 8 * p3), "end": dt * (4 * p3 - p2)}
        else:
            self._tables |= {"middle": dt * (2 * p2 - 4 * p3), "end": dt * (4 * p3 - p2)}

    @property
    def courant_limit(self) -> float:
        """0.5, 1, 1.7 and 2.8 for orders 1 to 4."""
        return _COURANT_LIMITS[self.order]

    def advance(self, c: Complex[Array, "channels *modes"]) -> Complex[Array, "channels *modes"]:
        """One step on Fourier coefficients."""
        times = lambda name, coefficients: multiply_symbol(self._tables[name], coefficients)
        slope = lambda coefficients: self.equation.nonlinear(coefficients, self.basis)
        at_start = slope(c)
        if self.order <= 2:
            first = times("whole", c) + times("first", at_start)
            return first if self.order == 1 else first + times("second", slope(first) - at_start)
        half = times("half", c)
        a = half + times("inner", at_start)
        at_a = slope(a)
        if self.order == 3:
            at_b = slope(times("whole", c) + times("first", 2 * at_a - at_start))
            return times("whole", c) + times("start", at_start) + times("middle", at_a) + times("end", at_b)
        at_b = slope(half + times("inner", at_a))
        at_end = slope(times("half", a) + times("inner", 2 * at_b - at_start))
        return times("whole", c) + times("start", at_start) + times("middle", at_a + at_b) + times("end", at_end)
