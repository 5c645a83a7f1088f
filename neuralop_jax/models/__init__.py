"""The operators, the wrapper that gives them physical units, and the registry that names them."""

from neuralop_jax.models._base import (
    AbstractOperator as AbstractOperator,
    check_training_grid as check_training_grid,
    clipped_modes as clipped_modes,
    count_parameters as count_parameters,
    trainable as trainable,
)
from neuralop_jax.models._batched import apply_batched as apply_batched, automatic_micro_batch as automatic_micro_batch
from neuralop_jax.models._classic_fno import ClassicFNO as ClassicFNO
from neuralop_jax.models._fno import FNO as FNO
from neuralop_jax.models._mgno import MgNO as MgNO
from neuralop_jax.models._normalized import Normalized as Normalized
from neuralop_jax.models._on_grids import AbstractGridOperator as AbstractGridOperator
from neuralop_jax.models.registry import (
    REGISTRY as REGISTRY,
    build as build,
    check_options as check_options,
    spec_of as spec_of,
)
