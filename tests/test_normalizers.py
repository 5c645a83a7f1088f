import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.errors import ConfigError, DataError, ModelInputError
from neuralop_jax.normalizers import (
    NORMALIZERS,
    GaussianNormalizer,
    IdentityNormalizer,
    RangeNormalizer,
    RMSNormalizer,
    fit_normalizer,
    normalizer_from_json,
)

KINDS = tuple(NORMALIZERS)


@pytest.fixture
def fields():
    """Three channels of very different scales, one of them constant."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(50, 4, 6, 7))
    values *= np.array([1.0, 1e-12, 1e6, 0.0]).reshape(4, 1, 1)
    return values + np.array([0.5, 3e-12, -1e8, 5.0]).reshape(4, 1, 1)


def cut(values, *sizes):
    return np.split(values, np.cumsum(sizes))


def test_statistics_are_those_of_numpy(fields):
    gaussian, rms, limits = (fit_normalizer(kind, [fields]) for kind in ("gaussian", "rms", "range"))
    np.testing.assert_allclose(gaussian.mean, fields.mean((0, 2, 3)), rtol=1e-13)
    np.testing.assert_allclose(gaussian.std, fields.std((0, 2, 3)), rtol=1e-10, atol=0)
    np.testing.assert_allclose(rms.rms, np.sqrt((fields**2).mean((0, 2, 3))), rtol=1e-13)
    np.testing.assert_array_equal(limits.low, fields.min((0, 2, 3)))
    np.testing.assert_array_equal(limits.high, fields.max((0, 2, 3)))


@pytest.mark.parametrize("kind", KINDS)
def test_streaming_equals_the_whole(fields, kind):
    whole = fit_normalizer(kind, [fields])
    for batches in (cut(fields, 1, 7, 30), list(fields[:, None]), cut(fields[::-1], 49)):
        streamed = fit_normalizer(kind, iter(batches))
        for a, b in zip(jax.tree.leaves(streamed), jax.tree.leaves(whole), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)


def test_float32_data_are_summed_in_float64():
    values = (1000 + np.random.default_rng(0).normal(size=(400, 1, 50))).astype(np.float32)
    normalizer = fit_normalizer("gaussian", np.split(values, 100))
    np.testing.assert_allclose(normalizer.std, values.astype(np.float64).std(), rtol=1e-10)


def test_batches_of_other_grids(fields):
    normalizer = fit_normalizer("gaussian", [fields, fields[:, :, ::2, :3]])
    both = [np.concatenate([fields[:, c].ravel(), fields[:, c, ::2, :3].ravel()]) for c in range(4)]
    np.testing.assert_allclose(normalizer.std[:3], [b.std() for b in both[:3]], rtol=1e-10)


def test_normalized_values(fields):
    u = jnp.asarray(fields[3])
    mean, std = fields.mean((0, 2, 3))[:3], fields.std((0, 2, 3))[:3]
    normal = fit_normalizer("gaussian", [fields]).normalize(u)
    np.testing.assert_allclose(normal[:2], (fields[3, :2] - mean[:2, None, None]) / std[:2, None, None], rtol=1e-9)
    every = jax.vmap(fit_normalizer("range", [fields]).normalize)(jnp.asarray(fields))
    np.testing.assert_allclose([every[:, 0].min(), every[:, 0].max()], [-1, 1], rtol=1e-12)
    every = jax.vmap(fit_normalizer("rms", [fields]).normalize)(jnp.asarray(fields))
    np.testing.assert_allclose((every**2).mean((0, 2, 3)), 1, rtol=1e-12)
    np.testing.assert_array_equal(IdentityNormalizer().normalize(u), u)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_inverse_and_type(fields, kind, dtype):
    normalizer = fit_normalizer(kind, [fields])
    u = jnp.asarray(fields[3], dtype)
    normal = normalizer.normalize(u)
    back = normalizer.denormalize(normal)
    assert normal.dtype == back.dtype == dtype
    assert jnp.isfinite(normal).all()
    error = jnp.abs(back - u).max((1, 2)) / jnp.abs(u).max((1, 2))
    assert error.max() < (1e-6 if dtype == jnp.float32 else 1e-14)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [0.0, 5.0, -1e-9])
def test_constant_channels(kind, value):
    constant = np.full((10, 1, 8), value)
    normalizer = fit_normalizer(kind, [constant])
    for u in (jnp.full((1, 8), value), jnp.full((1, 8), value * 1.5)):
        assert jnp.isfinite(normalizer.normalize(u)).all()
        np.testing.assert_allclose(normalizer.denormalize(normalizer.normalize(u)), u, rtol=1e-6)


@pytest.mark.parametrize("kind", ["gaussian", "range", "rms"])
@pytest.mark.parametrize("unit", [1e-12, 1e9])
def test_normalized_values_do_not_depend_on_the_unit(fields, kind, unit):
    field, scaled = jnp.asarray(fields[0, :3]), jnp.asarray(fields[0, :3] * unit)
    here = fit_normalizer(kind, [fields[:, :3]]).normalize(field)
    there = fit_normalizer(kind, [fields[:, :3] * unit]).normalize(scaled)
    np.testing.assert_allclose(there, here, rtol=1e-7, atol=1e-9)


def test_other_grids_and_dimensions():
    normalizer = GaussianNormalizer(mean=jnp.array([1.0, 2.0]), std=jnp.array([2.0, 4.0]))
    for shape in ((3,), (5, 4), (2, 3, 4)):
        u = jnp.stack([jnp.full(shape, 3.0), jnp.full(shape, 10.0)])
        np.testing.assert_array_equal(normalizer.normalize(u), jnp.stack([jnp.full(shape, 1.0), jnp.full(shape, 2.0)]))


def test_jit_vmap_and_derivative():
    normalizer = RangeNormalizer(jnp.array([-1.0]), jnp.array([3.0]))
    u = jnp.linspace(-1, 3, 12).reshape(3, 1, 4)
    batched = eqx.filter_jit(lambda n, u: jax.vmap(n.normalize)(u))(normalizer, u)
    np.testing.assert_allclose(batched.ravel(), np.linspace(-1, 1, 12), atol=1e-15)
    np.testing.assert_allclose(jax.grad(lambda u: normalizer.normalize(u).sum())(u[0]), 0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_json_round_trip_is_exact(fields, kind):
    normalizer = fit_normalizer(kind, [fields])
    again = normalizer_from_json(json.loads(json.dumps(normalizer.to_json())))
    assert eqx.tree_equal(again, normalizer)
    assert again.kind == kind


def test_wrong_channels_are_refused():
    normalizer = RMSNormalizer(jnp.ones(3))
    for u in (jnp.ones((8, 3, 4)), jnp.ones((4, 4))):
        with pytest.raises(ModelInputError, match="RMSNormalizer has statistics of 3 channels, got a field of shape"):
            normalizer.normalize(u)


def test_refusals(fields):
    with pytest.raises(ConfigError, match="Did you mean 'gaussian'"):
        fit_normalizer("gausian", [fields])
    with pytest.raises(DataError, match="no batch"):
        fit_normalizer("rms", [])
    with pytest.raises(DataError, match=r"\(samples, 4, \*space\), got shape \(50, 2, 6, 7\)"):
        fit_normalizer("rms", [fields, fields[:, :2]])
    with pytest.raises(DataError, match=r"\(samples, channels, \*space\), got shape \(3,\)"):
        fit_normalizer("rms", [np.ones(3)])
    fields[1, 0, 0, 0] = np.nan
    with pytest.raises(DataError, match="1 non-finite"):
        fit_normalizer("rms", [fields])


def test_fit_sees_the_training_split_only(tmp_path):
    """Statistics stay the same to the bit when every other split changes."""
    from neuralop_jax.data import HDF5Dataset, write_hdf5
    from neuralop_jax.grids import Grid
    from neuralop_jax.info import DatasetInfo, FieldInfo, SplitInfo

    rng = np.random.default_rng(0)
    splits = {"train": SplitInfo(8, Grid((16,))), "test": SplitInfo(4, Grid((16,)))}
    info = DatasetInfo("a", "A", (FieldInfo("u"),), splits)
    train, fitted = rng.normal(size=(8, 16)), []
    for number in range(2):
        path = tmp_path / f"{number}.h5"
        write_hdf5(path, info, {"train": {"u": train}, "test": {"u": rng.normal(size=(4, 16)) + 100 * number}})
        dataset = HDF5Dataset(path, "train", "u", "u")
        fitted.append(fit_normalizer("gaussian", (sample.target[None] for sample in dataset)))
    assert eqx.tree_equal(*fitted)
    np.testing.assert_allclose(fitted[0].mean, train.mean(), rtol=1e-6)
