"""Inverse problems: coefficients of an equation from noisy observations of its solution."""

from neuralop_jax.inverse._coefficients import (
    AbstractCoefficient as AbstractCoefficient,
    Bounded as Bounded,
    Exponential as Exponential,
)
from neuralop_jax.inverse._darcy import DarcyPressure as DarcyPressure
from neuralop_jax.inverse._invert import History as History, Inversion as Inversion, invert as invert
from neuralop_jax.inverse._observation import Sensors as Sensors, add_noise as add_noise, random_sensors as random_sensors
from neuralop_jax.inverse._priors import (
    AbstractPrior as AbstractPrior,
    Tikhonov as Tikhonov,
    TotalVariation as TotalVariation,
)
