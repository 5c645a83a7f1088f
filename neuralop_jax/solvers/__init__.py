"""Classical methods: time steppers on spectral grids, method of lines, multigrid and elliptic solvers."""

from ._conjugate_gradient import (
    ConjugateGradient as ConjugateGradient,
    FlexibleConjugateGradient as FlexibleConjugateGradient,
)
from ._elliptic import solve_darcy as solve_darcy, solve_poisson as solve_poisson
from ._etdrk import ETDRK as ETDRK
from ._finite_volumes import darcy_stencil as darcy_stencil, rediscretized as rediscretized
from ._imex import CrankNicolson as CrankNicolson
from ._integrate import integrate as integrate
from ._method_of_lines import method_of_lines as method_of_lines
from ._multigrid import Multigrid as Multigrid
from ._phi import phi_functions as phi_functions
from ._solution import LinearSolution as LinearSolution, Solution as Solution
from ._spectral_stepper import AbstractSpectralStepper as AbstractSpectralStepper
