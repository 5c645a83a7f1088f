"""Implicit differentiation: derivatives of solutions, not of the iterations that found them."""

from ._anderson import Anderson as Anderson
from ._broyden import Broyden as Broyden
from ._custom_root import (
    custom_fixed_point as custom_fixed_point,
    custom_root as custom_root,
    implicit_root as implicit_root,
)
from ._fixed_point import FixedPoint as FixedPoint, fixed_point as fixed_point
from ._iteration import (
    AbstractFixedPointMethod as AbstractFixedPointMethod,
    AbstractIteration as AbstractIteration,
    Picard as Picard,
)
from ._richardson import Richardson as Richardson
from ._steady_state import SteadyState as SteadyState
