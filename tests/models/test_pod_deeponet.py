import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax import checkpoint
from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.models import PODDeepONet, build, count_parameters, pod_modes, spec_of, trainable

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)


def small(**options):
    defaults = {"in_channels": 1, "out_channels": 2, "sensors": (6, 5), "width": 4, "num_modes": 3}
    return PODDeepONet(**{**defaults, **options}, key=KEY)


def fields(samples, rank, seed=0):
    """Fields `(samples, 2, 6, 5)` around a mean, with as many directions as `rank` in each channel."""
    rng = np.random.default_rng(seed)
    return np.einsum("ncr,crxy->ncxy", rng.normal(size=(samples, 2, rank)), rng.normal(size=(2, rank, 6, 5))) + 3.0


def test_modes_are_the_eigenvectors_of_the_covariance_and_orthonormal():
    """Acceptance 4."""
    targets = fields(12, 8)
    mean, modes = pod_modes(targets, 5)
    np.testing.assert_allclose(mean, targets.mean(0), atol=1e-12)
    for c in range(2):
        flat = modes[c].reshape(5, 30)
        np.testing.assert_allclose(flat @ flat.T / 30, np.eye(5), atol=1e-12)
        y = (targets[:, c] - targets[:, c].mean(0)).reshape(12, 30)
        values, vectors = np.linalg.eigh(y.T @ y / 11)
        published = np.fliplr(vectors)[:, :5] * 30**0.5
        np.testing.assert_allclose(np.abs(flat @ published) / 30, np.eye(5), atol=1e-9)


def test_error_with_exact_coefficients_is_the_tail_of_the_singular_values():
    """Acceptance 4: and nothing is left with as many modes as the rank."""
    targets = fields(12, 4)
    for number in (2, 4):
        mean, modes = pod_modes(targets, number)
        coefficients = np.einsum("ncxy,ckxy->nck", targets - mean, modes) / 30
        rest = targets - mean - np.einsum("nck,ckxy->ncxy", coefficients, modes)
        for c in range(2):
            singular = np.linalg.svd((targets - mean)[:, c].reshape(12, 30), compute_uv=False)
            np.testing.assert_allclose(np.linalg.norm(rest[:, c]), np.linalg.norm(singular[number:]), atol=1e-10)
    assert np.linalg.norm(rest) < 1e-6 * np.linalg.norm(targets)


def test_output_is_the_mean_and_the_scaled_modes():
    """The coefficients of a branch whose last map is a constant, and the division by the number of modes."""
    targets = fields(12, 6)
    mean, modes = pod_modes(targets, 3)
    last = lambda m: (m.branch_network.network.layers[-1].weight, m.branch_network.network.layers[-1].bias)
    wanted = np.arange(6.0).reshape(2, 3)
    u = jnp.ones((4, 1, 6, 5))
    for scaling, factor in (("mean", 1 / 3), ("none", 1.0), ("sqrt", 3**-0.5)):
        model = small(scaling=scaling).fit_outputs([targets[:7], targets[7:]])
        model = eqx.tree_at(last, model, (jnp.zeros((6, 4)), jnp.asarray(wanted.ravel())))
        value = mean + factor * np.einsum("ck,ckxy->cxy", wanted, modes)
        np.testing.assert_allclose(model.batched(u), np.broadcast_to(value, (4, *value.shape)), atol=1e-10)


def test_modes_are_saved_and_not_trained(tmp_path):
    model = small(num_basis=2).fit_outputs([fields(12, 6)])
    assert not any(jax.tree.leaves(trainable(model).modes))
    assert count_parameters(model) == count_parameters(small(num_basis=2))
    assert spec_of(build(spec_of(model), key=KEY)) == spec_of(model)
    checkpoint.save_model(tmp_path / "saved", model)
    loaded, u = checkpoint.load(tmp_path / "saved"), jax.random.normal(KEY, (1, 6, 5))
    assert jnp.array_equal(loaded.modes.modes, model.modes.modes) and jnp.array_equal(loaded(u), model(u))


@pytest.mark.parametrize("options", [{}, {"num_basis": 2}, {"branch": "cnn", "branch_channels": (2,)}])
def test_every_parameter_matters_and_batches_are_samples(options):
    model, u = small(**options), jax.random.normal(KEY, (3, 1, 6, 5))
    gradient = eqx.filter_jit(eqx.filter_grad(lambda m: jnp.sum(m.batched(u) ** 2)))(model)
    assert all(jnp.any(leaf != 0) for leaf in jax.tree.leaves((gradient.branch_network, gradient.trunk, gradient.bias)))
    np.testing.assert_allclose(model.batched(u), jax.vmap(model)(u), atol=1e-12)
    assert model.batched(u.astype(jnp.bfloat16)).dtype == jnp.bfloat16


def test_before_data_the_modes_are_cosines():
    modes = small(num_modes=30).modes.modes[0].reshape(30, 30)
    np.testing.assert_allclose(modes @ modes.T / 30, np.eye(30), atol=1e-12)
    np.testing.assert_allclose(modes[0], 1, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"num_basis": -1}, "num_basis must be an integer of at least 0, got -1"),
        ({"num_basis": 2, "num_dims": 0}, "num_dims must be an integer of at least 1, got 0"),
        ({"num_dims": 1, "num_basis": 2}, "num_dims 1 is not the number of axes .* 6 x 5 points only. Set num_dims to 2"),
        ({"num_dims": 2, "output_shape": (4,)}, "on 4 points only. Set num_dims to 1"),
        ({"output_shape": (4, 0)}, "every entry of output_shape must be an integer of at least 1, got 0"),
        ({"scaling": "p"}, "scaling must be one of 'none', 'mean', 'sqrt'"),
    ],
)
def test_options_that_cannot_be_are_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        small(**options)


def test_outputs_may_have_another_grid_than_the_sensors():
    model, u = small(sensors=(8,), output_shape=(4, 3), num_basis=2), jax.random.normal(KEY, (1, 8))
    assert model.num_dims == 2
    listed = small(sensors=(8,), output_shape=(12,), num_dims=2, num_basis=2)
    values = listed.modes.modes, listed.modes.mean
    listed = eqx.tree_at(lambda m: m.modes, listed, jax.tree.map(lambda a: a.reshape(*a.shape[:-2], 12), model.modes))
    assert jax.tree.map(jnp.shape, values) == (listed.modes.modes.shape, listed.modes.mean.shape)
    y = jnp.stack(jnp.meshgrid(jnp.linspace(0, 1, 4), jnp.linspace(0, 1, 3), indexing="ij"), -1).reshape(12, 2)
    np.testing.assert_allclose(listed(u, y=y), model(u).reshape(2, 12), atol=1e-12)
    with pytest.raises(ModelInputError, match="outputs on 1 axes and 2-dimensional points. Give the points y"):
        listed(u)
    with pytest.raises(ModelInputError, match=r"got y \(5, 2\). Give the coordinates \(12, 2\) of these points, in their order"):
        listed(u, y=y[:5])


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="num_modes=13 modes cannot be had from 12 training samples of 30 points.* at most 12"):
        pod_modes(fields(12, 4), 13)
    with pytest.raises(ConfigError, match="num_modes=31 is more than the 30 points"):
        small(num_modes=31)
    with pytest.raises(ConfigError, match=r"takes its modes from outputs \(2, 6, 5\), got \(1, 6, 5\)"):
        small().fit_outputs([np.ones((4, 1, 6, 5))])
    with pytest.raises(ConfigError, match=r"takes its modes from outputs \(2, 6, 5\), got no sample"):
        small().fit_outputs([])
    with pytest.raises(ModelInputError, match=r"on their 6 x 5 points only; it got query points y \(4, 2\). Leave y out"):
        small()(jnp.ones((1, 6, 5)), y=jnp.ones((4, 2)))


def test_fields_that_are_not_finite_are_refused():
    fields = np.random.default_rng(0).normal(size=(5, 1, 8))
    fields[3, 0, 2] = np.inf
    with pytest.raises(ConfigError, match="1 of 5 have NaN or infinity, the first is sample 3"):
        pod_modes(fields, 2)
