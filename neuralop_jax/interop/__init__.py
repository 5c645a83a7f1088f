"""Moving networks between this library and others."""

from ._classic_fno import LiFNO as LiFNO
from ._deepxde import DeepXDENet as DeepXDENet
from ._lsm import NeuralSolverLSM as NeuralSolverLSM, ThumlLSM as ThumlLSM
from ._lsm_irregular import ThumlIrregularLSM as ThumlIrregularLSM
from ._mgno import HeMgNO as HeMgNO
from ._multionet import DGenNOMultiONet as DGenNOMultiONet
from ._neuraloperator import NeuralOperatorFNO as NeuralOperatorFNO
from ._torch import FAMILIES as FAMILIES, from_torch as from_torch
from ._weights import read_architecture as read_architecture, read_weights as read_weights
