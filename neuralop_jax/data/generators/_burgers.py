"""Solutions of the viscous Burgers equation from random initial velocities."""

import dataclasses
from typing import Annotated, ClassVar, Literal

import numpy as np
from jaxtyping import Array, Int

from neuralop_jax import equations
from neuralop_jax._config_values import Bounds
from neuralop_jax._typing import PRNGKey
from neuralop_jax.data._random_fields import GaussianRandomField
from neuralop_jax.data.generators._base import AbstractGenerator
from neuralop_jax.data.generators._trajectories import frame_times, refined, trajectory
from neuralop_jax.grids import Grid
from neuralop_jax.info import FieldInfo

_POSITIVE = Bounds(above=0.0)


class Burgers(AbstractGenerator):
    r"""Trajectories of $\partial_t u + \partial_x(u^2/2) = \nu\,\partial_{xx} u$ from random velocities.

    $u_0 \sim \mathcal N(0, 625(-\Delta + 25)^{-2})$. The benchmark of the first FNO asks for $u(\cdot, 1)$ from $u_0$ at
    $\nu = 0.1$. Its two papers put it on different intervals: on $(0, 1)$ the slowest mode keeps 2 % of its amplitude until then,
    and the target is nearly zero; on $(0, 2\pi)$ it keeps 90 %. The default is $(0, 2\pi)$.

    **Source:** Li et al. 2021, arXiv 2010.08895, section 5.1, on $(0, 1)$; Kovachki et al. 2023, J. Mach. Learn. Res. 24(89),
    section 6.1, on $(0, 2\pi)$. Differs from both in the solver: fourth-order exponential steps instead of a split step.

    !!! example

        ```python
        import jax
        from neuralop_jax.data.generators import Burgers

        fields, code = Burgers(solver_resolution=128).simulate(64, key=jax.random.key(0))
        assert fields["velocity"].shape == (2, 1, 64) and code == 0
        ```
    """

    viscosity: Annotated[float, _POSITIVE] = 0.1
    """The viscosity ν, in length² per time."""
    final_time: Annotated[float, _POSITIVE] = 1.0
    """The time of the last frame."""
    num_frames: Annotated[int, Bounds(at_least=2.0)] = 2
    """Frames at equal intervals, the initial velocity included."""
    domain: Literal["2pi", "unit"] = "2pi"
    """The periodic interval (0, 2π) or (0, 1)."""
    measure: Literal["lebesgue", "unit"] = "lebesgue"
    """The normalization of the initial field: on (0, 2π) its standard deviation is 1.04 or, as in the released script, 2.62."""
    solver_resolution: Annotated[int, Bounds(at_least=8.0)] = 1024
    """The solver runs on the coarsest grid of at least so many points that holds the stored one."""
    max_step: Annotated[float, _POSITIVE] = 4e-3
    """The longest time step."""

    title: ClassVar[str] = "Burgers equation with random initial velocity"
    citation: ClassVar[str] = "Z. Li et al., Fourier Neural Operator for Parametric PDEs, ICLR 2021, arXiv:2010.08895"
    default_resolution: ClassVar[int] = 1024

    @property
    def fields(self) -> tuple[FieldInfo, ...]:
        return (FieldInfo("velocity", description="velocity u(x, t)", time_varying=True),)

    @property
    def parameters(self) -> dict[str, float]:
        return {"viscosity": self.viscosity}

    @property
    def times(self) -> tuple[float, ...]:
        return frame_times(self.final_time, self.num_frames)

    def grid(self, resolution: int) -> Grid:
        length = 2 * np.pi if self.domain == "2pi" else 1.0
        return Grid((resolution,), ((0.0, length),), ("periodic",))

    def simulate(self, resolution: int, *, key: PRNGKey) -> tuple[dict[str, Array], Int[Array, ""]]:
        grid = self.grid(resolution)
        fine = refined(grid, self.solver_resolution)
        u0 = GaussianRandomField(25.0, 5.0, 2.0, measure=self.measure).sample(fine, key=key)
        frames, code = trajectory(
            equations.Burgers(viscosity=self.viscosity),
            u0,
            fine,
            grid,
            interval=self.final_time / (self.num_frames - 1),
            num_frames=self.num_frames,
            max_step=self.max_step,
        )
        return {"velocity": frames}, code

    def retry(self, attempt: int) -> "Burgers | None":
        """Half the time step, up to three times."""
        return dataclasses.replace(self, max_step=self.max_step / 2**attempt) if attempt <= 3 else None
