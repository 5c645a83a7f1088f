"""Figures: arrays in, Matplotlib figures out. Matplotlib is imported inside the functions."""

from neuralop_jax.viz._curves import plot_errors as plot_errors, plot_training as plot_training
from neuralop_jax.viz._fields import plot_sample as plot_sample
from neuralop_jax.viz._spectra import plot_spectra as plot_spectra
