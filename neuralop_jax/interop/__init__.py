"""Moving networks between this library and others."""

from ._classic_fno import LiFNO as LiFNO
from ._mgno import HeMgNO as HeMgNO
from ._neuraloperator import NeuralOperatorFNO as NeuralOperatorFNO
from ._torch import from_torch as from_torch
