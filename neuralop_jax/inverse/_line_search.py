"""How long a step along a descent direction should be: bracketing and bisection for the weak Wolfe conditions."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

_DECREASE, _CURVATURE = 1e-4, 0.9

_TRIALS = 30
"""Steps tried along one direction: from length 1 down to round-off."""

Number = Float[Array, ""]


class Step(eqx.Module):
    """A trial length and what is known of the lengths around it.

    - `length`: what to try next.
    - `low`: the objective has fallen there, but is still steep.
    - `high`: the objective has not fallen enough there; infinite as long as no such length is known.
    - `trials`: lengths tried so far.
    """

    length: Number
    low: Number
    high: Number
    trials: Int[Array, ""]

    @classmethod
    def first(cls, dtype: jnp.dtype) -> "Step":
        """The whole step, which L-BFGS directions are made for."""
        return cls(jnp.ones((), dtype), jnp.zeros((), dtype), jnp.full((), jnp.inf, dtype), jnp.asarray(0))

    def is_enough(self, value: Number, slope: Number, trial: Number, trial_slope: Number) -> Bool[Array, ""]:
        r"""Whether the weak Wolfe conditions hold: $f(t) \le f(0) + 10^{-4}\,t f'(0)$ and $f'(t) \ge 0.9 f'(0)$.

        After the last trial the first is enough.

        **Arguments:** $f(0)$, $f'(0) \le 0$, $f(t)$, $f'(t)$ at the length.
        """
        return _falls(self, value, slope, trial) & ((trial_slope >= _CURVATURE * slope) | (self.trials >= _TRIALS))

    @property
    def is_used_up(self) -> Bool[Array, ""]:
        """Whether all trials were in vain: no length is known at which the objective has fallen."""
        return (self.trials >= _TRIALS) & (self.low == 0)


def next_length(step: Step, value: Number, slope: Number, trial: Number, trial_slope: Number) -> Step:
    """The next trial after a length that was not enough: longer where the objective still falls, else within the bracket.

    After the last trial it is `low`, the best length before what may be a wall.

    **Arguments:** as in `Step.is_enough`; a trial that is not finite counts as too long.
    """
    falls = _falls(step, value, slope, trial)
    low, high = jnp.where(falls, step.length, step.low), jnp.where(falls, step.high, step.length)
    rise = trial - value - slope * step.length
    parabola = -0.5 * slope * step.length**2 / jnp.where(rise > 0, rise, 1)  # its minimum, seen from length zero
    parabola = jnp.clip(parabola, 0.1 * step.length, 0.5 * step.length)
    usable = (low == 0) & ~falls & jnp.isfinite(rise) & (rise > 0)
    inside = jnp.where(usable, parabola, 0.5 * (low + high))
    length, trials = jnp.where(jnp.isfinite(high), inside, 2 * step.length), step.trials + 1
    return Step(jnp.where((trials >= _TRIALS) & (low > 0), low, length), low, high, trials)


def _falls(step: Step, value: Number, slope: Number, trial: Number) -> Bool[Array, ""]:
    """Sufficient decrease; where it is below the round-off of the objective, that this does not grow."""
    return trial <= jnp.minimum(value, value + _DECREASE * step.length * slope)
