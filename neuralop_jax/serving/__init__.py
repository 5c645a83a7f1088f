"""Trained operators for those who only use them: predictions in physical units, and programs that need no model code.

Importing this package loads neither models nor training; only to read a run, or to export an operator, are they needed.
"""

from neuralop_jax.serving._card import ModelCard as ModelCard
from neuralop_jax.serving._export import PLATFORMS as PLATFORMS, export_operator as export_operator
from neuralop_jax.serving._predictor import Predictor as Predictor
from neuralop_jax.serving._run import load_run as load_run
