"""Partial differential equations, one per file: right-hand side, split, residual, exact solutions, invariants, symmetries."""

from ._base import AbstractEquation as AbstractEquation, AbstractEvolution as AbstractEvolution, Symmetry as Symmetry
from ._burgers import Burgers as Burgers
from ._fourier_basis import FourierBasis as FourierBasis
from ._navier_stokes import (
    DiagonalForcing as DiagonalForcing,
    KolmogorovForcing as KolmogorovForcing,
    NavierStokes as NavierStokes,
)
