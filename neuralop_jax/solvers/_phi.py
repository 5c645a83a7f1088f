r"""The functions $\varphi_k(z) = \sum_{j \ge 0} z^j/(j + k)!$ of exponential integrators."""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Inexact

_TERMS = 20  # 1/20! is below the round-off of float64


def phi_functions(z: Inexact[np.ndarray, "*shape"] | Inexact[Array, "*shape"], count: int) -> list:
    r"""$\varphi_0(z) = e^z, \varphi_1(z) = \frac{e^z - 1}{z}, \dots, \varphi_{n-1}(z)$, $n$ = `count`, for real or complex $z$.

    The recursion $\varphi_{k+1} = (\varphi_k - 1/k!)/z$ cancels for small $z$; there the power series is summed.

    **Arguments:**

    - `z`: NumPy arrays are computed in NumPy, in their own precision, and traced arrays in JAX.
    - `count`: how many functions.

    **Returns:** a list of `count` arrays like `z`.

    **Source:** Hochbruck and Ostermann 2010, Acta Numerica 19, 209-286, equation (2.10).

    !!! example

        ```python
        import numpy as np
        from neuralop_jax.solvers import phi_functions

        exponential, first, second = phi_functions(np.asarray([1.0]), 3)
        assert np.allclose(first, np.e - 1) and np.allclose(second, np.e - 2)
        ```
    """
    xp = np if isinstance(z, np.ndarray) else jnp
    small = xp.abs(z) < 1
    inside, outside = xp.where(small, z, 0), xp.where(small, 1, z)
    functions, direct = [], xp.exp(outside)
    for k in range(count):
        series = xp.zeros_like(z)
        for j in reversed(range(_TERMS)):
            series = series * inside + 1 / math.factorial(j + k)
        functions.append(xp.where(small, series, direct))
        direct = (direct - 1 / math.factorial(k)) / outside
    return functions
