"""Pure functions on arrays: spectral transforms, resampling, contractions in mode space."""

from neuralop_jax.kernels._contract import contract_dense as contract_dense, contract_separable as contract_separable
from neuralop_jax.kernels._dft import dft_forward as dft_forward, dft_inverse as dft_inverse
from neuralop_jax.kernels._fft import (
    derivative as derivative,
    fft_forward as fft_forward,
    fft_inverse as fft_inverse,
    resample as resample,
)
from neuralop_jax.kernels._modes import kept_modes as kept_modes, wavenumbers as wavenumbers
from neuralop_jax.kernels._transform import (
    forward_transform as forward_transform,
    inverse_transform as inverse_transform,
    prefers_matrix_products as prefers_matrix_products,
)
