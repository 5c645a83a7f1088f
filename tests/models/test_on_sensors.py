"""What the operators with fixed sensors have in common."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from neuralop_jax.models import build

KEY = jax.random.key(0)
KINDS = {
    "deeponet": ({"width": 8}, lambda m: m.trunks[0].layers[0].weight),
    "multionet": ({"width": 8, "depth": 3, "sum_layers": 1}, lambda m: m.trunks[0].layers[0].weight),
    "pod_deeponet": ({"width": 8, "num_modes": 2, "num_basis": 8, "scaling": "none"}, lambda m: m.trunk.layers[0].weight),
}


@pytest.mark.parametrize("kind", KINDS)
def test_points_in_half_precision_are_told_apart(kind):
    """A trunk that changes fast shows it: bfloat16 has 385 coordinates for the 512 points, with which the output is another."""
    options, first = KINDS[kind]
    model = build({"kind": kind, "trunk_activation": "sin", **options}, key=KEY, in_channels=1, out_channels=1, sensors=(512,))
    model = eqx.tree_at(first, model, replace_fn=lambda w: 1000 * w)
    u, call = jax.random.normal(KEY, (1, 512), jnp.bfloat16), eqx.filter_jit(lambda m, u, y=None: m(u, y=y))
    y = jnp.linspace(0, 1, 512, dtype=jnp.float32)[:, None]
    exact, queried = call(model, u.astype(jnp.float32)), {} if kind == "pod_deeponet" else {"y": y}
    error = lambda v: jnp.linalg.norm(v.astype(jnp.float32) - exact) / jnp.linalg.norm(exact)
    for low in (call(model, u), call(model, u, **queried)):
        assert low.dtype == jnp.bfloat16 and error(low) < 0.03, error(low)
    rounded = model.evaluate(u[None].astype(jnp.float32), y.T.astype(jnp.bfloat16).astype(jnp.float32))
    assert error(rounded[0]) > 0.1, error(rounded[0])


@pytest.mark.parametrize("kind", KINDS)
def test_type_of_the_outputs_is_that_of_the_input_whatever_the_points_have(kind):
    options, _ = KINDS[kind]
    model = build({"kind": kind, **options}, key=KEY, in_channels=1, out_channels=1, sensors=(8,))
    field, points = jax.ShapeDtypeStruct((2, 1, 8), jnp.bfloat16), jax.ShapeDtypeStruct((1, 8), jnp.float32)
    assert jax.eval_shape(model.evaluate, field, points).dtype == jnp.bfloat16
