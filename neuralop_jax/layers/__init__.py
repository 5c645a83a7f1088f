"""Equinox modules from which the operators are made: on one sample, or on several that stand behind the channels."""

from neuralop_jax.layers._activation import ACTIVATIONS as ACTIVATIONS, activation as activation, gelu as gelu
from neuralop_jax.layers._axial_attention import FactorizedAttention as FactorizedAttention
from neuralop_jax.layers._axis_kernel import AxisKernel as AxisKernel, AxisProjection as AxisProjection
from neuralop_jax.layers._buffer import Buffer as Buffer
from neuralop_jax.layers._channel_mlp import ChannelMLP as ChannelMLP
from neuralop_jax.layers._channel_norm import GroupedNorm as GroupedNorm, LayerNorm as LayerNorm
from neuralop_jax.layers._convolution import Convolution as Convolution, convolve as convolve
from neuralop_jax.layers._embedding import append_coordinates as append_coordinates
from neuralop_jax.layers._fourier_block import FourierBlock as FourierBlock
from neuralop_jax.layers._fourier_features import FourierFeatures as FourierFeatures
from neuralop_jax.layers._norm import (
    AdaptiveNorm as AdaptiveNorm,
    GroupNorm as GroupNorm,
    InstanceNorm as InstanceNorm,
)
from neuralop_jax.layers._padding import crop_domain as crop_domain, pad_domain as pad_domain
from neuralop_jax.layers._pointwise import Pointwise as Pointwise, SoftGate as SoftGate
from neuralop_jax.layers._spectral_conv import SpectralConv as SpectralConv
