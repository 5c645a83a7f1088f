import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.layers import SpectralConv
from neuralop_jax.layers._spectral_weight import spectral_weight

KEY = jax.random.key(0)
FORMS = ("cp", "tucker", "tt")


def whole(weight):
    real, imaginary = weight.to_dense()
    return real + 1j * imaginary


@pytest.mark.parametrize("layers", [(), (3,)], ids=["own", "joint"])
@pytest.mark.parametrize("form", FORMS)
def test_the_tensor_starts_with_the_variance_of_a_dense_weight(form, layers, compiled):
    """Acceptance 4; with the ranks instead of their roots a tensor train would start far too small."""
    deviation = (2 / (5 + 7)) ** 0.5

    @jax.vmap
    def second_moment(key):
        weight = spectral_weight(form, (*layers, 5, 7, 4, 3), 0.6, deviation=deviation, key=key)
        return jnp.mean(jnp.abs(whole(weight.layer(1) if layers else weight)) ** 2)

    moments = compiled(lambda key: second_moment(jax.random.split(key, 4000)), KEY)
    assert abs(np.sqrt(moments.mean()) / deviation - 1) < 0.05


@pytest.mark.parametrize("form", FORMS)
def test_layers_of_a_joint_tensor_are_its_slices(form, compiled):
    """The same factors, with the layers taken for the channels read, make the whole tensor."""

    def tensors(key):
        weight = spectral_weight(form, (3, 4, 5, 2), 0.7, deviation=1.0, key=key)
        return whole(weight), [whole(weight.layer(index)) for index in range(3)]

    tensor, layers = compiled(tensors, KEY)  # (5, 2, 3, 4), the last two modes first, and (2, 4, 5)
    for index, one in enumerate(layers):
        np.testing.assert_allclose(one, np.moveaxis(tensor[:, :, index], (0, 1, 2), (2, 0, 1)), atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_dropout_leaves_out_whole_ranks(form, compiled):
    """Acceptance 7."""
    weight = eqx.filter_jit(lambda key: spectral_weight(form, (6, 6, 5, 5), 5, deviation=1.0, key=key))(KEY)
    for same in (weight.dropped(0.0, key=KEY), weight.dropped(0.9, min_rank=6, key=KEY)):
        assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(same), jax.tree.leaves(weight), strict=True))
    once, again = (compiled(lambda key: whole(weight.dropped(0.5, key=key)), KEY) for _ in range(2))
    np.testing.assert_array_equal(once, again)
    last = lambda key: jax.vmap(lambda key: whole(weight.dropped(1 - 1e-9, key=key)))(jax.random.split(key, 20))
    last = compiled(last, KEY)
    assert np.all(np.any(last != 0, axis=(1, 2, 3, 4)))  # one index at least is kept
    assert np.linalg.matrix_rank(last[0].reshape(25, 36)) == 1


def test_rescaled_dropout_keeps_the_mean(compiled):
    """Acceptance 7: within three standard errors; the choices that would leave nothing have a chance of 2 in a million."""

    def outputs(key):
        weight, c = spectral_weight("cp", (4, 4, 3), 12, deviation=1.0, key=key), jax.random.normal(key, (2, 3, 1, 4))
        dropped = lambda key, **options: weight.dropped(1 / 3, **options, key=key).contract(c)
        rescaled = jax.vmap(lambda key: dropped(key, rescale=True))(jax.random.split(key, 4000))
        return weight.contract(c), rescaled, jax.vmap(dropped)(jax.random.split(key, 500))

    whole, draws, plain = compiled(outputs, KEY)
    score = abs(draws.mean(0) - whole) / (draws.std(0) / len(draws) ** 0.5)
    assert score.max() < 3
    assert np.linalg.norm(plain.mean(0) - whole) > 0.2 * np.linalg.norm(whole)


@pytest.mark.parametrize("form", FORMS)
def test_fewer_modes_are_the_center_of_the_reconstruction(form, compiled):
    """Acceptance 6."""

    def outputs(key):
        options = {"max_n_modes": (8, 8), "factorization": form, "rank": 0.4, "bias": False}
        conv = SpectralConv(4, 3, (5, 4), **options, key=key)
        u = jax.random.normal(key, (4, 12, 10))
        dense = SpectralConv(4, 3, (5, 4), max_n_modes=(8, 8), bias=False, key=key)
        dense = eqx.tree_at(lambda c: c.weight, dense, conv.dense_weight())
        center = SpectralConv(4, 3, (5, 4), bias=False, key=key)
        center = eqx.tree_at(lambda c: c.weight, center, tuple(part[2:7, :3] for part in conv.dense_weight()))
        return [layer(u) for layer in (conv, dense, center)], [layer(u[:, :4, :3]) for layer in (conv, dense)]

    (found, *others), (coarse, coarse_by_dense) = compiled(outputs, KEY)
    for other in others:
        np.testing.assert_allclose(found, other, atol=1e-12)
    np.testing.assert_allclose(coarse, coarse_by_dense, atol=1e-12)


@pytest.mark.parametrize(
    "form, rank, fixed, words",
    [
        ("cpp", 0.1, (), "factorization must be one of .*'cp'"),
        ("cp", 0.0, (), "rank must be a ratio above 0 and at most 1"),
        ("cp", float("inf"), (), "rank must be a ratio above 0 and at most 1"),
        ("tt", 1.5, (), "rank must be a ratio above 0 and at most 1"),
        ("tucker", (4, 4, 4), (), "exceed the sizes"),
        ("cp", (2, 2), (), "rank of cp must be a ratio up to 1, one positive integer, got"),
        ("tucker", (2, 2), (), "rank of tucker must be .* or 3 of them"),
        ("tucker", 0, (), "rank of tucker must be"),
        ("tt", (2, 2, 2, 2), (), "must begin and end with 1"),
        ("tucker", 0.1, (3,), "fixed_rank_modes must be numbers from 0 to 2"),
        ("tt", 0.1, (0,), "fixed_rank_modes is for factorization='tucker', not 'tt'"),
    ],
)
def test_ranks_that_cannot_be(form, rank, fixed, words):
    with pytest.raises(ConfigError, match=words):
        spectral_weight(form, (4, 4, 3), rank, fixed_rank_modes=fixed, deviation=1.0, key=KEY)


def test_another_implementation_is_refused():
    with pytest.raises(ConfigError, match="implementation must be one of 'factorized', 'reconstructed', got 'dense'"):
        SpectralConv(4, 4, (4,), factorization="cp", rank=0.5, implementation="dense", key=KEY)


def test_a_shared_weight_must_be_given():
    conv = SpectralConv(4, 4, (4,), shared=True, key=KEY)
    for call in (lambda: conv(jnp.ones((4, 8))), conv.dense_weight):
        with pytest.raises(ModelInputError, match="no weight of its own"):
            call()
