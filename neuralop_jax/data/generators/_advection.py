"""The advection equation: periodic profiles that move without changing, known in closed form."""

from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from neuralop_jax._config_values import Bounds
from neuralop_jax._typing import PRNGKey
from neuralop_jax.data.generators._base import AbstractGenerator
from neuralop_jax.grids import Grid
from neuralop_jax.info import FieldInfo

_POSITIVE, _COUNT, _FRACTION = Bounds(above=0.0), Bounds(at_least=1.0), Bounds(at_least=0.0, below=1.0)


class Advection(AbstractGenerator):
    r"""Trajectories of $\partial_t u + \beta\, \partial_x u = 0$, periodic on $(0, L)$: $u(t, x) = u_0(x - \beta t)$, exactly.

    $u_0 = \sum_i A_i \sin(2\pi n_i x/L + \phi_i)$ with $A_i$ uniform in $(0, 1)$, integer $n_i$ and a uniform phase. A part of
    the samples is $\pm|u_0|$ instead, and a part vanishes outside a random interval: profiles with kinks and jumps.

    **Source:** the kind of data of Takamoto et al. 2022, arXiv 2210.07182; times and frames are chosen here.

    !!! example

        ```python
        import jax
        from neuralop_jax.data.generators import Advection

        fields, code = Advection(speed=0.4, num_frames=3).simulate(64, key=jax.random.key(0))
        assert fields["u"].shape == (3, 1, 64) and code == 0
        ```
    """

    speed: float = 0.4
    """The speed β, in length per time; it may be negative."""
    final_time: Annotated[float, _POSITIVE] = 2.0
    """The time of the last frame."""
    num_frames: Annotated[int, Bounds(at_least=2.0)] = 21
    """Frames at equal intervals, the initial profile included."""
    length: Annotated[float, _POSITIVE] = 1.0
    """The length L of the periodic interval."""
    num_waves: Annotated[int, _COUNT] = 2
    """Sines per profile."""
    max_wavenumber: Annotated[int, _COUNT] = 8
    """The largest number of periods n of a sine in the interval."""
    absolute_fraction: Annotated[float, _FRACTION] = 0.1
    """The probability of taking the absolute value, with a random sign."""
    window_fraction: Annotated[float, _FRACTION] = 0.1
    """The probability of cutting the profile off outside a random interval."""

    title: ClassVar[str] = "Advection of random periodic profiles"
    citation: ClassVar[str] = "M. Takamoto et al., PDEBench, NeurIPS 2022, arXiv:2210.07182 (the kind of initial data)"
    default_resolution: ClassVar[int] = 1024

    @property
    def fields(self) -> tuple[FieldInfo, ...]:
        return (FieldInfo("u", description="transported quantity", time_varying=True),)

    @property
    def parameters(self) -> dict[str, float]:
        return {"speed": self.speed}

    @property
    def times(self) -> tuple[float, ...]:
        return tuple(np.linspace(0.0, self.final_time, self.num_frames).tolist())

    def grid(self, resolution: int) -> Grid:
        return Grid((resolution,), ((0.0, self.length),), ("periodic",))

    def simulate(self, resolution: int, *, key: PRNGKey) -> tuple[dict[str, Array], Int[Array, ""]]:
        x = jnp.asarray(self.grid(resolution).coordinates()[0])[None]
        start = x - self.speed * jnp.asarray(self.times)[:, None]
        profile = self._profile(jnp.mod(start / self.length, 1.0), key)
        return {"u": profile[:, None]}, jnp.zeros((), jnp.int32)

    def _profile(self, x: Float[Array, "time space"], key: PRNGKey) -> Float[Array, "time space"]:
        """The initial profile at points of the unit interval."""
        waves, kinks, jumps = jax.random.split(key, 3)
        amplitude, phase = jax.random.uniform(waves, (2, self.num_waves))
        number = jax.random.randint(jax.random.fold_in(waves, 1), (self.num_waves,), 1, self.max_wavenumber + 1)
        angles = 2 * jnp.pi * (number[:, None, None] * x[None] + phase[:, None, None])
        u = (amplitude[:, None, None] * jnp.sin(angles)).sum(axis=0)
        chosen, sign = jax.random.uniform(kinks, (2,))
        u = jnp.where(chosen < self.absolute_fraction, jnp.where(sign < 0.5, -1.0, 1.0) * jnp.abs(u), u)
        chosen, left, right = jax.random.uniform(jumps, (3,))
        inside = (x >= 0.1 + 0.35 * left) & (x <= 0.55 + 0.35 * right)
        return jnp.where((chosen < self.window_fraction) & ~inside, 0.0, u)
