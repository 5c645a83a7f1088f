"""Errors of one sample, per channel."""

from neuralop_jax.metrics._field import (
    max_error as max_error,
    normalized_rmse as normalized_rmse,
    relative_h1 as relative_h1,
    relative_l2 as relative_l2,
)
from neuralop_jax.metrics._spectrum import energy_spectrum as energy_spectrum
