"""Moving networks between this library and others."""

from ._classic_fno import LiFNO as LiFNO
from ._lsm import NeuralSolverLSM as NeuralSolverLSM, ThumlLSM as ThumlLSM
from ._neuraloperator import NeuralOperatorFNO as NeuralOperatorFNO
from ._torch import from_torch as from_torch
