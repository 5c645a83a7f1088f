"""Pure functions on arrays: spectral transforms, resampling, contractions in mode space, patches, stencils and multigrid."""

from neuralop_jax.kernels._contract import contract_dense as contract_dense, contract_separable as contract_separable
from neuralop_jax.kernels._convolve import BOUNDARY_RULES as BOUNDARY_RULES, convolve as convolve
from neuralop_jax.kernels._dft import dft_forward as dft_forward, dft_inverse as dft_inverse
from neuralop_jax.kernels._fft import (
    derivative as derivative,
    fft_forward as fft_forward,
    fft_inverse as fft_inverse,
    resample as resample,
)
from neuralop_jax.kernels._galerkin import galerkin as galerkin
from neuralop_jax.kernels._grid_transfer import (
    AxisNodes as AxisNodes,
    cell_average as cell_average,
    cubic_interpolate as cubic_interpolate,
    half_weighting as half_weighting,
    interpolate as interpolate,
    restrict as restrict,
)
from neuralop_jax.kernels._halo import beyond as beyond, redivided as redivided, window as window
from neuralop_jax.kernels._interpolate import max_pool as max_pool, upsample as upsample
from neuralop_jax.kernels._lines import on_lines as on_lines
from neuralop_jax.kernels._low_rank import (
    contract_cp as contract_cp,
    contract_tt as contract_tt,
    contract_tucker as contract_tucker,
    dense_cp as dense_cp,
    dense_tt as dense_tt,
    dense_tucker as dense_tucker,
)
from neuralop_jax.kernels._modes import is_known as is_known, kept_modes as kept_modes, wavenumbers as wavenumbers
from neuralop_jax.kernels._multigrid import Level as Level, cycle as cycle, full_multigrid as full_multigrid
from neuralop_jax.kernels._nonuniform import modes_to_points as modes_to_points, points_to_modes as points_to_modes
from neuralop_jax.kernels._patches import (
    cut as cut,
    make_patches as make_patches,
    stitch as stitch,
    window_points as window_points,
)
from neuralop_jax.kernels._ranks import (
    cp_rank as cp_rank,
    cp_size as cp_size,
    tt_rank as tt_rank,
    tt_size as tt_size,
    tucker_rank as tucker_rank,
    tucker_size as tucker_size,
)
from neuralop_jax.kernels._smoothers import (
    AbstractSmoother as AbstractSmoother,
    Chebyshev as Chebyshev,
    GaussSeidel as GaussSeidel,
    Jacobi as Jacobi,
    largest_eigenvalue as largest_eigenvalue,
)
from neuralop_jax.kernels._space import (
    SPACE as SPACE,
    gathered as gathered,
    is_bound as is_bound,
    is_divided as is_divided,
    own_part as own_part,
    own_points as own_points,
    space_max as space_max,
    space_mean as space_mean,
    space_size as space_size,
    space_sum as space_sum,
    undivided as undivided,
    whole_shape as whole_shape,
)
from neuralop_jax.kernels._stencil import Stencil as Stencil, diffusion_stencil as diffusion_stencil
from neuralop_jax.kernels._transform import (
    forward_transform as forward_transform,
    inverse_transform as inverse_transform,
    prefers_matrix_products as prefers_matrix_products,
)
