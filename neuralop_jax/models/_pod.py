"""Proper orthogonal decomposition: the orthogonal functions that represent a set of fields best in the mean."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from neuralop_jax.errors import ConfigError
from neuralop_jax.layers import Untrained


class Modes(Untrained):
    r"""A mean and modes on one grid for every channel, orthonormal in the mean over the $N$ points:
    $\tfrac1N \sum_x \phi_j(x) \phi_k(x) = \delta_{jk}$."""

    mean: Float[Array, "channels *space"]
    modes: Float[Array, "channels modes *space"]


def pod_modes(targets: np.ndarray, num_modes: int) -> tuple[np.ndarray, np.ndarray]:
    r"""The mean and the leading modes of fields, channel by channel: $u \approx \bar u + \sum_k c_k \phi_k$ with the smallest
    mean square error that `num_modes` functions can have.

    **Arguments:**

    - `targets`: outputs of the training data, and of no other, `(samples, channels, *space)`.
    - `num_modes`: the number of modes per channel, at most the number of samples and of points.

    **Returns:** the mean $(C, *S)$ and the modes $(C, K, *S)$ in float64, with $\tfrac1N \sum_x \phi_j \phi_k = \delta_{jk}$: the
    eigenvectors of the covariance times $\sqrt N$, in the order of their eigenvalues. The best coefficients are
    $c_k = \tfrac1N \sum_x (u - \bar u)\, \phi_k$.

    **Raises:** `ConfigError` for more modes than samples or points, or for NaN or infinity in the fields.

    **Source:** Lu et al. 2022, arXiv:2111.05512, section 3.1. Differs: computed from the singular values of the centered
    samples, which is the same to rounding and needs no matrix of points by points; its Burgers script takes the modes of the
    test outputs, here they are those of what is given.

    !!! example

        ```python
        import numpy as np
        from neuralop_jax.models import pod_modes

        fields = np.random.default_rng(0).normal(size=(20, 1, 64))
        mean, modes = pod_modes(fields, 5)
        assert np.allclose(modes[0] @ modes[0].T / 64, np.eye(5))
        ```
    """
    values = np.asarray(targets, np.float64)
    flat = np.moveaxis(values.reshape(*values.shape[:2], -1), 1, 0)  # (channels, samples, points)
    if not 1 <= num_modes <= min(flat.shape[1:]):
        raise ConfigError(
            f"num_modes={num_modes} modes cannot be had from {flat.shape[1]} training samples of {flat.shape[2]} points. Set "
            f"model.num_modes to at most {min(flat.shape[1:])}."
        )
    if not np.isfinite(flat).all():
        bad = np.flatnonzero(~np.isfinite(flat).all(axis=(0, 2)))
        raise ConfigError(
            f"the modes need finite fields, {len(bad)} of {flat.shape[1]} have NaN or infinity, the first is sample {bad[0]}. "
            "Leave them out."
        )
    mean = flat.mean(axis=1, keepdims=True)
    modes = np.linalg.svd(flat - mean, full_matrices=False)[2][:, :num_modes] * np.sqrt(flat.shape[2])
    return mean.reshape(values.shape[1:]), modes.reshape(values.shape[1], num_modes, *values.shape[2:])


def cosine_modes(channels: int, num_modes: int, shape: Sequence[int]) -> Modes:
    """Products of cosines of the lowest frequencies, with mean zero: what stands in for modes until there are data."""
    if num_modes > np.prod(shape):
        raise ConfigError(f"num_modes={num_modes} is more than the {int(np.prod(shape))} points of the outputs. Lower it.")
    frequencies = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij")).reshape(len(shape), -1)
    lowest = frequencies[:, np.argsort((frequencies**2).sum(0), kind="stable")[:num_modes]]
    modes = np.ones((num_modes, *(1,) * len(shape)))
    for axis, (points, each) in enumerate(zip(shape, lowest, strict=True)):
        wave = np.cos(np.pi * each[:, None] * (np.arange(points) + 0.5) / points) * np.where(each > 0, np.sqrt(2), 1)[:, None]
        modes = modes * wave.reshape(num_modes, *(points if a == axis else 1 for a in range(len(shape))))
    repeated = jnp.broadcast_to(jnp.asarray(modes), (channels, *modes.shape))
    return Modes(jnp.zeros((channels, *shape)), repeated)
