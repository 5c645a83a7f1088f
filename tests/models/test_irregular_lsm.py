import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.errors import ConfigError, ModelInputError
from neuralop_jax.layers import Deformation, patch_and_padding
from neuralop_jax.models import IrregularLSM, build as build_named, calibrate, count_parameters

OPTIONS = {"width": 8, "n_modes": (6, 4), "latent_shape": (8, 8), "num_scales": 2, "num_tokens": 2, "num_basis": 3}
KEY = jax.random.key(0)


def build(**options):
    return IrregularLSM(in_channels=1, out_channels=2, **OPTIONS | {"deformation_width": 4} | options, key=KEY)


def cloud(getkey, batch=3, points=20):
    return jax.random.normal(getkey(), (batch, 1, points)), jax.random.uniform(getkey(), (batch, points, 2))


@jax.jit
def evaluate(model, u, x, y=None, p=None):
    return model.batched(u, x=x, y=y, p=p)


def test_points_have_no_order_and_no_number(getkey):
    """The output moves with the points, and to give each point twice changes nothing."""
    model, (u, x) = build(), cloud(getkey)
    v, order = evaluate(model, u, x), np.random.default_rng(0).permutation(20)
    np.testing.assert_allclose(evaluate(model, u[..., order], x[:, order]), v[..., order], atol=1e-12)
    np.testing.assert_allclose(evaluate(model, jnp.tile(u, 2), jnp.tile(x, (1, 2, 1)), x), v, atol=1e-12)
    np.testing.assert_allclose(evaluate(model, u, x, x[:, :7]), v[..., :7], atol=1e-12)


def test_one_sample_is_one_of_many(getkey):
    model, (u, x) = build(num_parameters=3), cloud(getkey)
    p, shared = jax.random.normal(getkey(), (3, 3)), x[0]
    many = evaluate(model, u, shared, None, p)
    assert many.shape == (3, 2, 20)
    np.testing.assert_allclose(many, evaluate(model, u, jnp.broadcast_to(shared, x.shape), None, p), atol=1e-12)
    np.testing.assert_allclose(eqx.filter_jit(model)(u[1], x=shared, p=p[1]), many[1], atol=1e-12)
    assert jnp.any(jnp.abs(evaluate(model, u, shared, None, p[::-1]) - many) > 1e-6)


def test_a_field_is_its_values_at_the_points_of_its_grid(getkey):
    model, field = build(), jax.random.normal(getkey(), (2, 1, 5, 6))
    points = jnp.stack(jnp.meshgrid(jnp.arange(5) / 5, jnp.arange(6) / 6, indexing="ij"), -1).reshape(-1, 2)
    v = eqx.filter_jit(model.batched)(field)
    assert v.shape == (2, 2, 5, 6)
    np.testing.assert_allclose(v.reshape(2, 2, 30), evaluate(model, field.reshape(2, 1, 30), points), atol=1e-12)


def test_without_deformation_it_is_periodic_but_for_the_coordinates_of_the_output(getkey):
    model, (u, x) = build(deformation_width=0), cloud(getkey)
    np.testing.assert_allclose(evaluate(model, u, x + 1, x), evaluate(model, u, x), atol=1e-10)
    assert jnp.any(jnp.abs(evaluate(model, u, x, x + 1) - evaluate(model, u, x)) > 1e-6)


def test_the_deformation_by_its_formula(getkey):
    deformation = Deformation(8, num_parameters=2, key=KEY)
    x, p = jax.random.uniform(getkey(), (2, 5)), jax.random.normal(getkey(), (2,))
    away = np.asarray(x) - 1e-4
    seen = np.stack([*x, np.arctan2(away[1], away[0]), np.sqrt((away**2).sum(0))])
    angles = np.concatenate([[np.pi * row, 2 * np.pi * row] for row in seen])
    code = deformation.mix(p[:, None]) * np.ones((1, 5))
    v = np.concatenate([code, deformation.features(jnp.asarray(seen)), np.sin(angles), np.cos(angles)])
    for i, layer in enumerate(deformation.network.layers):
        v = layer.weight @ v + layer.bias[:, None]
        v = np.tanh(v) if i < 3 else v
    np.testing.assert_allclose(deformation(x, p), x * (1 + v), rtol=1e-12)


def test_batch_norms_are_calibrated_on_points(getkey):
    model, (u, x) = build(norm="batch"), cloud(getkey)
    calibrated = calibrate(model, [{"u": u, "x": x}])
    in_training = jax.jit(lambda m: m.batched(u, x=x, key=jax.random.split(KEY, 3)))(model)
    assert jnp.any(jnp.abs(evaluate(model, u, x) - in_training) > 1e-3)
    variance = calibrated.network.down[0].norms[0].variance.value
    assert jnp.all(variance != 1) and count_parameters(calibrated) == count_parameters(model)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"num_dims": 3}, "num_dims must be 2"),
        ({"n_modes": (10, 4)}, "must not be above latent_shape"),
        ({"n_modes": (8, 8)}, r"last of n_modes \(8, 8\) must be below that of latent_shape \(8, 8\)"),
        ({"deformation_width": 6}, "multiple of 4"),
        ({"deformation_width": -4}, "deformation_width must be an integer of at least 1, got -4"),
        ({"num_parameters": -1}, "num_parameters must be an integer of at least 1, got -1"),
        ({"num_heads": 0}, "num_heads must be an integer of at least 1, got 0"),
        ({"num_heads": 3}, "num_heads must divide the width 8"),
        ({"num_tokens": 0}, "num_tokens must be"),
        ({"num_basis": -1}, "num_basis must be"),
        ({"num_scales": 0}, "num_scales must be"),
        ({"num_scales": 13}, "num_scales must be at most 12"),
        ({"width": 0}, "width must be"),
        ({"projection_channels": 0}, "projection_channels must be"),
        ({"norm": "layer"}, "norm must be one of"),
        ({"frequencies": "all"}, "frequencies must be one of"),
        ({"latent_shape": (1, 8)}, "latent_shape must be"),
        ({"n_modes": (6, 0)}, "n_modes must be"),
        ({"deformation_width": 0, "num_parameters": 2}, "read by the deformation only"),
        ({"patch": (1, 2, 3)}, "patch must be one whole number"),
    ],
)
def test_options_that_do_not_fit(options, words):
    spec = {"kind": "irregular_lsm", "in_channels": 1, "out_channels": 2, **OPTIONS, "deformation_width": 4, **options}
    with pytest.raises(ConfigError, match=words) as caught:
        build_named(spec, key=KEY)
    assert "\n" not in str(caught.value)


def test_patches_that_do_not_fit_are_those_of_the_model_named():
    with pytest.raises(ModelInputError, match=r"^IrregularLSM: patches of \(9, 9\) points do not divide"):
        patch_and_padding((8, 8), 2, 9, 0, model="IrregularLSM")


def test_input_that_does_not_fit(getkey):
    model, (u, x) = build(), cloud(getkey)
    for kwargs, words in [
        ({"x": x[:, :7]}, r"points x \(20, 2\) or \(3, 20, 2\) for u \(3, 1, 20\), got shape \(3, 7, 2\)"),
        ({"x": x, "y": x[..., :1]}, r"points y \(points, 2\)"),
        ({"x": x, "p": jnp.ones((3, 1))}, "reads none"),
        ({}, "without the points"),
        ({"x": x, "y": x[:, :0]}, r"points y \(points, 2\)"),
    ]:
        with pytest.raises(ModelInputError, match=words):
            model.batched(u, **kwargs)
    with pytest.raises(ModelInputError, match="reads parameters p"):
        build(num_parameters=2).batched(u, x=x)
    with pytest.raises(ModelInputError, match="got list, no array"):
        model.check(u, [[0.0, 1.0]], None, None, batched=True)
