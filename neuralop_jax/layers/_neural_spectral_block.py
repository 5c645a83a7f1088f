"""The neural spectral block: a field is projected to a few tokens per patch, solved there by a basis of sines, and read back."""

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
from neuralop_jax.kernels._small_products import small_products
from neuralop_jax.layers._pointwise import Pointwise, over_space

FREQUENCIES = ("released", "integer")


def patchify(u: Float[Array, "channels *batch_space"], patch: Sequence[int]) -> Float[Array, "channels points patches"]:
    """A field cut into boxes of `patch` points: the points of a box, then all boxes of all samples.

    Boxes stand last, because they are many: what is done in each of them is then one operation on long rows.

    **Arguments:**

    - `u`: one sample, `(channels, *space)`, or several behind the channels, `(channels, batch, *space)`.
    - `patch`: points per axis, divisors of the grid.
    """
    dims, channels = len(patch), len(u)
    space = u.shape[u.ndim - dims :]
    split = [part for n, p in zip(space, patch, strict=True) for part in (n // p, p)]
    v = u.reshape(channels, -1, *split)
    v = v.transpose(0, *range(3, 2 * dims + 2, 2), 1, *range(2, 2 * dims + 2, 2))
    return v.reshape(channels, math.prod(patch), -1)


def unpatchify(
    v: Float[Array, "channels points patches"], shape: Sequence[int], patch: Sequence[int]
) -> Float[Array, "channels *batch_space"]:
    """The field `(channels, *batch, *space)` of this `shape` that `patchify` cut: its inverse."""
    dims = len(patch)
    counts = [n // p for n, p in zip(shape[len(shape) - dims :], patch, strict=True)]
    u = v.reshape(len(v), *patch, -1, *counts)
    places = [axis for i in range(dims) for axis in (dims + 2 + i, 1 + i)]
    return u.transpose(0, dims + 1, *places).reshape(len(v), *shape[1:])


def trigonometric_step(
    t: Float[Array, "channels *any"],
    sines: Float[Array, "basis channels"],
    cosines: Float[Array, "waves channels"],
    frequencies: str,
) -> Float[Array, "channels *any"]:
    r"""$\hat t = t + \sum_k w^s_k \sin(\omega_k t) + \sum_k w^c_k \cos(\omega_k t)$, each channel of a token by itself.

    **Arguments:**

    - `t`: tokens, channels first.
    - `sines`, `cosines`: $w^s$ and $w^c$, one row per frequency.
    - `frequencies`: `"released"` has $\omega_k = \pi k/N$ with $k = 0 \dots N-1$ for both; `"integer"` has $k = 1 \dots N$ for
      the sines and $k = 0 \dots N$ for the cosines, where $k = 0$ is the constant.
    """
    slowest = np.pi / len(sines) if frequencies == "released" else 1.0
    cosine, sine = jnp.cos(slowest * t), jnp.sin(slowest * t)

    def rotate(sums: tuple[Array, Array], weights: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
        real, imaginary = sums[0] + over_space(weights[0], t), sums[1] - over_space(weights[1], t)
        return (real * cosine - imaginary * sine, real * sine + imaginary * cosine), None

    # Horner's rule in $e^{i\omega_1 t}$: two transcendental functions of a token instead of two for every frequency. As a loop,
    # because XLA would compute the tokens and the whole sum again for each of its readers.
    waves = cosines[1:], sines[len(sines) - len(cosines) + 1 :]  # there is no sine of frequency zero among the integer ones
    (real, _), _ = jax.lax.scan(rotate, (jnp.zeros_like(t), jnp.zeros_like(t)), waves, reverse=True)
    return t + over_space(cosines[0], t) + real


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
        return u + unpatchify(self._read(x, self.solve(self._collect(x))), u.shape, patch)

    def solve(self, tokens: Float[Array, "width tokens patches"]) -> Float[Array, "width tokens patches"]:
        """The tokens after the step in the basis of sines and cosines, at least in single precision."""
        exact = jnp.promote_types(tokens.dtype, jnp.float32)
        sines, cosines = self.sines.astype(exact), self.cosines.astype(exact)
        return trigonometric_step(tokens.astype(exact), sines, cosines, self.frequencies).astype(tokens.dtype)

    def _collect(self, x: Array) -> Array:
        """The tokens of every patch, `(width, tokens, patches)`.

        The queries are mapped instead of all keys, whose bias would raise all scores of a query alike.
        """
        heads, num_tokens, size = self.queries.shape
        width, queries = heads * size, self.queries.astype(x.dtype)
        weight, bias = _weight_and_bias(self.encode, x)
        asked = jnp.matmul(queries, weight[:width].reshape(heads, size, width))
        scores = (asked.reshape(-1, width) @ x.reshape(width, -1)).reshape(heads, num_tokens, *x.shape[1:])
        values = (weight[width:] @ x.reshape(width, -1)).reshape(heads, size, *x.shape[1:])
        tokens = small_products(values, jnp.swapaxes(jax.nn.softmax(scores, 2), 1, 2))
        return (tokens + (bias[width:].reshape(heads, size, 1) + jnp.swapaxes(queries, 1, 2))[..., None]).reshape(
            width, num_tokens, -1
        )

    def _read(self, x: Array, tokens: Array) -> Array:
        """What every point reads of the tokens of its patch, `(width, points, patches)`."""
        heads, num_tokens, size = self.queries.shape
        weight, bias = _weight_and_bias(self.decode, x)
        asked = (weight @ x.reshape(len(x), -1) + bias[:, None]).reshape(heads, size, *x.shape[1:])
        tokens = tokens.reshape(heads, size, num_tokens, -1)
        scores = small_products(jnp.swapaxes(tokens, 1, 2), asked)
        return small_products(tokens, jax.nn.softmax(scores, 1)).reshape(x.shape)


def _weight_and_bias(layer: Pointwise, like: Array) -> tuple[Array, Array]:
    bias = jnp.zeros(len(layer.weight)) if layer.bias is None else layer.bias
    return layer.weight.astype(like.dtype), bias.astype(like.dtype)
