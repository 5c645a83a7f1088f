"""Errors of one sample against its target, and what a field says of its physics, as functions of arrays and their grid."""

from neuralop_jax.metrics._conservation import (
    energy_error as energy_error,
    integral as integral,
    invariant_drift as invariant_drift,
    mass_error as mass_error,
)
from neuralop_jax.metrics._field import (
    accuracy as accuracy,
    max_error as max_error,
    mse as mse,
    normalized_rmse as normalized_rmse,
    relative_h1 as relative_h1,
    relative_l2 as relative_l2,
)
from neuralop_jax.metrics._flow import (
    divergence as divergence,
    enstrophy_spectrum as enstrophy_spectrum,
    kinetic_energy_spectrum as kinetic_energy_spectrum,
    relative_divergence as relative_divergence,
    vorticity as vorticity,
)
from neuralop_jax.metrics._rollout import (
    correlation as correlation,
    correlation_time as correlation_time,
    valid_prediction_time as valid_prediction_time,
)
from neuralop_jax.metrics._spectrum import (
    band_error as band_error,
    energy_spectrum as energy_spectrum,
    nyquist as nyquist,
)
from neuralop_jax.metrics._truncated_h1 import truncated_h1 as truncated_h1
