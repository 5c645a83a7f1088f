"""Latent ODE: closed forms of its loss, what masks hide, and that it learns an oscillation."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.layers import LatentODE, annealing, union_of_times


def series(getkey, **options):
    options = {"solver": "heun", "step": 0.25, "max_steps": 16} | options
    return LatentODE(channels=1, latent=3, width=8, key=getkey(), **options)


def test_the_union_of_times_keeps_every_value_once():
    ts, values, observed = union_of_times([[0.0, 0.5], [0.2, 0.5]], [[[1.0], [np.nan]], [[3.0], [4.0]]])
    assert ts.tolist() == [0.0, 0.2, 0.5]
    assert values[..., 0].tolist() == [[1, 0, 0], [0, 3, 4]]
    assert observed[..., 0].tolist() == [[True, False, False], [False, True, True]]


@pytest.mark.parametrize(
    ("times", "values", "message"),
    [
        ([[0.0, 0.0]], [[[1.0], [2.0]]], "one value per time"),
        ([], [], "of some series, got 0 and 0"),
        ([[0.0], [1.0]], [[[1.0]], [[1.0, 2.0]]], r"series 1 needs values .*got shape \(1, 2\)"),
        ([[0.0]], [[1.0]], r"series 0 needs values .*got shape \(1,\)"),
        ([[0.0, np.nan]], [[[1.0], [2.0]]], "series 0 needs a vector of finite times"),
        ([[0.0, 1.0]], [[[1.0], [np.inf]]], "got infinity in series 0"),
    ],
)
def test_what_is_no_series_has_no_union(times, values, message):
    with pytest.raises(ModelInputError, match=message):
        union_of_times(times, values)


def test_what_is_not_observed_changes_nothing(getkey):
    model = series(getkey)
    ts = jnp.asarray([0.0, 0.25, 0.5, 1.0])
    values = jnp.asarray([[1.0], [np.nan], [2.0], [0.5]])
    observed = jnp.asarray([[True], [False], [True], [False]])
    encode = jax.jit(lambda ts, values, observed: jnp.stack(model.encode(ts, values, observed)))
    short = encode(ts[::2], values[::2], observed[::2])
    assert jnp.allclose(encode(ts, values, observed), short) and jnp.isfinite(short).all()
    assert abs(encode(ts[::2], values[::2] + 1, observed[::2]) - short).max() > 1e-3
    slope = eqx.filter_jit(eqx.filter_grad(lambda m: m.loss(ts, values, observed, key=jax.random.key(1))))(model)
    assert all(jnp.isfinite(leaf).all() and abs(leaf).max() > 0 for leaf in jax.tree.leaves(slope))


def test_the_divergence_is_that_of_samples(getkey):
    path = eqx.filter_jit(series(getkey))(jnp.asarray([0.0, 1.0]), jnp.asarray([[1.0], [2.0]]))
    z = path.mean[None] + jnp.exp(path.log_std)[None] * jax.random.normal(getkey(), (20_000, 3))
    log_ratio = jax.scipy.stats.norm.logpdf(z, path.mean[None], jnp.exp(path.log_std)[None]) - jax.scipy.stats.norm.logpdf(z)
    draws = jnp.sum(log_ratio, axis=1)
    assert abs(path.divergence - draws.mean()) < 4 * draws.std() / np.sqrt(20_000)


def test_an_oscillation_is_learned_from_irregular_series(getkey):
    rng = np.random.default_rng(0)
    times = [np.sort(rng.choice(np.linspace(0, 2, 9), 5, replace=False)) for _ in range(8)]
    phases = rng.uniform(0, 2 * np.pi, 8)
    ts, values, observed = (
        jnp.asarray(x) for x in union_of_times(times, [np.sin(3 * t + p)[:, None] for t, p in zip(times, phases)])
    )
    model, optimizer = series(getkey), optax.adam(0.02)
    arrays, static = eqx.partition(model, eqx.is_array)

    def loss(arrays, key):
        losses = jax.vmap(lambda x, m, k: eqx.combine(arrays, static).loss(ts, x, m, key=k, weight=0.1))
        return jnp.mean(losses(values, observed, jax.random.split(key, 8)))

    def step(carry, key):
        arrays, state = carry
        value, gradient = jax.value_and_grad(loss)(arrays, key)
        updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(arrays, updates), state), value

    train = jax.jit(lambda carry, keys: jax.lax.scan(step, carry, keys)[1])
    history = train((arrays, optimizer.init(arrays)), jax.random.split(getkey(), 200))
    assert history[-20:].mean() < 0.25 * history[:5].mean()


def test_annealing_and_bad_input(getkey):
    assert annealing(5, start=5) == 0 and abs(annealing(105, rate=0.99, start=5) - (1 - 0.99**100)) < 1e-12
    with pytest.raises(ConfigError, match="at least 1"):
        LatentODE(channels=1, latent=0, width=4, key=getkey())
    with pytest.raises(ModelInputError, match="expects values"):
        series(getkey)(jnp.asarray([0.0, 1.0]), jnp.ones((2, 2)))
    with pytest.raises(ModelInputError, match="real floating values, got int64"):
        series(getkey)(jnp.asarray([0.0, 1.0]), jnp.ones((2, 1), int))
    with pytest.raises(ModelInputError, match="of a series must increase"):
        series(getkey)(jnp.asarray([1.0, 0.0]), jnp.ones((2, 1)))
    with pytest.raises(ConfigError, match="only_end"):
        series(getkey, only_end=True)
