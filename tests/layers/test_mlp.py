import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from neuralop_jax.errors import ConfigError
from neuralop_jax.layers import ACTIVATIONS, INITIALIZERS, MLP, StackedMLP, grid_points, periodic_features

KEY = jax.random.key(0)


def test_layers_are_affine_maps_with_the_activations_named(compiled):
    network = MLP((3, 5, 4), activations=("tanh", "sin"), key=KEY)
    v = np.random.default_rng(0).normal(size=(3, 7))
    first, second = jax.tree.map(np.asarray, network.layers)
    hidden = np.tanh(first.weight @ v + first.bias[:, None])
    out, one, inner = compiled(lambda v: (network(v), network(v[:, 2]), network.hidden(v)[0]), jnp.asarray(v))
    np.testing.assert_allclose(out, np.sin(second.weight @ hidden + second.bias[:, None]), atol=1e-12)
    np.testing.assert_allclose(inner, hidden, atol=1e-12)
    np.testing.assert_allclose(one, out[:, 2], atol=1e-12)
    plain = MLP((3, 5, 4), activations="tanh", key=KEY)
    assert plain.activations == ("tanh", "identity")


@pytest.mark.parametrize(
    ("name", "variance"),
    [
        ("glorot_normal", 2 / 400),
        ("glorot_uniform", 2 / 400),
        ("he_normal", 2 / 300),
        ("he_uniform", 2 / 300),
        ("lecun_normal", 1 / 300),
        ("lecun_uniform", 1 / 300),
        ("pytorch", 1 / 900),
    ],
)
def test_initial_weights_have_the_variance_of_their_name(name, variance):
    layer = MLP((300, 100), initializer=name, key=KEY).layers[0]
    assert layer.weight.shape == (100, 300) and abs(np.var(layer.weight) / variance - 1) < 0.05
    assert np.any(layer.bias) == (name == "pytorch")


def test_every_initializer_builds():
    for name in INITIALIZERS:
        weight = np.asarray(MLP((6, 4), initializer=name, key=KEY).layers[0].weight)
        if name == "orthogonal":
            np.testing.assert_allclose(weight @ weight.T, np.eye(4), atol=1e-12)
        assert (name == "zeros") == (not np.any(weight))


def test_stacked_networks_are_one_network_of_blocks(compiled):
    """Acceptance 2: side by side, the first maps stand above each other, later ones on the diagonal."""
    stacked = StackedMLP((5, 3, 4), activations="tanh", key=KEY)
    v, (first, second) = np.random.default_rng(0).normal(size=(5, 6)), jax.tree.map(np.asarray, stacked.networks.layers)
    assert first.weight.shape == (4, 3, 5) and second.weight.shape == (4, 1, 3)
    block = scipy.linalg.block_diag(*second.weight)
    hidden = np.tanh(first.weight.reshape(12, 5) @ v + first.bias.reshape(12, 1))
    np.testing.assert_allclose(compiled(stacked, jnp.asarray(v)), block @ hidden + second.bias, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("silu_sin", lambda x: (s := np.sin(np.pi * (x + 1))) / (1 + np.exp(-s)) + x),
        ("tanh_sin", lambda x: np.tanh(np.sin(np.pi * (x + 1))) + x),
        ("silu_id", lambda x: x / (1 + np.exp(-x)) + x),
        ("x_sin", lambda x: x * np.sin(x)),
    ],
)
def test_activations_of_multionet(name, wanted, compiled):
    x = np.linspace(-3, 3, 41)
    np.testing.assert_allclose(compiled(ACTIVATIONS[name], jnp.asarray(x)), wanted(x), atol=1e-12)
    assert jax.eval_shape(ACTIVATIONS[name], jnp.asarray([1.0, 1.0], jnp.bfloat16)).dtype == jnp.bfloat16


def test_periodic_features_are_those_of_the_published_script(compiled):
    y = np.random.default_rng(0).uniform(size=(2, 5))
    angle = 2 * np.pi * y
    wanted = np.concatenate([np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle)])
    for points in (y, y + 1):
        np.testing.assert_allclose(compiled(lambda y: periodic_features(y, 2), jnp.asarray(points)), wanted, atol=1e-12)


def test_points_of_a_grid():
    np.testing.assert_array_equal(grid_points((2, 3), endpoint=True), [[0, 0, 0, 1, 1, 1], [0, 0.5, 1, 0, 0.5, 1]])
    np.testing.assert_array_equal(grid_points((4,), endpoint=False), [[0, 0.25, 0.5, 0.75]])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"initializer": "glorot"}, "initializer must be one of .* Did you mean 'glorot_"),
        ({"activations": ("tanh",)}, "has 2 activations, got 1"),
        ({"activations": "tan"}, "activation must be one of"),
    ],
)
def test_what_cannot_be_is_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        MLP((2, 3, 4), **options, key=KEY)
