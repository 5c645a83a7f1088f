"""Pen strokes of several invented characters, seen at irregular times."""

from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from neuralop_jax._config_values import Bounds
from neuralop_jax._typing import PRNGKey
from neuralop_jax.data.generators._base import AbstractGenerator
from neuralop_jax.data.generators._series import observed_series, series_fields, series_grid
from neuralop_jax.errors import ConfigError
from neuralop_jax.grids import Grid
from neuralop_jax.info import FieldInfo

_NOT_NEGATIVE = Bounds(at_least=0.0)
_WAVES = 4


class PenStrokes(AbstractGenerator):
    r"""Series of the positions of a pen that writes one of `num_classes` characters in one stroke.

    A character is a curve $\sum_{k=1}^4 (a_k \sin(\pi k s) + b_k \cos(\pi k s))/k$ with normal $a_k, b_k \in \mathbb R^2$, drawn
    once from `alphabet`. Each writing of it has its own hand: coefficients off by the part `hand`, an affine map near the
    identity by the same part, and a speed $s = t + c \sin(2\pi t)/2\pi$ with $\lvert c\rvert \le \tfrac12$.

    **Source:** the kind of data of CharacterTrajectories (UCI), on which Kidger et al. 2020, arXiv 2005.08926, tested; the
    characters are invented here.

    !!! example

        ```python
        import jax
        from neuralop_jax.data.generators import PenStrokes

        fields, _ = PenStrokes(num_classes=3).simulate(64, key=jax.random.key(0))
        assert fields["position"].shape == (2, 64) and fields["class"].sum() == 64
        ```
    """

    num_classes: Annotated[int, Bounds(at_least=2.0)] = 8
    """Characters."""
    alphabet: Annotated[int, _NOT_NEGATIVE] = 0
    """Which characters: the seed of their curves, apart from that of the samples."""
    hand: Annotated[float, _NOT_NEGATIVE] = 0.15
    """How much two writings of a character differ."""
    noise: Annotated[float, _NOT_NEGATIVE] = 0.05
    """Standard deviation of the noise of each coordinate."""
    missing: Annotated[float, Bounds(at_least=0.0, below=1.0)] = 0.0
    """The probability that a coordinate is missing from an observation."""

    title: ClassVar[str] = "Pen strokes of invented characters at irregular times"
    citation: ClassVar[str] = "P. Kidger et al., Neural Controlled Differential Equations, arXiv:2005.08926 (the kind of data)"
    default_resolution: ClassVar[int] = 64

    @property
    def fields(self) -> tuple[FieldInfo, ...]:
        return series_fields(self.num_classes, "one per character")

    @property
    def parameters(self) -> dict[str, float]:
        return {"noise": self.noise, "missing": self.missing}

    def grid(self, resolution: int) -> Grid:
        if resolution < 2:
            raise ConfigError(f"pen_strokes need at least two observations, got a resolution of {resolution}. Raise it.")
        return series_grid(resolution)

    def simulate(self, resolution: int, *, key: PRNGKey) -> tuple[dict[str, Array], Int[Array, ""]]:
        label_key, hand_key, map_key, speed_key, series_key = jax.random.split(key, 5)
        label = jax.random.randint(label_key, (), 0, self.num_classes)
        shape = (self.num_classes, 2, 2 * _WAVES)
        character = jax.random.normal(jax.random.key(self.alphabet), shape, jnp.float32)[label]  # the same in any precision
        character = character + self.hand * jax.random.normal(hand_key, shape[1:])
        character = (jnp.eye(2) + self.hand * jax.random.normal(map_key, (2, 2))) @ character
        speed = jax.random.uniform(speed_key, minval=-0.5, maxval=0.5)
        curve = lambda t: character @ _waves(t + speed * jnp.sin(2 * jnp.pi * t) / (2 * jnp.pi)) / 2
        options = {"missing": self.missing, "noise": self.noise}
        series = observed_series(curve, label, self.num_classes, resolution, **options, key=series_key)
        return series, jnp.zeros((), jnp.int32)


def _waves(s: Float[Array, " times"]) -> Float[Array, "waves times"]:
    number = jnp.arange(1, _WAVES + 1)[:, None]
    return jnp.concatenate([jnp.sin(jnp.pi * number * s[None]) / number, jnp.cos(jnp.pi * number * s[None]) / number])
