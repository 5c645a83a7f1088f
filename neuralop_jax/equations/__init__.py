"""Partial differential equations, one per file: right-hand side, split, residual, exact solutions, invariants, symmetries."""

from ._advection import Advection as Advection
from ._base import AbstractEquation as AbstractEquation, AbstractEvolution as AbstractEvolution, Symmetry as Symmetry
from ._burgers import Burgers as Burgers
from ._darcy import Darcy as Darcy
from ._fourier_basis import FourierBasis as FourierBasis
from ._heat import Heat as Heat
from ._helmholtz import Helmholtz as Helmholtz
from ._korteweg_de_vries import KortewegDeVries as KortewegDeVries
from ._kuramoto_sivashinsky import KuramotoSivashinsky as KuramotoSivashinsky
from ._linear import AbstractLinear as AbstractLinear
from ._navier_stokes import (
    DiagonalForcing as DiagonalForcing,
    KolmogorovForcing as KolmogorovForcing,
    NavierStokes as NavierStokes,
)
from ._poisson import Poisson as Poisson
from ._reaction_diffusion import (
    AbstractReaction as AbstractReaction,
    AllenCahn as AllenCahn,
    FisherKPP as FisherKPP,
    FitzHughNagumo as FitzHughNagumo,
    GrayScott as GrayScott,
    ReactionDiffusion as ReactionDiffusion,
)
from ._steady import AbstractSteady as AbstractSteady
