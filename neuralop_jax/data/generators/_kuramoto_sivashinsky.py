"""Chaotic trajectories of the Kuramoto-Sivashinsky equation."""

import dataclasses
import math
from typing import Annotated, ClassVar

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


class KuramotoSivashinsky(AbstractGenerator):
    r"""Trajectories of $\partial_t u + u\,\partial_x u + \partial_{xx} u + \partial_{xxxx} u = 0$ with the period $L$.

    The start is a random field of mean zero and expected variance one with about eight waves in the interval; after the burn-in
    the motion has forgotten it. It is chaotic for $L$ above about 60; two solutions that differ by $10^{-6}$ part after a few
    hundred units of time.

    **Source:** Li et al. 2021, arXiv 2106.06898, section 4.2 (the equation as a test of operators); the steps are those
    of Kassam and Trefethen 2005, SIAM J. Sci. Comput. 26, 1214-1233.

    !!! example

        ```python
        import jax
        from neuralop_jax.data.generators import KuramotoSivashinsky

        generator = KuramotoSivashinsky(num_frames=3, burn_in=10.0, solver_resolution=64)
        fields, code = generator.simulate(64, key=jax.random.key(0))
        assert fields["u"].shape == (3, 1, 64) and code == 0
        ```
    """

    length: Annotated[float, _POSITIVE] = 32 * math.pi
    """The length L of the periodic interval."""
    burn_in: Annotated[float, Bounds(at_least=0.0)] = 100.0
    """The time that passes before the first frame."""
    interval: Annotated[float, _POSITIVE] = 1.0
    """The time between two frames."""
    num_frames: Annotated[int, Bounds(at_least=2.0)] = 101
    """Frames, the first after the burn-in."""
    solver_resolution: Annotated[int, Bounds(at_least=8.0)] = 256
    """The solver runs on the coarsest grid of at least so many points that holds the stored one."""
    max_step: Annotated[float, _POSITIVE] = 0.05
    """The longest time step."""

    title: ClassVar[str] = "Kuramoto-Sivashinsky equation, chaotic trajectories"
    citation: ClassVar[str] = "Z. Li et al., Learning Chaotic Dynamics in Dissipative Systems, arXiv:2106.06898"
    default_resolution: ClassVar[int] = 256

    @property
    def fields(self) -> tuple[FieldInfo, ...]:
        return (FieldInfo("u", description="u(x, t)", time_varying=True),)

    @property
    def parameters(self) -> dict[str, float]:
        return {"length": self.length}

    @property
    def times(self) -> tuple[float, ...]:
        return frame_times(self.interval * (self.num_frames - 1), self.num_frames)

    def grid(self, resolution: int) -> Grid:
        return Grid((resolution,), ((0.0, self.length),), ("periodic",))

    def simulate(self, resolution: int, *, key: PRNGKey) -> tuple[dict[str, Array], Int[Array, ""]]:
        grid = self.grid(resolution)
        fine = refined(grid, self.solver_resolution)
        field = GaussianRandomField(1.0, 16 * np.pi / self.length, 4.0)
        frames, code = trajectory(
            equations.KuramotoSivashinsky(),
            field.sample(fine, key=key) / math.sqrt(field.variance(fine)),
            fine,
            grid,
            interval=self.interval,
            num_frames=self.num_frames,
            max_step=self.max_step,
            burn_in=self.burn_in,
        )
        return {"u": frames}, code

    def retry(self, attempt: int) -> "KuramotoSivashinsky | None":
        """Half the time step, up to three times."""
        return dataclasses.replace(self, max_step=self.max_step / 2**attempt) if attempt <= 3 else None
