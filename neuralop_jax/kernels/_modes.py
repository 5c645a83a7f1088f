"""Which wavenumbers a truncated spectrum holds, and in which order."""

from collections.abc import Sequence

import numpy as np


def wavenumbers(num_modes: int, *, half: bool = False) -> np.ndarray:
    r"""The wavenumbers of an axis on which `num_modes` modes are kept, ascending.

    A full axis holds $-\lfloor M/2\rfloor \dots \lceil M/2\rceil - 1$; the halved last axis of real data holds
    $0 \dots M - 1$, where $M$ counts columns.

    !!! example

        ```python
        from neuralop_jax.kernels import wavenumbers

        assert wavenumbers(4).tolist() == [-2, -1, 0, 1]
        assert wavenumbers(3, half=True).tolist() == [0, 1, 2]
        ```
    """
    return np.arange(num_modes) - (0 if half else num_modes // 2)


def is_known(*points: object) -> bool:
    """Whether these numbers of points are numbers, and not symbols of `jax.export`, which a program is told when it runs.

    What depends on a number is a constant of the program, made by NumPy; of a symbol, the program has to compute it:

    !!! example

        ```python
        import jax, jax.numpy as jnp, numpy as np
        from jax import export
        from neuralop_jax.kernels import is_known

        def coordinates(u):
            (points,) = u.shape
            return (np if is_known(points) else jnp).arange(points) / points

        field = jax.ShapeDtypeStruct(export.symbolic_shape("points"), jnp.float32)
        program = export.export(jax.jit(coordinates))(field)  # for any number of points
        assert is_known(4) and not is_known(4, *field.shape)
        assert program.call(jnp.ones(4)).tolist() == coordinates(jnp.ones(4)).tolist() == [0, 0.25, 0.5, 0.75]
        ```
    """
    return all(isinstance(n, int | np.integer) for n in points)


def kept_modes(n_modes: Sequence[int], shape: Sequence[int], *, real: bool) -> tuple[int, ...]:
    r"""The size of the block of coefficients for `n_modes` on a grid of `shape`.

    Axis by axis $\min(M, N)$; on the last axis of real data $\min(\lfloor M/2\rfloor, \lfloor N/2\rfloor) + 1$ columns. A grid
    with fewer points than modes therefore keeps what it can represent.
    """
    kept = [min(m, n) for m, n in zip(n_modes, shape, strict=True)]
    if real:
        kept[-1] = min(n_modes[-1] // 2, shape[-1] // 2) + 1
    return tuple(kept)


def centered(kept: int, stored: int, *, half: bool) -> slice:
    """Where the `kept` wavenumbers lie among `stored` ones of the same axis, matched by wavenumber."""
    start = 0 if half else stored // 2 - kept // 2
    return slice(start, start + kept)


def compute_type(dtype: np.dtype) -> np.dtype:
    """The real type in which a transform of `dtype` runs: its own precision, but at least float32."""
    real = np.finfo(dtype).dtype if np.issubdtype(dtype, np.complexfloating) else np.dtype(dtype)
    return np.promote_types(real, np.float32) if real in (np.float32, np.float64) else np.dtype(np.float32)
