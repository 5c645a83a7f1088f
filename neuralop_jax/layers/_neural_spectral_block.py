"""The neural spectral block: a field is projected to a few tokens per patch, solved there by a basis of sines, and read back."""

import functools
import math
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from neuralop_jax._checks import one_of
from neuralop_jax._typing import PRNGKey
from neuralop_jax.errors import ConfigError
from neuralop_jax.layers._pointwise import Pointwise

FREQUENCIES = ("released", "integer")


def patchify(u: Float[Array, "channels *batch_space"], patch: Sequence[int]) -> Float[Array, "patches channels points"]:
    """A field cut into boxes of `patch` points: one matrix `(channels, points)` for every box of every sample.

    **Arguments:**

    - `u`: one sample, `(channels, *space)`, or several behind the channels, `(channels, batch, *space)`.
    - `patch`: points per axis, divisors of the grid.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.layers import patchify, unpatchify

        u = jnp.arange(16.0).reshape(1, 4, 4)
        assert patchify(u, (2, 2))[0, 0].tolist() == [0, 1, 4, 5]
        assert (unpatchify(patchify(u, (2, 2)), u.shape, (2, 2)) == u).all()
        ```
    """
    dims, channels = len(patch), len(u)
    space = u.shape[u.ndim - dims :]
    split = [part for n, p in zip(space, patch, strict=True) for part in (n // p, p)]
    v = u.reshape(channels, -1, *split)
    v = v.transpose(1, *range(2, 2 * dims + 2, 2), 0, *range(3, 2 * dims + 2, 2))
    return v.reshape(-1, channels, math.prod(patch))


def unpatchify(
    v: Float[Array, "patches channels points"], shape: Sequence[int], patch: Sequence[int]
) -> Float[Array, "channels *batch_space"]:
    """The field `(channels, *batch, *space)` of this `shape` that `patchify` cut: its inverse."""
    dims = len(patch)
    counts = [n // p for n, p in zip(shape[len(shape) - dims :], patch, strict=True)]
    u = v.reshape(-1, *counts, v.shape[1], *patch)
    places = [axis for i in range(dims) for axis in (1 + i, dims + 2 + i)]
    return u.transpose(dims + 1, 0, *places).reshape(v.shape[1], *shape[1:])


def trigonometric_step(
    t: Float[Array, "... channels"],
    sines: Float[Array, "basis channels"],
    cosines: Float[Array, "waves channels"],
    frequencies: str,
) -> Float[Array, "... channels"]:
    r"""$\hat t = t + \sum_k w^s_k \sin(\omega_k t) + \sum_k w^c_k \cos(\omega_k t)$, each channel of a token by itself.

    **Arguments:**

    - `t`: tokens, channels last.
    - `sines`, `cosines`: $w^s$ and $w^c$, one row per frequency.
    - `frequencies`: `"released"` has $\omega_k = \pi k/N$ with $k = 0 \dots N-1$ for both; `"integer"` has $\omega_k = k$ with
      $k = 1 \dots N$ for the sines and $k = 0 \dots N$ for the cosines, where $k = 0$ is the constant.

    !!! example

        ```python
        import jax.numpy as jnp
        from neuralop_jax.layers import trigonometric_step

        t, none = jnp.asarray([[0.5]]), jnp.zeros((2, 1))
        assert jnp.allclose(trigonometric_step(t, jnp.ones((1, 1)), none, "integer"), 0.5 + jnp.sin(0.5))
        ```
    """
    slowest = np.pi / len(sines) if frequencies == "released" else 1.0
    if len(cosines) > len(sines):  # there is no sine of frequency zero among the integer ones
        sines = jnp.concatenate([jnp.zeros_like(sines[:1]), sines])
    rows = lambda w: jnp.expand_dims(w, tuple(range(1, t.ndim)))  # noqa: E731
    return t + _series(slowest, t, rows(sines), rows(cosines))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _series(slowest: float, t: Array, sines: Array, cosines: Array) -> Array:
    """$\\sum_k w^s_k \\sin(\\omega_k t) + w^c_k \\cos(\\omega_k t)$ with $\\omega_k = k\\omega_1$.

    The derivative by `t` is a series again; derived step by step, it would be a chain through every intermediate of the sum.
    """
    cosine, sine = jnp.cos(slowest * t), jnp.sin(slowest * t)
    pair = jnp.zeros_like(t), jnp.zeros_like(t)
    for rows in zip(sines[:0:-1], cosines[:0:-1], strict=True):
        pair = _horner(pair, rows, cosine, sine)
    return cosines[0] + pair[0]


@_series.defjvp
def _(slowest, primals, tangents):
    t, sines, cosines = primals
    t_dot, sines_dot, cosines_dot = tangents
    omega = (slowest * np.arange(len(cosines))).reshape(-1, *(1,) * t.ndim).astype(t.dtype)
    slope = _series(slowest, t, -omega * cosines, omega * sines)
    cosine, sine = jnp.cos(slowest * t), jnp.sin(slowest * t)
    # a loop, because its transpose adds up the derivative of one row after the other, three times as fast as those of all at once
    step = lambda pair, rows: (_horner(pair, rows, cosine, sine), None)  # noqa: E731
    pair, _ = jax.lax.scan(step, (jnp.zeros_like(t), jnp.zeros_like(t)), (sines_dot[1:], cosines_dot[1:]), reverse=True)
    return _series(slowest, t, sines, cosines), slope * t_dot + cosines_dot[0] + pair[0]


def _horner(pair: tuple[Array, Array], rows: tuple[Array, Array], cosine: Array, sine: Array) -> tuple[Array, Array]:
    """A step of Horner's rule in $e^{i\\omega_1 t}$, which takes two transcendental functions of a token, not two a frequency."""
    real, imaginary = pair[0] + rows[1], pair[1] - rows[0]
    return real * cosine - imaginary * sine, real * sine + imaginary * cosine


class NeuralSpectralBlock(eqx.Module):
    r"""$u \mapsto u + \text{softmax}(Q(u)\,\hat T^\top)\,\hat T$ with $\hat T$ the solved tokens of the patch of a point.

    In every patch, learned queries $T_0$ collect $M$ tokens, $T = T_0 + \text{softmax}(T_0 K(u)^\top)\,V(u)$; a sum of sines and
    cosines with a weight per channel maps them to $\hat T$ (`trigonometric_step`); every point reads them by attention. Channels
    are divided into heads, scores are not scaled, and all patches share the weights.

    **Arguments:**

    - `width`: channels.
    - `num_tokens`: $M$.
    - `num_basis`: sines, and as many cosines.
    - `num_heads`: a divisor of `width`.
    - `frequencies`: see `trigonometric_step`.
    - `key`: draws $T_0$ and the weights of the basis uniformly in $[0, 1/\text{width})$.

    **Raises:** `ConfigError` if the heads do not divide the width, or for other frequencies.

    **Source:** Wu et al. 2023, arXiv:2301.12664, section 3.2, with the frequencies $\pi k/N$ and the constants of the published
    code. As there, the biases of the keys and, among the released frequencies, the sine of frequency zero change nothing.

    !!! example

        ```python
        import jax
        import jax.numpy as jnp
        from neuralop_jax.layers import NeuralSpectralBlock

        block = NeuralSpectralBlock(8, key=jax.random.key(0))
        assert block(jnp.ones((8, 6, 4)), (3, 2)).shape == (8, 6, 4)
        ```
    """

    queries: Float[Array, "heads tokens size"]
    sines: Float[Array, "basis width"]
    cosines: Float[Array, "waves width"]
    encode: Pointwise
    decode: Pointwise
    frequencies: str = eqx.field(static=True)

    def __init__(
        self,
        width: int,
        *,
        num_tokens: int = 4,
        num_basis: int = 12,
        num_heads: int = 8,
        frequencies: str = "released",
        key: PRNGKey,
    ):
        one_of("frequencies", frequencies, FREQUENCIES, ConfigError)
        if width % num_heads:
            raise ConfigError(f"num_heads must divide the width {width}, got {num_heads}. Change one of them.")
        keys = jax.random.split(key, 5)
        draw = lambda k, *shape: jax.random.uniform(k, shape) / width
        self.queries = draw(keys[0], num_heads, num_tokens, width // num_heads)
        self.sines = draw(keys[1], num_basis, width)
        self.cosines = draw(keys[2], num_basis + (frequencies == "integer"), width)
        self.encode = Pointwise(width, 2 * width, key=keys[3])  # keys, then values
        self.decode = Pointwise(width, width, key=keys[4])
        self.frequencies = frequencies

    def __call__(self, u: Float[Array, "width *batch_space"], patch: Sequence[int]) -> Float[Array, "width *batch_space"]:
        """The field after the block; every patch of `patch` points, which must divide the grid, is mapped by itself.

        Several samples at once stand between channels and space: `(width, batch, *space)`.
        """
        x = patchify(u, patch)
        tokens = self.solve(self._collect(u, x, patch))
        return u + unpatchify(self._read(x, tokens), u.shape, patch)

    def solve(self, tokens: Float[Array, "... heads tokens size"]) -> Float[Array, "... heads tokens size"]:
        """The tokens after the step in the basis of sines and cosines, at least in single precision."""
        heads, num_tokens, size = tokens.shape[-3:]
        exact = jnp.promote_types(tokens.dtype, jnp.float32)
        t = jnp.swapaxes(tokens.astype(exact), -3, -2).reshape(*tokens.shape[:-3], num_tokens, heads * size)
        t = trigonometric_step(t, self.sines.astype(exact), self.cosines.astype(exact), self.frequencies)
        return jnp.swapaxes(t.reshape(*t.shape[:-1], heads, size), -3, -2).astype(tokens.dtype)

    def _collect(self, u: Array, x: Array, patch: Sequence[int]) -> Array:
        """The tokens of every patch, `(patches, heads, tokens, size)`.

        Sums over the points of a patch and maps of the channels commute: the queries are mapped instead of all keys, and what is
        mapped to values are the averages, not all points. A bias of the keys would raise all scores of a query alike.
        """
        heads, num_tokens, size = self.queries.shape
        width, queries = heads * size, self.queries.astype(u.dtype)
        weight, bias = _weight_and_bias(self.encode, u)
        keys, values = weight.reshape(2, heads, size, width)
        scores = jnp.matmul(queries, keys).reshape(-1, width) @ u.reshape(width, -1)
        scores = patchify(scores.reshape(-1, *u.shape[1:]), patch)
        averages = jnp.matmul(jax.nn.softmax(scores, -1), jnp.swapaxes(x, 1, 2)).reshape(-1, heads, num_tokens, width)
        return jnp.matmul(averages, jnp.swapaxes(values, 1, 2)) + (bias[width:].reshape(heads, 1, size) + queries)[None]

    def _read(self, x: Array, tokens: Array) -> Array:
        """What every point reads of the tokens of its patch, `(patches, width, points)`; here too the tokens are mapped."""
        count, heads, num_tokens, size = tokens.shape
        width = heads * size
        weight, bias = _weight_and_bias(self.decode, x)
        mapped = jnp.matmul(tokens, weight.reshape(heads, size, width)).reshape(count, -1, width)
        offsets = jnp.matmul(tokens, bias.reshape(heads, size, 1))
        scores = jnp.matmul(mapped, x).reshape(count, heads, num_tokens, -1) + offsets
        read = jnp.matmul(jnp.swapaxes(tokens, 2, 3), jax.nn.softmax(scores, 2))
        return read.reshape(count, width, -1)


def _weight_and_bias(layer: Pointwise, like: Array) -> tuple[Array, Array]:
    bias = jnp.zeros(len(layer.weight)) if layer.bias is None else layer.bias
    return layer.weight.astype(like.dtype), bias.astype(like.dtype)
