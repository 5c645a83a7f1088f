"""Moving networks between this library and others."""

from neuralop_jax.interop._classic_fno import LiFNO as LiFNO
from neuralop_jax.interop._deepxde import DeepXDENet as DeepXDENet
from neuralop_jax.interop._factformer import BaratiAttention as BaratiAttention, BaratiFactFormer as BaratiFactFormer
from neuralop_jax.interop._flax import (
    FlaxOperator as FlaxOperator,
    LinenOperator as LinenOperator,
    NNXOperator as NNXOperator,
    UntrainedVariable as UntrainedVariable,
    from_flax as from_flax,
    to_linen as to_linen,
    to_nnx as to_nnx,
)
from neuralop_jax.interop._functional import functional as functional, with_parameters as with_parameters
from neuralop_jax.interop._lsm import NeuralSolverLSM as NeuralSolverLSM, ThumlLSM as ThumlLSM
from neuralop_jax.interop._lsm_irregular import ThumlIrregularLSM as ThumlIrregularLSM
from neuralop_jax.interop._mgno import HeMgNO as HeMgNO
from neuralop_jax.interop._multionet import DGenNOMultiONet as DGenNOMultiONet
from neuralop_jax.interop._neuraloperator import NeuralOperatorFNO as NeuralOperatorFNO
from neuralop_jax.interop._ported import AbstractPorted as AbstractPorted
from neuralop_jax.interop._torch import FAMILIES as FAMILIES, from_torch as from_torch
from neuralop_jax.interop._weights import read_architecture as read_architecture, read_weights as read_weights
