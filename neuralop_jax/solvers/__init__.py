"""Classical methods: time steppers on spectral grids, method of lines, multigrid and elliptic solvers."""

from ._etdrk import ETDRK as ETDRK
from ._imex import CrankNicolson as CrankNicolson
from ._integrate import integrate as integrate
from ._method_of_lines import method_of_lines as method_of_lines
from ._phi import phi_functions as phi_functions
from ._solution import Solution as Solution
from ._spectral_stepper import AbstractSpectralStepper as AbstractSpectralStepper
