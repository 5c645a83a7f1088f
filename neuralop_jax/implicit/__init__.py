"""Implicit differentiation: derivatives of solutions, not of the iterations that found them."""

from ._anderson import Anderson as Anderson
from ._broyden import Broyden as Broyden
from ._custom_root import (
    custom_fixed_point as custom_fixed_point,
    custom_root as custom_root,
    implicit_root as implicit_root,
)
from ._fixed_point import FixedPoint as FixedPoint, fixed_point as fixed_point
from ._gcr import GCR as GCR
from ._hypergradient import Bilevel as Bilevel, bilevel as bilevel, hypergradient as hypergradient
from ._iteration import (
    AbstractFixedPointMethod as AbstractFixedPointMethod,
    AbstractIteration as AbstractIteration,
    Picard as Picard,
)
from ._neumann import Neumann as Neumann
from ._optimality import (
    KKTPoint as KKTPoint,
    block_coordinate as block_coordinate,
    gradient_descent as gradient_descent,
    kkt as kkt,
    mirror_descent as mirror_descent,
    newton as newton,
    projected_gradient as projected_gradient,
    proximal_gradient as proximal_gradient,
    stationary as stationary,
)
from ._projection import (
    project_affine as project_affine,
    project_box as project_box,
    project_l1_ball as project_l1_ball,
    project_l2_ball as project_l2_ball,
    project_nonnegative as project_nonnegative,
    project_simplex as project_simplex,
)
from ._proximal import (
    prox_elastic_net as prox_elastic_net,
    prox_group_lasso as prox_group_lasso,
    prox_lasso as prox_lasso,
    prox_nonnegative as prox_nonnegative,
    prox_ridge as prox_ridge,
)
from ._richardson import Richardson as Richardson
from ._steady_state import SteadyState as SteadyState
