import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.errors import ConfigError
from neuralop_jax.models import FNO, ClassicFNO, Normalized, decompose, spec_of
from neuralop_jax.models._truncate import _alternate, cp_als, hosvd, tt_svd
from neuralop_jax.normalizers import GaussianNormalizer

KEY = jax.random.key(0)


def normal(random, *shape):
    return random.standard_normal(shape) + 1j * random.standard_normal(shape)


def relative(a, b):
    return np.linalg.norm(np.asarray(a) - b) / np.linalg.norm(b)


def test_full_ranks_reproduce_the_tensor():
    """Acceptance 3."""
    tensor = normal(np.random.default_rng(0), 4, 5, 6, 3)
    core, factors, made = hosvd(tensor, tensor.shape)
    assert relative(made, tensor) < 1e-10
    assert relative(np.einsum("abcd,ia,jb,kc,ld->ijkl", core, *factors), tensor) < 1e-10
    for ranks in ([4, 18, 3], [6, 20, 4]):  # also more than an unfolding has
        cores, made = tt_svd(tensor, ranks)
        assert relative(made, tensor) < 1e-10
        assert [core.shape for core in cores] == list(zip([1, *ranks], tensor.shape, [*ranks, 1], strict=True))
        assert relative(np.einsum("aib,bjc,ckd,dle->ijkl", *cores), tensor) < 1e-10


@pytest.mark.parametrize("seed", range(4))
def test_planted_terms_are_found(seed):
    """Acceptance 3: a tensor of rank 3."""
    random = np.random.default_rng(seed)
    tensor = np.einsum("ir,jr,kr,lr->ijkl", *(normal(random, size, 3) for size in (6, 6, 8, 5)))
    scales, factors, made = cp_als(tensor, 3, 500)
    assert relative(made, tensor) < 1e-6
    assert relative(np.einsum("r,ir,jr,kr,lr->ijkl", scales, *factors), tensor) < 1e-6


@pytest.mark.parametrize("shape, rank", [((6, 6, 5, 4), 1), ((6, 6, 5, 4), 2), ((8, 8, 6, 4), 3)])
def test_terms_are_best_for_the_whole_tensor(shape, rank):
    """A tensor of full rank: best for the core of its HOSVD alone would be 2 to 3 % worse."""
    tensor = normal(np.random.default_rng(0), *shape)
    _, factors, made = cp_als(tensor, rank, 500)
    error = relative(made, tensor)
    _, after = _alternate(tensor, factors, 1)
    assert error * (1 - 1e-6) < after < error * (1 + 1e-12)
    core, frames, _ = hosvd(tensor, [rank] * 4)
    start = [np.eye(len(core), dtype=complex)] * 4
    on_core = [frame @ factor for frame, factor in zip(frames, _alternate(core, start, 500)[0], strict=True)]
    terms = np.einsum("ir,jr,kr,lr->ijkl", *on_core)
    assert error < 0.99 * relative(terms, tensor)


def test_truncation_errors_have_the_known_bounds():
    """Both are at most root of the sum of the squared discarded singular values; sweeps only improve on it."""
    tensor, ranks = normal(np.random.default_rng(1), 4, 5, 6), (2, 3, 3)
    unfolded = [np.linalg.svd(np.moveaxis(tensor, k, 0).reshape(tensor.shape[k], -1))[1] for k in range(3)]
    bound = np.sqrt(sum(np.sum(s[r:] ** 2) for s, r in zip(unfolded, ranks, strict=True)))
    errors = [np.linalg.norm(tensor - hosvd(tensor, ranks, sweeps)[2]) for sweeps in range(4)]
    assert errors[0] <= bound and all(after <= before + 1e-12 for before, after in zip(errors, errors[1:], strict=False))
    tails = [np.linalg.svd(tensor.reshape(n, -1))[1][r:] for n, r in ((4, 2), (20, 3))]
    assert np.linalg.norm(tensor - tt_svd(tensor, [2, 3])[1]) <= np.sqrt(sum(np.sum(t**2) for t in tails))


def dense(**options):
    return FNO(in_channels=1, out_channels=1, n_modes=(4, 4), width=4, depth=2, **options, key=KEY)


@pytest.mark.parametrize(
    "factorization, rank, joint",
    [("tucker", (4, 4, 4, 3), False), ("tt", (1, 4, 12, 3, 1), False), ("tucker", (2, 4, 4, 4, 3), True), ("tt", 12, True)],
)
def test_an_operator_at_full_rank_is_the_same_operator(factorization, rank, joint):
    model, u = dense(max_n_modes=(4, 4)), jax.random.normal(KEY, (1, 8, 8))
    other, errors = decompose(model, rank, factorization=factorization, joint=joint)
    assert len(errors) == (1 if joint else 2) and max(errors) < 1e-10
    np.testing.assert_allclose(other(u), model(u), atol=1e-10)
    assert spec_of(other)["kind"] == "tfno" and spec_of(other)["rank"] == spec_of(other)["rank"]
    assert jnp.array_equal(other.lifting.layers[0].weight, model.lifting.layers[0].weight)


@pytest.mark.parametrize("factorization", ["cp", "tucker", "tt"])
def test_reported_errors_are_those_of_the_weights(factorization):
    model = dense(separable=factorization == "tt")
    other, errors = decompose(model, 0.5, factorization=factorization, sweeps=3)
    for old, new, error in zip(model.blocks, other.blocks, errors, strict=True):
        whole = [np.asarray(b.conv.dense_weight()[0]) + 1j * np.asarray(b.conv.dense_weight()[1]) for b in (old, new)]
        assert 0 < error < 1
        np.testing.assert_allclose(relative(whole[1], whole[0]), error, rtol=1e-6)


def test_what_cannot_be_decomposed():
    smaller, _ = decompose(dense(), 0.5)
    with pytest.raises(ConfigError, match="the model has factorization='tucker'"):
        decompose(smaller, 0.5)
    with pytest.raises(ConfigError, match="exceed the sizes"):
        decompose(dense(), 5)
    with pytest.raises(ConfigError, match="factorization must be one of 'cp', 'tucker', 'tt'"):
        decompose(dense(), 0.5, factorization="svd")
    with pytest.raises(ConfigError, match="sweeps must be 0 or more, got -1"):
        decompose(dense(), 0.5, factorization="cp", sweeps=-1)
    with pytest.raises(ConfigError, match="decompose takes an FNO, or a Normalized one, got ClassicFNO"):
        decompose(ClassicFNO(in_channels=1, out_channels=1, n_modes=(4, 4), width=4, depth=1, key=KEY), 0.5)


def test_a_normalized_operator_is_decomposed_inside():
    model, u = dense(), jax.random.normal(KEY, (1, 8, 8))
    whole = Normalized(
        model, GaussianNormalizer(jnp.ones(1), jnp.full(1, 2.0)), GaussianNormalizer(jnp.zeros(1), jnp.full(1, 3.0))
    )
    found, errors = decompose(whole, 0.5)
    inner, wanted = decompose(model, 0.5)
    assert isinstance(found, Normalized) and errors == wanted
    np.testing.assert_allclose(found(u), 3 * inner((u - 1) / 2), rtol=1e-5)


def test_a_tensor_train_of_more_rank_than_the_weight_holds_zeros():
    """The weight is `(4, 4, 4, 3)`, of ranks 4, 12 and 3."""
    other, errors = decompose(dense(), (1, 6, 14, 5, 1), factorization="tt")
    assert max(errors) < 1e-10
    first, *_, last = other.blocks[0].conv.weight.factors
    assert first[0].shape == (1, 4, 6) and not jnp.any(first[0][..., 4:]) and not jnp.any(last[0][3:])


def test_weights_that_are_not_finite_are_refused():
    model = FNO(in_channels=1, out_channels=1, n_modes=(4,), width=4, depth=1, key=KEY)
    real, imaginary = model.blocks[0].conv.dense_weight()
    broken = eqx.tree_at(lambda m: jax.tree.leaves(m.blocks[0].conv.weight)[0], model, real.at[0, 0, 0].set(jnp.nan))
    with pytest.raises(ConfigError, match="finite spectral weights, the model has NaN"):
        decompose(broken, 0.5)
