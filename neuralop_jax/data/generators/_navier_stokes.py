"""Vorticity of two-dimensional flows: the benchmark of the first FNO, and Kolmogorov flow."""

import dataclasses
from typing import Annotated, ClassVar, Literal

import numpy as np
from jaxtyping import Array, Int

from neuralop_jax import equations
from neuralop_jax._config_values import Bounds
from neuralop_jax._typing import PRNGKey
from neuralop_jax.data._random_fields import GaussianRandomField
from neuralop_jax.data.generators._base import POINTS_AT_ONCE, AbstractGenerator
from neuralop_jax.data.generators._trajectories import frame_times, refined, trajectory
from neuralop_jax.errors import ConfigError
from neuralop_jax.grids import Grid
from neuralop_jax.info import FieldInfo

_POSITIVE, _NOT_NEGATIVE, _FRAMES = Bounds(above=0.0), Bounds(at_least=0.0), Bounds(at_least=2.0)
_VORTICITY = (FieldInfo("vorticity", description="vorticity w(x, y, t)", time_varying=True),)


class NavierStokes(AbstractGenerator):
    r"""Vorticity on the unit torus under $f = 0.1(\sin 2\pi(x + y) + \cos 2\pi(x + y))$ from random initial fields.

    The published sets are $\nu = 10^{-3}$ until $T = 50$ (the defaults), $10^{-4}$ until 30 and $10^{-5}$ until 20, one frame per
    unit of time, solved on $256^2$ and stored on $64^2$. $w_0 \sim \mathcal N(0, \sigma^2(-\Delta + 49)^{-2.5})$; $\sigma^2$ is
    $7^{3/2}$ in the paper and $7^3$ in its code, which made the data: the standard deviation is 0.043 or 0.185.

    **Raises:** `ConfigError` if `final_time` is not a multiple of `interval`.

    **Source:** Li et al. 2021, arXiv 2010.08895, section 5.3 and appendix A.3.3. Differs in the time steps: fourth order and long
    instead of first order and $10^{-4}$.

    !!! example

        ```python
        import jax
        from neuralop_jax.data.generators import NavierStokes

        generator = NavierStokes(final_time=1.0, solver_resolution=32)
        fields, code = generator.simulate(16, key=jax.random.key(0))
        assert fields["vorticity"].shape == (2, 1, 16, 16) and code == 0
        ```
    """

    viscosity: Annotated[float, _POSITIVE] = 1e-3
    """The viscosity ν, in length² per time."""
    final_time: Annotated[float, _POSITIVE] = 50.0
    """The time of the last frame."""
    interval: Annotated[float, _POSITIVE] = 1.0
    """The time between two frames, of which the first is the initial vorticity."""
    amplitude: Literal["code", "paper"] = "code"
    """The initial field's σ²: 7³ as in the released code, or 7^(3/2) as in the paper."""
    solver_resolution: Annotated[int, Bounds(at_least=8.0)] = 256
    """The solver runs on the coarsest grid of at least so many points per axis that holds the stored one."""
    max_step: Annotated[float, _POSITIVE] = 2e-2
    """The longest time step; the default leaves an error of 1e-10 at viscosity 1e-3 and time 10."""

    title: ClassVar[str] = "Navier-Stokes on the torus, vorticity, with the forcing of the FNO benchmark"
    citation: ClassVar[str] = "Z. Li et al., Fourier Neural Operator for Parametric PDEs, ICLR 2021, arXiv:2010.08895"
    default_resolution: ClassVar[int] = 64

    def __check_init__(self):
        intervals = self.final_time / self.interval
        if round(intervals) < 1 or abs(intervals - round(intervals)) > 1e-9 * intervals:
            raise ConfigError(
                f"final_time must be a multiple of interval = {self.interval:g}, the time between two frames, "
                f"got {self.final_time:g}."
            )

    @property
    def fields(self) -> tuple[FieldInfo, ...]:
        return _VORTICITY

    @property
    def parameters(self) -> dict[str, float]:
        return {"viscosity": self.viscosity}

    @property
    def times(self) -> tuple[float, ...]:
        frames = round(self.final_time / self.interval) + 1
        return frame_times(self.interval * (frames - 1), frames)

    def grid(self, resolution: int) -> Grid:
        return Grid((resolution, resolution), boundary=("periodic", "periodic"))

    def simulate(self, resolution: int, *, key: PRNGKey) -> tuple[dict[str, Array], Int[Array, ""]]:
        grid = self.grid(resolution)
        fine = refined(grid, self.solver_resolution)
        sigma = 7.0**1.5 if self.amplitude == "code" else 7.0**0.75
        frames, code = trajectory(
            equations.NavierStokes(self.viscosity, forcing=equations.DiagonalForcing()),
            GaussianRandomField(sigma, 7.0, 2.5).sample(fine, key=key),
            fine,
            grid,
            interval=self.interval,
            num_frames=len(self.times),
            max_step=self.max_step,
        )
        return {"vorticity": frames}, code

    def batch_size(self, resolution: int) -> int:
        """As many samples as a cache holds on the grid of the solver."""
        return max(1, POINTS_AT_ONCE // refined(self.grid(resolution), self.solver_resolution).shape[0] ** 2)

    def retry(self, attempt: int) -> "NavierStokes | None":
        """Half the time step, up to three times."""
        return dataclasses.replace(self, max_step=self.max_step / 2**attempt) if attempt <= 3 else None


class Kolmogorov(AbstractGenerator):
    r"""Vorticity of Kolmogorov flow on $(0, 2\pi)^2$: $f = -n\cos(n y)$, viscosity $\nu$, linear drag $\mu$.

    The defaults are the flow of PINO at $Re = 1/\nu = 500$, $n = 4$, after its statistics have settled. The set of FactFormer is
    `viscosity=1e-3, mode=8, drag=0.1, solver_resolution=2048` at resolution 256.

    **Source:** Li et al. 2021, arXiv 2111.03794; Li et al. 2021, arXiv 2106.06898; Li, Shu and Barati Farimani 2023,
    arXiv 2305.17560. Differs in the time steps: fourth order.

    !!! example

        ```python
        import jax
        from neuralop_jax.data.generators import Kolmogorov

        generator = Kolmogorov(viscosity=0.025, burn_in=1.0, num_frames=3, solver_resolution=32)
        fields, code = generator.simulate(32, key=jax.random.key(0))
        assert fields["vorticity"].shape == (3, 1, 32, 32) and code == 0
        ```
    """

    viscosity: Annotated[float, _POSITIVE] = 2e-3
    """The viscosity ν, in length² per time."""
    drag: Annotated[float, _NOT_NEGATIVE] = 0.0
    """The linear drag μ, per time."""
    mode: Annotated[int, Bounds(at_least=1.0)] = 4
    """The wavenumber n of the forcing, which has the amplitude n."""
    burn_in: Annotated[float, _NOT_NEGATIVE] = 100.0
    """The time that passes before the first frame."""
    interval: Annotated[float, _POSITIVE] = 1.0
    """The time between two frames."""
    num_frames: Annotated[int, _FRAMES] = 65
    """Frames, the first after the burn-in."""
    solver_resolution: Annotated[int, Bounds(at_least=8.0)] = 128
    """The solver runs on the coarsest grid of at least so many points per axis that holds the stored one."""
    max_step: Annotated[float, _POSITIVE] = 5e-3
    """The longest time step."""

    title: ClassVar[str] = "Kolmogorov flow, vorticity"
    citation: ClassVar[str] = "Z. Li et al., Physics-Informed Neural Operator, arXiv:2111.03794"
    default_resolution: ClassVar[int] = 64

    @property
    def fields(self) -> tuple[FieldInfo, ...]:
        return _VORTICITY

    @property
    def parameters(self) -> dict[str, float]:
        return {"viscosity": self.viscosity, "drag": self.drag, "forcing_mode": float(self.mode)}

    @property
    def times(self) -> tuple[float, ...]:
        return frame_times(self.interval * (self.num_frames - 1), self.num_frames)

    def grid(self, resolution: int) -> Grid:
        return Grid((resolution, resolution), ((0.0, 2 * np.pi),) * 2, ("periodic", "periodic"))

    def simulate(self, resolution: int, *, key: PRNGKey) -> tuple[dict[str, Array], Int[Array, ""]]:
        grid = self.grid(resolution)
        fine = refined(grid, self.solver_resolution)
        if 3 * self.mode >= fine.shape[1]:
            raise ConfigError(
                f"solver_resolution must exceed 3 * mode = {3 * self.mode} for the forcing to be de-aliased, got {fine.shape[1]}."
            )
        forcing = equations.KolmogorovForcing(self.mode, float(self.mode))
        frames, code = trajectory(
            equations.NavierStokes(self.viscosity, self.drag, forcing),
            GaussianRandomField(7.0**1.5, 7.0, 2.5).sample(fine, key=key),
            fine,
            grid,
            interval=self.interval,
            num_frames=self.num_frames,
            max_step=self.max_step,
            burn_in=self.burn_in,
        )
        return {"vorticity": frames}, code

    def batch_size(self, resolution: int) -> int:
        """As many samples as a cache holds on the grid of the solver."""
        return max(1, POINTS_AT_ONCE // refined(self.grid(resolution), self.solver_resolution).shape[0] ** 2)

    def retry(self, attempt: int) -> "Kolmogorov | None":
        """Half the time step, up to three times."""
        return dataclasses.replace(self, max_step=self.max_step / 2**attempt) if attempt <= 3 else None
