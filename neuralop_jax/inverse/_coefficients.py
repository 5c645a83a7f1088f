"""From fields without constraint to coefficients of an equation, and back."""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp

from neuralop_jax._typing import RealField
from neuralop_jax.errors import ConfigError


class AbstractCoefficient(eqx.Module):
    """A smooth, increasing map $m \\mapsto a$ of values, at every point alike, onto the coefficients that are admitted."""

    @abc.abstractmethod
    def __call__(self, m: RealField) -> RealField:
        """The coefficient of a field."""

    @abc.abstractmethod
    def inverse(self, a: RealField) -> RealField:
        """The field of a coefficient; not finite for what is not admitted."""


class Exponential(AbstractCoefficient):
    """$a = e^m > 0$.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.inverse import Exponential

        assert jnp.allclose(Exponential().inverse(Exponential()(jnp.asarray([[-1.0, 2.0]]))), jnp.asarray([[-1.0, 2.0]]))
        ```
    """

    def __call__(self, m: RealField) -> RealField:
        return jnp.exp(m)

    def inverse(self, a: RealField) -> RealField:
        return jnp.log(a)


class Bounded(AbstractCoefficient):
    r"""$a = l + (h - l)/(1 + e^{-m})$ between `low` $l$ and `high` $h$, for instance of two materials.

    **Raises:** `ConfigError` unless `low` < `high`.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.inverse import Bounded

        assert Bounded(3.0, 12.0)(jnp.zeros((1, 4))).tolist() == [[7.5] * 4]
        ```
    """

    low: float
    high: float

    def __check_init__(self):
        if not self.low < self.high:
            raise ConfigError(f"Bounded needs low < high, got {self.low} and {self.high}.")

    def __call__(self, m: RealField) -> RealField:
        return self.low + (self.high - self.low) * jax.nn.sigmoid(m)

    def inverse(self, a: RealField) -> RealField:
        return jnp.log(a - self.low) - jnp.log(self.high - a)
