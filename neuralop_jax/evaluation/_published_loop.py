"""The time loop with which the benchmark data of the first FNO were made, in NumPy: what a faster solver is measured against."""

import numpy as np
import scipy.fft
from jaxtyping import Float


def published_loop(
    w0: Float[np.ndarray, "samples points points"], *, viscosity: float, dt: float, num_steps: int, workers: int = 1
) -> Float[np.ndarray, "samples points points"]:
    r"""Steps of the vorticity on the unit torus: Crank-Nicolson for viscosity, explicit Euler for advection, the 2/3 rule.

    $\hat w_{n+1} = \big[(1 - z)\hat w_n + \Delta t(\hat f - \hat N(w_n))\big] / (1 + z)$ with $z = 2\pi^2\nu\Delta t|k|^2$,
    $N = u\cdot\nabla w$ from four inverse transforms and one forward, and $f = 0.1(\sin + \cos)2\pi(x + y)$.

    **Arguments:**

    - `w0`: the start.
    - `viscosity`, `dt`, `num_steps`: the published step is $10^{-4}$.
    - `workers`: threads of the transforms.

    **Returns:** the vorticity after `num_steps`.

    **Source:** the scheme of Li et al. 2021, arXiv:2010.08895, appendix A.3.3.
    """
    points = w0.shape[-1]
    m, n = np.fft.fftfreq(points, 1 / points)[:, None], np.fft.rfftfreq(points, 1 / points)[None]
    kx, ky = (2 * np.pi * m).astype(w0.dtype), (2 * np.pi * n).astype(w0.dtype)
    square = kx**2 + ky**2
    inverse = np.where(square == 0, 0, 1 / np.where(square == 0, 1, square))
    kept = (np.abs(m) < points / 3) & (n < points / 3)
    x = np.arange(points) / points
    phase = 2 * np.pi * (x[:, None] + x[None])
    source = scipy.fft.rfft2((0.1 * (np.sin(phase) + np.cos(phase))).astype(w0.dtype))
    back = lambda c: np.asarray(scipy.fft.irfft2(c, s=(points, points), workers=workers))
    w = np.asarray(scipy.fft.rfft2(w0, workers=workers))
    for _ in range(num_steps):
        psi = w * inverse
        advection = back(1j * ky * psi) * back(1j * kx * w) - back(1j * kx * psi) * back(1j * ky * w)
        change = source - kept * scipy.fft.rfft2(advection, workers=workers)
        damping = 0.5 * dt * viscosity * square
        w = ((1 - damping) * w + dt * change) / (1 + damping)
    return back(w)
