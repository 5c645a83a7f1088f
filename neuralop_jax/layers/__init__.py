"""Equinox modules from which the operators are made: on one sample, or on several that stand behind the channels."""

from neuralop_jax.layers._activation import ACTIVATIONS as ACTIVATIONS, activation as activation, gelu as gelu
from neuralop_jax.layers._axial_attention import FactorizedAttention as FactorizedAttention
from neuralop_jax.layers._axis_kernel import AxisKernel as AxisKernel, AxisProjection as AxisProjection
from neuralop_jax.layers._bias_function import BiasFunction as BiasFunction
from neuralop_jax.layers._channel_mlp import ChannelMLP as ChannelMLP
from neuralop_jax.layers._channel_norm import LayerNorm as LayerNorm
from neuralop_jax.layers._control import Control as Control, control as control, control_channels as control_channels
from neuralop_jax.layers._control_stream import (
    ControlStream as ControlStream,
    StreamState as StreamState,
    pad_series as pad_series,
)
from neuralop_jax.layers._convolution import Convolution as Convolution
from neuralop_jax.layers._deformation import Deformation as Deformation
from neuralop_jax.layers._double_convolution import DoubleConvolution as DoubleConvolution
from neuralop_jax.layers._embedding import (
    append_coordinates as append_coordinates,
    grid_points as grid_points,
    periodic_features as periodic_features,
)
from neuralop_jax.layers._equilibrium import (
    Equilibrium as Equilibrium,
    jacobian_norm as jacobian_norm,
    skip_penalty as skip_penalty,
)
from neuralop_jax.layers._field_norm import FieldNorm as FieldNorm
from neuralop_jax.layers._fourier_block import FourierBlock as FourierBlock
from neuralop_jax.layers._fourier_features import FourierFeatures as FourierFeatures
from neuralop_jax.layers._latent_ode import (
    LatentODE as LatentODE,
    LatentPath as LatentPath,
    annealing as annealing,
    union_of_times as union_of_times,
)
from neuralop_jax.layers._latent_unet import LatentUNet as LatentUNet, patch_and_padding as patch_and_padding
from neuralop_jax.layers._mlp import INITIALIZERS as INITIALIZERS, MLP as MLP, StackedMLP as StackedMLP
from neuralop_jax.layers._multigrid_conv import MultigridConv as MultigridConv
from neuralop_jax.layers._neural_cde import CDESolution as CDESolution, CDEState as CDEState, NeuralCDE as NeuralCDE
from neuralop_jax.layers._neural_ode import NeuralODE as NeuralODE
from neuralop_jax.layers._neural_sde import STOCHASTIC_SOLVERS as STOCHASTIC_SOLVERS, NeuralSDE as NeuralSDE
from neuralop_jax.layers._neural_spectral_block import (
    NeuralSpectralBlock as NeuralSpectralBlock,
    patchify as patchify,
    trigonometric_step as trigonometric_step,
    unpatchify as unpatchify,
)
from neuralop_jax.layers._norm import (
    AdaptiveNorm as AdaptiveNorm,
    BatchNorm as BatchNorm,
    GroupNorm as GroupNorm,
    InstanceNorm as InstanceNorm,
)
from neuralop_jax.layers._normalizing_flow import (
    ContinuousNormalizingFlow as ContinuousNormalizingFlow,
    FlowDensity as FlowDensity,
)
from neuralop_jax.layers._ode_solution import Measured as Measured, ODESolution as ODESolution
from neuralop_jax.layers._padding import crop_domain as crop_domain, pad_domain as pad_domain
from neuralop_jax.layers._point_transform import GridToPoints as GridToPoints, PointsToGrid as PointsToGrid
from neuralop_jax.layers._pointwise import Pointwise as Pointwise, SoftGate as SoftGate
from neuralop_jax.layers._prolongation import Prolongation as Prolongation
from neuralop_jax.layers._solver_choice import (
    ADJOINTS as ADJOINTS,
    EXPLICIT_SOLVERS as EXPLICIT_SOLVERS,
    IMPLICIT_SOLVERS as IMPLICIT_SOLVERS,
)
from neuralop_jax.layers._spectral_conv import SpectralConv as SpectralConv
from neuralop_jax.layers._spectral_weight import (
    AbstractSpectralWeight as AbstractSpectralWeight,
    CPWeight as CPWeight,
    TTWeight as TTWeight,
    TuckerWeight as TuckerWeight,
)
from neuralop_jax.layers._subhomogeneous import SubhomogeneousEquilibrium as SubhomogeneousEquilibrium
from neuralop_jax.layers._untrained import Buffer as Buffer, Untrained as Untrained
from neuralop_jax.layers._vector_field import (
    Forcing as Forcing,
    OperatorField as OperatorField,
    VectorField as VectorField,
    augmented as augmented,
)
