"""The operators, the wrapper that gives them physical units, and the registry that names them."""

from neuralop_jax.models._autoregressive import Autoregressive as Autoregressive
from neuralop_jax.models._base import (
    AbstractOperator as AbstractOperator,
    check_training_grid as check_training_grid,
    clipped_modes as clipped_modes,
    count_parameters as count_parameters,
    modes_and_grid as modes_and_grid,
    refused_grid as refused_grid,
    sensors_of as sensors_of,
    trainable as trainable,
)
from neuralop_jax.models._batched import apply_batched as apply_batched, automatic_micro_batch as automatic_micro_batch
from neuralop_jax.models._calibrate import calibrate as calibrate, has_batch_norm as has_batch_norm
from neuralop_jax.models._classic_fno import ClassicFNO as ClassicFNO
from neuralop_jax.models._continuous_time import ContinuousTime as ContinuousTime, apply_counted as apply_counted
from neuralop_jax.models._decompose import decompose as decompose
from neuralop_jax.models._deeponet import DeepONet as DeepONet
from neuralop_jax.models._ensemble import Ensemble as Ensemble
from neuralop_jax.models._factformer import FactFormer as FactFormer
from neuralop_jax.models._fno import FNO as FNO
from neuralop_jax.models._implicit_fno import ImplicitFNO as ImplicitFNO
from neuralop_jax.models._irregular_lsm import IrregularLSM as IrregularLSM
from neuralop_jax.models._lsm import LSM as LSM
from neuralop_jax.models._mgno import MgNO as MgNO
from neuralop_jax.models._multigrid_patches import MultigridPatches as MultigridPatches
from neuralop_jax.models._multionet import MultiONet as MultiONet
from neuralop_jax.models._normalized import Normalized as Normalized
from neuralop_jax.models._on_grids import AbstractGridOperator as AbstractGridOperator
from neuralop_jax.models._on_sensors import AbstractSensorOperator as AbstractSensorOperator
from neuralop_jax.models._pod import pod_modes as pod_modes
from neuralop_jax.models._pod_deeponet import PODDeepONet as PODDeepONet
from neuralop_jax.models._resolution import ResolutionClaim as ResolutionClaim
from neuralop_jax.models._series_cde import SeriesCDE as SeriesCDE
from neuralop_jax.models._sharded_patches import evaluate_sharded as evaluate_sharded
from neuralop_jax.models._tfno import TFNO as TFNO
from neuralop_jax.models._trajectory import (
    AbstractTrajectoryOperator as AbstractTrajectoryOperator,
    at_times as at_times,
    on_times as on_times,
    same_times as same_times,
)
from neuralop_jax.models.registry import (
    REGISTRY as REGISTRY,
    build as build,
    check_options as check_options,
    spec_of as spec_of,
)
