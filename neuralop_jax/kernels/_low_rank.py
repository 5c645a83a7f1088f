"""Products over the channels of every mode by a weight in CP, Tucker or tensor-train form, and the weight in full.

A complex array is a pair of real ones. Factors are in the order of the tensor $(i, o, k_1, \\dots, k_d)$: channels read, channels
written, modes; a separable weight has one mode of channels. The dense weight is $(k_1, \\dots, k_d, i, o)$, as `contract_dense`
wants it.

Channels are brought to their rank by one plain matrix product over all modes, and back likewise. Between stands, for every mode,
a number per term (CP) or a small matrix, which is built from the modal factors once for all samples.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from neuralop_jax.kernels._contract import contract_dense, contract_separable

_HIGHEST = jax.lax.Precision.HIGHEST

Pair = tuple[Float[Array, "..."], Float[Array, "..."]]
"""Real and imaginary part."""


def contract_cp(
    c: Float[Array, "2 *modes_batch in"], scales: Pair, factors: Sequence[Pair]
) -> Float[Array, "2 *modes_batch out"]:
    r"""$\hat v_{k,o} = \sum_r \lambda_r\, a^o_{or} \prod_j a^{(j)}_{k_j r} \sum_i a^i_{ir}\, \hat u_{k,i}$.

    **Arguments:**

    - `c`: coefficients, real and imaginary part, modes, samples, channels.
    - `scales`: $\lambda$, `(R,)`.
    - `factors`: matrices `(size, R)`: channels read, channels written, modes.

    !!! example

        ```python
        import jax, jax.numpy as jnp
        import numpy as np
        from neuralop_jax.kernels import contract_cp, contract_dense, dense_cp

        rng = np.random.default_rng(0)
        draw = lambda *shape: tuple(map(jnp.asarray, rng.normal(size=(2, *shape))))  # real and imaginary part
        scales, factors = draw(2), [draw(3, 2), draw(4, 2), draw(5, 2)]
        error = lambda c: contract_cp(c, scales, factors) - contract_dense(c, dense_cp(scales, factors))
        assert np.abs(jax.jit(error)(jnp.ones((2, 5, 3)))).max() < 1e-4  # five modes, three channels to four
        ```
    """
    read, write, *modal = factors
    return _mix(contract_separable(_mix(c, read), _terms(scales, modal)), _transposed(write))


def contract_tucker(
    c: Float[Array, "2 *modes_batch in"], core: Pair, factors: Sequence[Pair]
) -> Float[Array, "2 *modes_batch out"]:
    r"""$\hat v_{k,o} = \sum_{b} U^o_{ob} \sum_a G_{ab}(k) \sum_i U^i_{ia}\, \hat u_{k,i}$ with the core $G(k)$ of each mode.

    **Arguments:** as `contract_cp`, but `core`, `(ranks)`, and `factors` `(size, rank)`.

    !!! example

        ```python
        import jax, jax.numpy as jnp
        import numpy as np
        from neuralop_jax.kernels import contract_dense, contract_tucker, dense_tucker

        rng = np.random.default_rng(0)
        draw = lambda *shape: tuple(map(jnp.asarray, rng.normal(size=(2, *shape))))  # real and imaginary part
        core, factors = draw(2, 2, 3), [draw(3, 2), draw(4, 2), draw(5, 3)]
        error = lambda c: contract_tucker(c, core, factors) - contract_dense(c, dense_tucker(core, factors))
        assert np.abs(jax.jit(error)(jnp.ones((2, 5, 3)))).max() < 1e-4  # five modes, three channels to four
        ```
    """
    read, write, *modal = factors
    return _mix(contract_dense(_mix(c, read), _modal_core(core, modal)), _transposed(write))


def contract_tt(c: Float[Array, "2 *modes_batch in"], cores: Sequence[Pair]) -> Float[Array, "2 *modes_batch out"]:
    r"""$\hat v_{k,o} = \sum_{b} G^o_{b}(o)\, G_1(k_1) \cdots G_d(k_d) \sum_i G^i_b(i)\, \hat u_{k,i}$.

    **Arguments:** as `contract_cp`, but `cores` `(rank before, size, rank after)`, ranks 1 at both ends.

    !!! example

        ```python
        import jax, jax.numpy as jnp
        import numpy as np
        from neuralop_jax.kernels import contract_dense, contract_tt, dense_tt

        rng = np.random.default_rng(0)
        draw = lambda *shape: tuple(map(jnp.asarray, rng.normal(size=(2, *shape))))  # real and imaginary part
        cores = [draw(1, 3, 2), draw(2, 4, 2), draw(2, 5, 1)]
        error = lambda c: contract_tt(c, cores) - contract_dense(c, dense_tt(cores))
        assert np.abs(jax.jit(error)(jnp.ones((2, 5, 3)))).max() < 1e-4  # five modes, three channels to four
        ```
    """
    read, write, *modal = cores
    return contract_dense(_mix(c, (read[0][0], read[1][0])), product("aor,...r->...ao", write, _train(modal)))


def dense_cp(scales: Pair, factors: Sequence[Pair], *, separable: bool = False) -> Pair:
    """The weight `(*modes, in, out)`, or `(*modes, channels)`, whose terms are `factors` times `scales`."""
    number = 1 if separable else 2
    channels = factors[0] if separable else product("ir,or->ior", *factors[:2])
    return product("...r,cr->...c" if separable else "...r,ior->...io", _terms(scales, factors[number:]), channels)


def dense_tucker(core: Pair, factors: Sequence[Pair], *, separable: bool = False) -> Pair:
    """The weight `(*modes, in, out)`, or `(*modes, channels)`, of core and factors."""
    if separable:
        return product("...a,ca->...c", _modal_core(core, factors[1:]), factors[0])
    read, write, *modal = factors
    return product("ia,...ao->...io", read, product("...ab,ob->...ao", _modal_core(core, modal), write))


def dense_tt(cores: Sequence[Pair], *, separable: bool = False) -> Pair:
    """The weight `(*modes, in, out)`, or `(*modes, channels)`, of a tensor train."""
    first = cores[0][0][0], cores[0][1][0]  # (channels, rank)
    if separable:
        return product("...r,cr->...c", _train(cores[1:]), first)
    return product("ia,...ao->...io", first, product("aor,...r->...ao", cores[1], _train(cores[2:])))


def product(equation: str, a: Pair, b: Pair) -> Pair:
    """`jnp.einsum` of two complex arrays, part by part."""
    einsum = lambda x, y: jnp.einsum(equation, x, y, precision=_HIGHEST)  # noqa: E731
    return einsum(a[0], b[0]) - einsum(a[1], b[1]), einsum(a[0], b[1]) + einsum(a[1], b[0])


def _mix(c: Array, matrix: Pair) -> Array:
    """Every mode's channels by one complex matrix `(channels, new channels)`: one product of plain matrices.

    One product, not one with each part: of two, XLA 0.10.2 makes a wrong program on CPU for single samples of some sizes.
    """
    new, both = matrix[0].shape[1], jnp.concatenate(matrix, 1)
    v = jnp.matmul(c.reshape(-1, c.shape[-1]), both, precision=_HIGHEST).reshape(*c.shape[:-1], 2 * new)
    real, imaginary = v[0], v[1]
    return jnp.stack([real[..., :new] - imaginary[..., new:], real[..., new:] + imaginary[..., :new]])


def _transposed(matrix: Pair) -> Pair:
    return matrix[0].T, matrix[1].T


def _terms(scales: Pair, modal: Sequence[Pair]) -> Pair:
    """What every term contributes to every mode, `(*modes, R)`."""
    for factor in modal:
        scales = product("...r,kr->...kr", scales, factor)
    return scales


def _modal_core(core: Pair, modal: Sequence[Pair]) -> Pair:
    """The core `(*channel ranks, *ranks)` at every mode, `(*modes, *channel ranks)`: last axes become first ones.

    A complex product is a real one with both parts in one matrix: a quarter of the products, of plain matrices.
    """
    both = jnp.stack(core)
    for factor in reversed(modal):
        (rows, rank), both = factor[0].shape, jnp.moveaxis(both, -1, 1)
        product = jnp.matmul(_as_real(factor), both.reshape(2 * rank, -1), precision=_HIGHEST)
        both = product.reshape(2, rows, *both.shape[2:])
    return both[0], both[1]


def _as_real(matrix: Pair) -> Array:
    """A complex matrix as the real one that acts on real parts above imaginary parts."""
    real, imaginary = matrix
    return jnp.block([[real, -imaginary], [imaginary, real]])


def _train(modal: Sequence[Pair]) -> Pair:
    """The product of the modal cores of every mode, `(*modes, rank)`, from the last core to the first."""
    *earlier, last = modal
    vectors = product("rks,s->kr", last, (jnp.ones(1, last[0].dtype), jnp.zeros(1, last[0].dtype)))
    for core in reversed(earlier):
        vectors = product("rks,...s->k...r", core, vectors)
    return vectors
