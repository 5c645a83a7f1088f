import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.errors import ConfigError
from neuralop_jax.models import DeepONet, MultiONet, build, count_parameters, spec_of

KEY = jax.random.key(0)


def small(**options):
    defaults = {"in_channels": 1, "out_channels": 1, "sensors": (7,), "width": 5, "depth": 4, "sum_layers": 3}
    return MultiONet(**{**defaults, **options}, key=KEY)


together = eqx.filter_jit(lambda model, u, y=None: model.batched(u, y=y))


@pytest.mark.parametrize(("depth", "count"), [(6, 114_206), (5, 94_005)])
def test_counts_of_the_published_networks(depth, count):
    """Acceptance 1."""
    model = MultiONet(in_channels=1, out_channels=1, sensors=(128,), num_dims=2, depth=depth, sum_layers=depth - 1, key=KEY)
    assert count_parameters(model) == count


def test_one_layer_is_a_deeponet_on_the_last_hidden_layers():
    """Acceptance 6."""
    model = small(sum_layers=1, omega_init=0.7)
    same = DeepONet(
        in_channels=1,
        out_channels=1,
        sensors=(7,),
        num_basis=5,
        branch_hidden=(5,) * 4,
        trunk_hidden=(5,) * 3,
        branch_activation="silu",
        trunk_activation="silu_sin",
        key=KEY,
    )
    last = lambda m: m.branches[0].network.layers
    layers = (*model.branches[0].layers, last(same)[-1])
    layers = eqx.tree_at(lambda ls: ls[-1].weight, layers, 0.7 * jnp.eye(5))
    same = eqx.tree_at(lambda m: (last(m), m.trunks[0].layers), same, (layers, model.trunks[0].layers))
    u = jax.random.normal(KEY, (3, 1, 7))
    np.testing.assert_allclose(together(model, u), together(same, u), atol=1e-12)


def test_reference_start_is_zero_and_moves_only_the_last_weights():
    """Acceptance 6."""
    model, u = small(omega_init=0.0), jax.random.normal(KEY, (3, 1, 7))
    assert jnp.all(together(model, u) == 0)
    gradient = eqx.filter_jit(eqx.filter_grad(lambda m: jnp.sum((m.batched(u) - 1) ** 2)))(model)
    assert jnp.all(gradient.head.omega != 0) and jnp.all(gradient.head.bias != 0)
    assert not any(jnp.any(leaf) for leaf in jax.tree.leaves((gradient.branches, gradient.trunks)))
    assert jnp.any(together(small(), u) != 0)


def test_hidden_units_can_be_permuted_in_both_networks():
    """Acceptance 6."""
    model, u = small(), jax.random.normal(KEY, (3, 1, 7))
    order = jnp.asarray([3, 1, 4, 0, 2])

    def permuted(layers):
        rows = [eqx.tree_at(lambda a: (a.weight, a.bias), a, (a.weight[order], a.bias[order])) for a in layers]
        return (rows[0], *(eqx.tree_at(lambda a: a.weight, a, a.weight[:, order]) for a in rows[1:]))

    networks = lambda m: (m.branches[0].layers, m.trunks[0].layers)
    other = eqx.tree_at(networks, model, [permuted(layers) for layers in networks(model)])
    np.testing.assert_allclose(together(other, u), together(model, u), atol=1e-12)


def test_sum_of_products_by_hand():
    model = small(omega_init=1.0)
    model = eqx.tree_at(lambda m: (m.head.omega, m.head.bias), model, (jnp.asarray([[1.0, -2.0, 0.5]]), jnp.asarray([0.3])))
    u, y = jax.random.normal(KEY, (1, 7)), jax.random.uniform(KEY, (6, 1))
    b, t = model.branches[0].hidden(u.T)[1:], model.trunks[0].hidden(y.T)[1:]
    wanted = sum(w * (bk[:, 0] @ tk) for w, bk, tk in zip([1.0, -2.0, 0.5], b, t, strict=True)) / 3 + 0.3
    np.testing.assert_allclose(model(u, y=y)[0], wanted, atol=1e-12)


@pytest.mark.parametrize("options", [{"out_channels": 2}, {"in_channels": 3, "out_channels": 2, "channelwise": True}])
def test_points_shared_and_of_each_function_agree(options):
    """Also: builds from its specification and back, and every parameter matters."""
    model = small(**options)
    assert spec_of(build(spec_of(model), key=KEY)) == spec_of(model)
    u, y = jax.random.normal(KEY, (3, model.in_channels, 7)), jax.random.uniform(KEY, (6, 1))
    shared = together(model, u, y)
    np.testing.assert_allclose(together(model, u, jnp.broadcast_to(y, (3, 6, 1))), shared, atol=1e-12)
    np.testing.assert_allclose(eqx.filter_jit(jax.vmap(lambda v: model(v, y=y)))(u), shared, atol=1e-12)
    gradient = eqx.filter_jit(eqx.filter_grad(lambda m: jnp.sum(m.batched(u, y=y) ** 2)))(model)
    assert all(jnp.any(leaf != 0) for leaf in jax.tree.leaves(gradient))


def test_dirichlet_boundary_is_exactly_zero():
    """Acceptance 5."""
    model, u = small(boundary_condition="dirichlet"), jax.random.normal(KEY, (3, 1, 7), jnp.float32)
    v = together(model, u)
    assert jnp.all(v[..., jnp.asarray([0, -1])] == 0) and jnp.all(v[..., 1:-1] != 0) and v.dtype == jnp.float32
    assert jnp.all(together(model, u, jnp.asarray([[[0.0]], [[1.0]], [[1.0]]])) == 0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sum_layers": 4}, "sum_layers must be less than depth, got 4 of 4 layers"),
        ({"branch_sizes": (5, 5, 5)}, "must have 4 entries, of which the last 3 agree"),
        ({"branch_sizes": (5, 5, 5, 6)}, "of which the last 3 agree"),
        ({"trunk_activation": "SiLU_Sin"}, "activation must be one of"),
        ({"boundary_condition": "periodic"}, "boundary_condition must be one of"),
        ({"sensors": [0]}, "every entry of sensors must be an integer of at least 1, got 0"),
        ({"num_dims": 0}, "num_dims must be an integer of at least 1, got 0"),
    ],
)
def test_options_that_cannot_be_are_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        small(**options)


def test_first_layers_may_have_other_sizes():
    model = small(branch_sizes=[9, 5, 5, 5], trunk_sizes=[3, 5, 5, 5])
    assert model.branches[0].layers[0].weight.shape == (9, 7) and model.trunks[0].layers[1].weight.shape == (5, 3)
