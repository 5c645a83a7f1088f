"""Spirals that turn one way or the other, seen at irregular times."""

from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from neuralop_jax._config_values import Bounds
from neuralop_jax._typing import PRNGKey
from neuralop_jax.data.generators._base import AbstractGenerator
from neuralop_jax.data.generators._series import observed_series, series_fields, series_grid
from neuralop_jax.errors import ConfigError
from neuralop_jax.grids import Grid
from neuralop_jax.info import FieldInfo

_NOT_NEGATIVE = Bounds(at_least=0.0)


class Spirals(AbstractGenerator):
    r"""Series of $e^{-\lambda t} (\cos\theta, \sin\theta)$ with $\theta = \theta_0 \pm \omega t$, $t \in [0, 1]$, of two classes.

    The class is the sign: clockwise (0) or counterclockwise (1). The start $\theta_0$ is uniform, and so are the frequency
    $\omega$ and the decay $\lambda$ between their bounds.

    **Source:** the kind of data of Chen et al. 2018, arXiv 1806.07366, section 5.1; frequencies, decay and gaps are chosen here.

    !!! example

        ```python
        import jax
        from neuralop_jax.data.generators import Spirals

        fields, _ = Spirals(missing=0.3).simulate(64, key=jax.random.key(0))
        assert fields["position"].shape == (2, 64) and set(fields["observed"].ravel().tolist()) == {0.0, 1.0}
        ```
    """

    lowest_frequency: Annotated[float, Bounds(above=0.0)] = 4.0
    """The smallest frequency ω, in radians per unit of time."""
    highest_frequency: Annotated[float, Bounds(above=0.0)] = 16.0
    """The largest frequency."""
    decay: Annotated[float, _NOT_NEGATIVE] = 2.0
    """The largest decay λ."""
    noise: Annotated[float, _NOT_NEGATIVE] = 0.05
    """Standard deviation of the noise of each coordinate."""
    missing: Annotated[float, Bounds(at_least=0.0, below=1.0)] = 0.0
    """The probability that a coordinate is missing from an observation; 0.3 makes a harder problem."""

    title: ClassVar[str] = "Clockwise and counterclockwise spirals at irregular times"
    citation: ClassVar[str] = "R. T. Q. Chen et al., Neural Ordinary Differential Equations, arXiv:1806.07366 (the kind of data)"
    default_resolution: ClassVar[int] = 64

    @property
    def fields(self) -> tuple[FieldInfo, ...]:
        return series_fields(2, "clockwise, counterclockwise")

    @property
    def parameters(self) -> dict[str, float]:
        return {"noise": self.noise, "missing": self.missing}

    def grid(self, resolution: int) -> Grid:
        if resolution < 2:
            raise ConfigError(f"spirals need at least two observations, got a resolution of {resolution}. Raise it.")
        return series_grid(resolution)

    def simulate(self, resolution: int, *, key: PRNGKey) -> tuple[dict[str, Array], Int[Array, ""]]:
        if self.highest_frequency < self.lowest_frequency:
            raise ConfigError(
                f"highest_frequency must be at least lowest_frequency ({self.lowest_frequency:g}), got "
                f"{self.highest_frequency:g}. Raise it."
            )
        label_key, curve_key, series_key = jax.random.split(key, 3)
        label, draws = jax.random.randint(label_key, (), 0, 2), jax.random.uniform(curve_key, (3,))
        frequency = self.lowest_frequency + (self.highest_frequency - self.lowest_frequency) * draws[0]
        angle = lambda t: 2 * jnp.pi * draws[1] + (2 * label - 1) * frequency * t
        curve = lambda t: jnp.exp(-self.decay * draws[2] * t)[None] * jnp.stack([jnp.cos(angle(t)), jnp.sin(angle(t))])
        options = {"missing": self.missing, "noise": self.noise}
        return observed_series(curve, label, 2, resolution, **options, key=series_key), jnp.zeros((), jnp.int32)
