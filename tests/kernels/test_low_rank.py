import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.kernels import (
    contract_cp,
    contract_dense,
    contract_tt,
    contract_tucker,
    cp_rank,
    cp_size,
    dense_cp,
    dense_tt,
    dense_tucker,
    tt_rank,
    tt_size,
    tucker_rank,
    tucker_size,
)

TABLE = [
    ((64, 64, 12, 7), 0.1, (35, 35, 7, 4), 38_892, 234, 34_632, (1, 29, 17, 4, 1), 34_252),
    ((64, 64, 12, 7), 0.01, (16, 16, 3, 2), 3_634, 23, 3_404, (1, 9, 5, 1, 1), 3_523),
    ((64, 64, 12, 7), 1.0, (64, 64, 12, 7), 352_449, 2341, 346_468, (1, 93, 55, 14, 1), 342_650),
    ((24, 24, 16, 9), 0.1, (13, 13, 9, 5), 8_418, 114, 8_436, (1, 17, 14, 9, 1), 8_217),
    ((32, 32, 16, 9), 0.1, (18, 18, 9, 5), 15_921, 166, 14_940, (1, 22, 17, 9, 1), 15_201),
    ((64, 64, 24, 13), 0.1, (36, 36, 13, 7), 122_947, 775, 128_650, (1, 50, 35, 15, 1), 127_995),
    ((64, 64, 64, 33), 0.1, (36, 36, 36, 19), 894_003, 3845, 868_970, (1, 87, 87, 66, 1), 859_650),
    ((64, 64, 64, 33), 0.01, (20, 20, 20, 10), 84_170, 384, 86_784, (1, 27, 27, 21, 1), 85_365),
    ((4, 64, 64, 64, 33), 0.1, (3, 40, 40, 40, 21), 4_040_385, 15110, 3_475_300, (1, 82, 154, 154, 116, 1), 3_473_468),
    ((4, 64, 64, 64, 33), 0.01, (2, 25, 25, 25, 13), 411_487, 1511, 347_530, (1, 26, 49, 49, 37, 1), 352_557),
]


@pytest.mark.parametrize("shape, ratio, tucker, tucker_count, cp, cp_count, tt, tt_count", TABLE)
def test_ranks_and_counts(shape, ratio, tucker, tucker_count, cp, cp_count, tt, tt_count):
    """Acceptance 1."""
    assert tucker_rank(shape, ratio) == tucker and tucker_size(shape, tucker) == tucker_count
    assert cp_rank(shape, ratio) == cp and cp_size(shape, cp) == cp_count
    assert tt_rank(shape, ratio) == tt and tt_size(shape, tt) == tt_count


def test_fixed_modes_keep_their_size():
    """Numbers of tensorly 0.10."""
    assert tucker_rank((4, 4, 6, 3), 0.5, (0,)) == (4, 3, 4, 2)
    assert tucker_rank((4, 4, 6, 3), 0.5, (2, 3)) == (2, 2, 6, 3)


def test_no_rank_is_below_one():
    assert (
        tucker_rank((4, 4, 6), 1e-4) == (1, 1, 1) and cp_rank((4, 4, 6), 1e-4) == 1 and tt_rank((4, 4, 6), 1e-4) == (1, 1, 1, 1)
    )


def pair(key, *shape):
    real, imaginary = jax.random.normal(key, (2, *shape))
    return real, imaginary


def whole(parts):
    return np.asarray(parts[0]) + 1j * np.asarray(parts[1])


def draw(form, shape, getkey):
    """Arguments of the contraction, and the tensor by NumPy in the order of the factors."""
    letters, ranks = "iomnl"[: len(shape)], "abcde"[: len(shape)]
    if form == "cp":
        scales, factors = pair(getkey(), 5), [pair(getkey(), size, 5) for size in shape]
        tensor = np.einsum(f"r,{','.join(f'{i}r' for i in letters)}->{letters}", whole(scales), *map(whole, factors))
        return (scales, factors), tensor
    if form == "tucker":
        sizes = (3, 2, 2, 3, 2)[: len(shape)]
        core, factors = pair(getkey(), *sizes), [pair(getkey(), i, r) for i, r in zip(shape, sizes, strict=True)]
        equation = f"{ranks},{','.join(i + r for i, r in zip(letters, ranks, strict=True))}->{letters}"
        return (core, factors), np.einsum(equation, whole(core), *map(whole, factors))
    sizes = (1, 3, 2, 4, 2)[: len(shape)] + (1,)
    cores = [pair(getkey(), *s) for s in zip(sizes, shape, sizes[1:], strict=False)]
    made = whole(cores[0])
    for core in cores[1:]:
        made = np.tensordot(made, whole(core), 1)
    return (cores,), made.reshape(shape)


FORMS = {"cp": (contract_cp, dense_cp), "tucker": (contract_tucker, dense_tucker), "tt": (contract_tt, dense_tt)}


@pytest.mark.parametrize("modes", [(3,), (4, 3), (2, 3, 2)])
@pytest.mark.parametrize("form", FORMS)
def test_factors_multiply_as_the_tensor_that_they_make(form, modes, getkey):
    """Acceptance 2: value and gradient, one to three dimensions, several samples."""
    contract, dense = FORMS[form]
    arguments, tensor = draw(form, (4, 5, *modes), getkey)
    c, seen = jax.random.normal(getkey(), (2, *modes, 2, 4)), jax.random.normal(getkey(), (2, *modes, 2, 5))
    np.testing.assert_allclose(whole(dense(*arguments)), np.moveaxis(tensor, (0, 1), (-2, -1)), atol=1e-12)

    @jax.jit
    def both(c, arguments):
        by_factors, back = jax.vjp(lambda c, a: contract(c, *a), c, arguments)
        in_full, back_in_full = jax.vjp(lambda c, a: contract_dense(c, dense(*a)), c, arguments)
        return by_factors, in_full, back(seen), back_in_full(seen)

    by_factors, in_full, gradient, gradient_in_full = both(c, arguments)
    expected = np.einsum("io...,...bi->...bo", tensor, whole(c))
    np.testing.assert_allclose(whole(by_factors), expected, atol=1e-11)
    np.testing.assert_allclose(in_full, by_factors, atol=1e-11)
    for one, other in zip(jax.tree.leaves(gradient), jax.tree.leaves(gradient_in_full), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("form", FORMS)
def test_separable_weights(form, getkey):
    arguments, tensor = draw(form, (4, 3, 2), getkey)
    np.testing.assert_allclose(whole(FORMS[form][1](*arguments, separable=True)), np.moveaxis(tensor, 0, -1), atol=1e-12)
    assert jnp.ndim(FORMS[form][1](*arguments, separable=True)[0]) == 3


@pytest.mark.parametrize("modes", [(6, 4), (4,), (8, 5)])
def test_compiled_products_of_single_samples_are_right(modes):
    """XLA 0.10.2 made a wrong program of a former version of `contract_tucker` for 6 x 4 modes, 5 ranks and one sample."""
    pair = lambda seed, *shape: tuple(jax.random.normal(jax.random.key(seed + k), shape) for k in (0, 100))
    core, factors = pair(0, 5, 5, *modes), [pair(1, 8, 5), pair(2, 8, 5), *(pair(3 + k, n, n) for k, n in enumerate(modes))]
    c = jax.random.normal(jax.random.key(9), (2, *modes, 8))
    dense = contract_dense(c, dense_tucker(core, factors))
    np.testing.assert_allclose(jax.jit(contract_tucker)(c, core, factors), dense, rtol=1e-9, atol=1e-9)
