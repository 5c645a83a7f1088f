import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.models import (
    DeepONet,
    Normalized,
    automatic_micro_batch,
    build,
    count_parameters,
    refused_grid,
    spec_of,
    trainable,
)
from neuralop_jax.models._deeponet import MULTI_OUTPUTS
from neuralop_jax.normalizers import GaussianNormalizer, IdentityNormalizer

KEY = jax.random.key(0)


def small(**options):
    defaults = {"in_channels": 2, "out_channels": 1, "sensors": (5, 4), "width": 6, "num_basis": 3}
    defaults |= {"branch_hidden": (6,), "trunk_hidden": (6,)}
    return DeepONet(**{**defaults, **options}, key=KEY)


BATCHED = eqx.filter_jit(lambda model, u, y: model.batched(u, y=y))
SINGLE = eqx.filter_jit(lambda model, u, y: model(u, y=y))


def together(model, u, y=None):
    return np.asarray(BATCHED(model, jnp.asarray(u), None if y is None else jnp.asarray(y)))


def run(model, u, y=None):
    return np.asarray(SINGLE(model, jnp.asarray(u), None if y is None else jnp.asarray(y)))


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape)


def uniform(*shape):
    return np.random.default_rng(1).uniform(size=shape)


def moved(model):
    """The model with biases off zero."""
    waves = lambda a: jnp.asarray(np.asarray(a) + (0.1 * np.sin(np.arange(a.size)).reshape(a.shape)).astype(a.dtype))
    return jax.tree.map(lambda a: waves(a) if eqx.is_array(a) else a, model)


def test_count_of_the_published_burgers_network():
    """Acceptance 1."""
    assert count_parameters(DeepONet(in_channels=1, out_channels=1, sensors=(128,), periodic_features=2, key=KEY)) == 99_713


@pytest.mark.parametrize("multi_output", MULTI_OUTPUTS)
def test_layouts_agree_in_value_and_gradient(multi_output):
    """Acceptance 2: shared points, points of each function, aligned pairs and single calls give the same numbers."""
    model = moved(small(out_channels=2, multi_output=multi_output))
    u, y = jnp.asarray(normal(3, 2, 5, 4)), jnp.asarray(uniform(7, 2))
    order = np.array([4, 0, 6])

    def aligned(model):
        pairs = model.batched(jnp.repeat(u, 7, 0), y=jnp.tile(y, (3, 1))[:, None])
        return jnp.moveaxis(pairs.reshape(3, 7, 2), 1, 2)

    @eqx.filter_jit
    def every(model):
        ways = (
            lambda m: m.batched(u, y=y),
            aligned,
            lambda m: m.batched(u, y=jnp.broadcast_to(y, (3, 7, 2))),
            lambda m: jax.vmap(lambda v: m(v, y=y))(u),
        )
        gradients = [eqx.filter_grad(lambda m, way=way: jnp.sum(jnp.sin(way(m))))(model) for way in ways[:2]]
        return [way(model) for way in ways], gradients, model.batched(u, y=y[order])

    (product, *others), gradients, chosen = every(model)
    for other in others:
        np.testing.assert_allclose(other, product, atol=1e-12)
    for a, b in zip(*map(jax.tree.leaves, gradients), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-11)
    np.testing.assert_allclose(chosen, product[..., order], atol=1e-12)


def test_queries_left_out_are_the_points_of_the_sensors():
    model, u = small(), normal(2, 5, 4)
    points = np.stack(np.meshgrid(np.linspace(0, 1, 5), np.linspace(0, 1, 4), indexing="ij"), -1).reshape(-1, 2)
    np.testing.assert_allclose(run(model, u).reshape(1, -1), run(model, u, points), atol=1e-12)
    open_ended = small(endpoint=False)
    np.testing.assert_allclose(run(open_ended, u).reshape(1, -1), run(model, u, points * [0.8, 0.75]), atol=1e-12)
    assert small(periodic_features=1).endpoint is False


def test_output_is_linear_in_the_branch_and_of_rank_p():
    """Acceptance 3."""
    model = moved(small())
    last = lambda m: (m.branches[0].network.layers[-1].weight, m.branches[0].network.layers[-1].bias)
    u, y, bias = normal(20, 2, 5, 4), uniform(30, 2), np.asarray(model.bias)[0]
    free = together(model, u, y)[:, 0] - bias
    scaled = eqx.tree_at(last, model, [jnp.asarray(-2.5 * np.asarray(leaf)) for leaf in last(model)])
    np.testing.assert_allclose(together(scaled, u, y)[:, 0] - bias, -2.5 * free, atol=1e-12)
    singular = np.linalg.svd(free, compute_uv=False)
    assert np.all(singular[:3] > 1e-3) and np.all(singular[3:] < 1e-12)


@pytest.mark.parametrize(("scaling", "factor"), [("none", 1), ("mean", 1 / 3), ("sqrt", 3**-0.5)])
def test_scaling(scaling, factor):
    u = normal(2, 5, 4)
    np.testing.assert_allclose(run(small(scaling=scaling), u), factor * run(small(), u), atol=1e-12)


def test_dirichlet_boundary_is_exactly_zero():
    """Acceptance 5."""
    y = np.random.default_rng(0).uniform(size=(40, 2))
    y[:20, 0], y[20:, 1] = np.repeat([0, 1], 10), np.repeat([0, 1], 10)
    for dtype in (jnp.float64, jnp.float32):
        model, u = moved(small(boundary_condition="dirichlet")), normal(3, 2, 5, 4).astype(dtype)
        assert np.all(together(model, u, y.astype(dtype)) == 0)
        field = together(model, u)[:, 0]
        assert all(np.all(edge == 0) for edge in (field[:, 0], field[:, -1], field[:, :, 0], field[:, :, -1]))
        assert np.all(field[:, 1:-1, 1:-1] != 0)
    inside = uniform(3, 6, 2)
    free = moved(small())
    factor = 16 * np.prod(inside * (1 - inside), -1)[:, None]
    model, u = moved(small(boundary_condition="dirichlet")), normal(3, 2, 5, 4)
    np.testing.assert_allclose(together(model, u, inside), factor * together(free, u, inside), atol=1e-12)


def test_output_affine_is_that_of_the_training_outputs():
    targets = np.random.default_rng(0).normal(2, 3, (9, 1, 5, 4))
    targets[:, :, 0] = 7.0
    model, u = small(output_affine=True), normal(2, 5, 4)
    fitted = model.fit_outputs([targets[:4], targets[4:]])
    np.testing.assert_allclose(run(fitted, u), targets.std(0) * run(small(), u) + targets.mean(0), atol=1e-12)
    assert np.all(run(fitted, u)[:, 0] == 7.0)
    assert small().fit_outputs(iter([])).affine is None
    assert count_parameters(fitted) == count_parameters(small())
    with pytest.raises(ModelInputError, match=r"on their 5 x 4 points only; it got query points y \(3, 2\)"):
        fitted(jnp.asarray(u), y=jnp.ones((3, 2)))


@pytest.mark.parametrize(
    ("blocks", "said"),
    [
        ([np.ones((5, 1, 12))], r"mean and deviation from outputs \(1, 5, 4\), got \(1, 12\)"),
        ([], r"from outputs \(1, 5, 4\), got no sample"),
        ([np.ones((0, 1, 5, 4))], "got no sample"),
    ],
)
def test_outputs_that_do_not_fit_are_refused(blocks, said):
    with pytest.raises(ConfigError, match=said):
        small(output_affine=True).fit_outputs(blocks)


def test_periodic_features_make_the_output_periodic():
    model, u, y = small(periodic_features=2), normal(2, 5, 4), uniform(9, 2)
    np.testing.assert_allclose(run(model, u, y + [[1.0, -2.0]]), run(model, u, y), atol=1e-12)


@pytest.mark.parametrize(
    "options",
    [
        {"out_channels": 3, "multi_output": "split_trunk", "branch_hidden": (), "trunk_hidden": [4]},
        {"branch": "stacked", "out_channels": 2, "multi_output": "split_branch", "scaling": "sqrt"},
        {"branch": "cnn", "sensors": (9, 7), "branch_channels": (3,), "branch_activation": "relu"},
        {"branch_hidden": (5, 4), "branch_activation": ("relu", "gelu"), "periodic_features": 1, "output_affine": True},
    ],
    ids=lambda options: ",".join(options),
)
def test_every_option(options, compiled):
    """Builds from its specification and back, follows the type, maps over batches, and every parameter matters."""
    model = moved(small(**options))
    assert spec_of(build(spec_of(model), key=KEY)) == spec_of(model)
    u = jnp.asarray(normal(2, 2, *model.sensors))
    trained, rest = eqx.partition(model, trainable(model))

    def every(trained, u):
        gradient = jax.grad(lambda m: jnp.sum(eqx.combine(m, rest).batched(u) ** 2))(trained)
        model = eqx.combine(trained, rest)
        return model.batched(u), jax.vmap(lambda one: model(one))(u), gradient

    v, mapped, gradient = compiled(every, trained, u)
    np.testing.assert_allclose(mapped, v, atol=1e-12)
    assert v.shape == (2, model.out_channels, *model.sensors)
    for dtype, bound in ((jnp.float32, 1e-4), (jnp.bfloat16, 0.5)):
        low = together(model, np.asarray(u).astype(dtype))
        assert low.dtype == dtype and abs(low.astype(float) - v).max() < bound
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert np.any(leaf), jax.tree_util.keystr(path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"multi_output": "split"}, "multi_output must be one of"),
        ({"scaling": "p"}, "scaling must be one of"),
        ({"branch": "conv"}, "branch must be one of 'mlp', 'stacked', 'cnn'"),
        ({"branch": "cnn"}, r"needs more points per axis than the sensors \(5, 4\) have. Give fewer branch_channels"),
        ({"boundary_condition": "neumann"}, "boundary_condition must be one of"),
        ({"boundary_condition": "dirichlet", "output_affine": True}, "output_affine would move the zeros"),
        ({"branch_hidden": (4, 0)}, "every entry of branch_hidden must be an integer of at least 1, got 0"),
        ({"num_basis": 0}, "num_basis must be an integer of at least 1"),
        ({"sensors": (5, 0)}, "every entry of sensors must be an integer of at least 1, got 0"),
        ({"sensors": (-3,)}, "every entry of sensors must be an integer of at least 1, got -3"),
        ({"branch": "cnn", "branch_channels": (4, 0)}, "every entry of branch_channels must be an integer of at least 1, got 0"),
        ({"periodic_features": -1}, "periodic_features must be an integer of at least 0, got -1"),
        ({"num_dims": 1, "output_affine": True}, "num_dims 1 is not the number of axes .* 5 x 4 points only. Set num_dims to 2"),
        ({"branch_activation": ("relu", "relu")}, "has 2 activations, got 3"),
    ],
)
def test_options_that_cannot_be_are_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        small(**options)


def test_points_in_a_list_are_refused():
    with pytest.raises(ModelInputError, match="at least one, got list, no array"):
        small().check(jnp.ones((2, 5, 4)), None, [[0.5, 0.5]], None, batched=False)


@pytest.mark.parametrize(
    ("u", "others", "said"),
    [
        (jnp.ones((2, 10, 8)), {}, "reads its input at the 5 x 4 sensors it was built for, got 10 x 8 points. Subsample"),
        (jnp.ones((5, 4)), {}, "with 2 space axes"),
        (jnp.ones((2, 5, 4)), {"y": jnp.ones((0, 2))}, r"at least one, got shape \(0, 2\)"),
        (jnp.ones((2, 5, 4)), {"y": jnp.ones((3, 1))}, r"expects query points y \(points, 2\), got shape \(3, 1\)"),
        (jnp.ones((2, 5, 4)), {"p": jnp.ones(3)}, "no layer that reads parameters p"),
        (jnp.ones((2, 5, 4)), {"x": jnp.ones((20, 2))}, "no layer that reads points x"),
    ],
)
def test_wrong_calls_are_refused(u, others, said):
    with pytest.raises(ModelInputError, match=said) as caught:
        small()(u, **others)
    assert "\n" not in str(caught.value)


def test_wrong_batched_queries_and_missing_ones_are_refused():
    with pytest.raises(ModelInputError, match=r"y \(points, 2\) or \(3, points, 2\), got shape \(2, 7, 2\)"):
        small().batched(jnp.ones((3, 2, 5, 4)), y=jnp.ones((2, 7, 2)))
    with pytest.raises(ModelInputError, match="outputs on 2 axes and 1-dimensional points. Give the points y"):
        small(num_dims=1)(jnp.ones((2, 5, 4)))


def test_normalized_passes_queries_and_names_the_grid_that_is_refused():
    model = Normalized(small(), IdentityNormalizer(), GaussianNormalizer(jnp.asarray([5.0]), jnp.asarray([2.0])))
    u, y = normal(3, 2, 5, 4), uniform(7, 2)
    np.testing.assert_allclose(together(model, u, y), 5 + 2 * together(small(), u, y), atol=1e-12)
    assert refused_grid(model, (5, 4)) is None
    assert refused_grid(model, (8, 8)) == "DeepONet reads its input at 5 x 4 fixed sensors, not on 8 x 8 points"
    assert automatic_micro_batch(small(width=4096), (512, 512), 20) == 20
