"""Implicit differentiation: derivatives of solutions, not of the iterations that found them."""

from ._custom_root import (
    custom_fixed_point as custom_fixed_point,
    custom_root as custom_root,
    implicit_root as implicit_root,
)
