"""Generators of datasets, one kind per file."""

from ._advection import Advection as Advection
from ._base import AbstractGenerator as AbstractGenerator
from ._burgers import Burgers as Burgers
from ._darcy import Darcy as Darcy
from ._kuramoto_sivashinsky import KuramotoSivashinsky as KuramotoSivashinsky
from ._navier_stokes import Kolmogorov as Kolmogorov, NavierStokes as NavierStokes
from ._pen_strokes import PenStrokes as PenStrokes
from ._registry import (
    GENERATORS as GENERATORS,
    build_generator as build_generator,
    generator_name as generator_name,
    generator_options as generator_options,
)
from ._spirals import Spirals as Spirals
