"""The tensorized Fourier neural operator: an FNO whose spectral weights are of low rank."""

import functools

from neuralop_jax.models._fno import FNO

TFNO = functools.partial(FNO, factorization="tucker", rank=0.1)
TFNO.__doc__ = """`FNO` with the defaults `factorization="tucker"` and `rank=0.1`: the tensorized Fourier neural operator.

A block's weight $W = G \\times_1 U_1 \\cdots \\times_N U_N$ then holds about a tenth of the numbers, and its product with the
spectrum goes through the factors. Nothing else differs: this is a `functools.partial`, all arguments are those of `FNO`, and what
is built is an `FNO`. `decompose` makes one from a trained dense FNO.

**Source:** Kossaifi et al. 2024, arXiv:2310.00120; defaults of neuraloperator 2.0.

!!! example

    ```python
    import equinox as eqx, jax, jax.numpy as jnp
    from neuralop_jax.models import FNO, TFNO, count_parameters

    options = {"in_channels": 1, "out_channels": 1, "n_modes": (12, 12), "width": 64}
    model = TFNO(**options, key=jax.random.key(0))
    assert isinstance(model, FNO) and count_parameters(model) == 362_017
    assert eqx.filter_jit(model)(jnp.ones((1, 16, 16))).shape == (1, 16, 16)
    ```
"""
