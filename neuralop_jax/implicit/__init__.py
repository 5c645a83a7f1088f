"""Implicit differentiation: derivatives of solutions, not of the iterations that found them."""

from ._custom_root import (
    custom_fixed_point as custom_fixed_point,
    custom_root as custom_root,
    implicit_root as implicit_root,
)
from ._gcr import GCR as GCR
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
