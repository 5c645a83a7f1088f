"""Errors of one sample against its target, as functions of (prediction, target, grid)."""

from neuralop_jax.metrics._field import (
    accuracy as accuracy,
    max_error as max_error,
    mse as mse,
    normalized_rmse as normalized_rmse,
    relative_h1 as relative_h1,
    relative_l2 as relative_l2,
)
from neuralop_jax.metrics._spectrum import band_error as band_error, energy_spectrum as energy_spectrum
from neuralop_jax.metrics._truncated_h1 import truncated_h1 as truncated_h1
