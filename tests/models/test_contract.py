"""What is promised of every registered model, whichever it is."""

import functools
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from contract import CASES, KINDS, in_double, in_precision, inputs, model_of, waves

from neuralop_jax import checkpoint
from neuralop_jax.models import apply_batched, build, count_parameters, spec_of, trainable

pytestmark = pytest.mark.parametrize("kind", KINDS)
_single = jax.jit(lambda model, u: model(u))
_batched = jax.jit(lambda model, u: model.batched(u))


@functools.cache
def compiled_loss():
    """The mean squared error of the batched model and its gradient, with the weights apart from the rest."""

    def loss(weights, rest, u, target):
        return jnp.mean((eqx.combine(weights, rest).batched(u) - target) ** 2)

    return jax.jit(jax.value_and_grad(loss))


def targets(kind):
    """Smooth fields that have nothing to do with the inputs, in the shape of the model's output."""
    shape = jax.eval_shape(model_of(kind).batched, inputs(kind)).shape
    fields = waves(16)[::-1, 1:]
    return jnp.asarray(np.broadcast_to(fields[:, :, 0, :1] if CASES[kind].series else fields, shape))


def test_the_specification_builds_it_again(kind):
    model = model_of(kind)
    spec = json.loads(json.dumps(spec_of(model)))
    again = eqx.filter_eval_shape(lambda: build(spec, key=jax.random.key(1)))
    assert jax.tree.structure(again) == jax.tree.structure(model)
    assert spec_of(again) == spec and spec["in_channels"] == 2
    assert [leaf.shape for leaf in jax.tree.leaves(again)] == [leaf.shape for leaf in jax.tree.leaves(model)]
    assert eqx.tree_equal(in_double(build(spec, key=jax.random.key(0))), model)


def test_one_sample_mapped_and_batched_agree(kind):
    model, u = model_of(kind), inputs(kind)
    many = _batched(model, u)
    assert many.shape[:2] == (4, CASES[kind].out_channels) and np.isfinite(many).all()
    np.testing.assert_allclose(many, jax.jit(jax.vmap(lambda m, v: m(v), (None, 0)))(model, u), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(many[0], _single(model, u[0]), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(
        many, jax.jit(apply_batched, static_argnames="micro_batch")(model, u, micro_batch=2), rtol=1e-9, atol=1e-11
    )


def test_every_parameter_counts_and_gradients_are_those_of_finite_differences(kind):
    model, u, target = model_of(kind), inputs(kind), targets(kind)
    weights, rest = eqx.partition(model, trainable(model))
    # Away from the initial values, where some are zero and hide others.
    rng = np.random.default_rng(3)
    weights = jax.tree.map(lambda leaf: np.asarray(leaf) + 0.05 * rng.standard_normal(leaf.shape), weights)
    loss = compiled_loss()
    value, gradient = loss(weights, rest, u, target)
    gradient = jax.tree.map(np.asarray, gradient)
    dead = [jax.tree_util.keystr(path) for path, leaf in jax.tree_util.tree_leaves_with_path(gradient) if not np.any(leaf)]
    assert not dead
    norm, step = np.sqrt(sum(np.sum(leaf**2) for leaf in jax.tree.leaves(gradient))), 1e-6
    moved = lambda size: loss(jax.tree.map(lambda w, g: w + size / norm * g, weights, gradient), rest, u, target)[0]
    np.testing.assert_allclose((moved(step) - moved(-step)) / (2 * step), norm, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_type_follows_the_input(kind, dtype):
    model, u = model_of(kind), inputs(kind)[0]
    exact = np.asarray(_single(model, u))
    rough = _single(in_precision(model, np.float32), u.astype(dtype))
    assert rough.dtype == dtype
    error = np.linalg.norm(np.asarray(rough, float) - exact) / np.linalg.norm(exact)
    assert error < {"float32": 2e-5, "bfloat16": 0.08}[dtype]


def test_it_is_saved_and_loaded_to_the_bit(kind, tmp_path):
    model, u = model_of(kind), inputs(kind)
    checkpoint.save_model(tmp_path / "saved", model)
    loaded = checkpoint.load(tmp_path / "saved")
    assert spec_of(loaded) == spec_of(model) and eqx.tree_equal(loaded, model)
    np.testing.assert_array_equal(_batched(loaded, u), _batched(model, u))


def test_two_resolutions_agree_on_band_limited_input(kind):
    model, bound = model_of(kind), CASES[kind].resolution
    assert (model.resolution.kind == "none") == (bound is None) and len(model.resolution.reason) > 20
    if bound is None:  # the refusal or the difference is shown by the model's own tests
        return
    coarse, fine = (np.asarray(_batched(model, inputs(kind, points))) for points in (16, 32))
    error = np.linalg.norm(fine[..., ::2, ::2] - coarse) / np.linalg.norm(coarse)
    assert error < bound


def test_it_learns_four_samples_by_heart(kind):
    model, u, target = model_of(kind), inputs(kind), targets(kind)
    weights, rest = eqx.partition(model, trainable(model))
    optimizer, loss = optax.adam(optax.cosine_decay_schedule(1e-2, 300)), compiled_loss()
    update = jax.jit(lambda g, s, w: (lambda u, s: (optax.apply_updates(w, u), s))(*optimizer.update(g, s, w)))
    state, first = optimizer.init(weights), None
    for _ in range(100):
        value, gradient = loss(weights, rest, u, target)
        first = value if first is None else first
        weights, state = update(gradient, state, weights)
    assert value < 0.1 * first


def test_it_counts_its_parameters(kind):
    model = model_of(kind)
    assert count_parameters(model) == sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(model, trainable(model))))
    assert count_parameters(model) > 0
