import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax import losses, metrics


@pytest.mark.parametrize(
    ("k", "k_max", "weight"), [(3, 20, 10), (25, 20, 1), (19, 20, 362), (20, 20, 1), (25, None, 626), (3, 3, 1)]
)
def test_weights_of_single_modes(k, k_max, weight):
    """Acceptance 11 of MgNO: cos(2 pi k x) has the weight sqrt(1 + k^2) below the largest wavenumber, and 1 from there on."""
    x = np.arange(64) / 64
    wave = jnp.asarray(np.sqrt(2) * np.cos(2 * np.pi * k * x))[None]
    one = jnp.ones((1, 64))
    np.testing.assert_allclose(metrics.truncated_h1(one + wave, one, k_max=k_max), np.sqrt(weight), rtol=1e-12)
    np.testing.assert_allclose(losses.truncated_h1(wave + one, wave, k_max=k_max), 1 / np.sqrt(weight), rtol=1e-12)


def test_every_axis_is_truncated_by_itself():
    x = np.arange(64) / 64
    wave = jnp.asarray(np.cos(2 * np.pi * (4 * x[:, None] + 30 * x[None, :])))
    fields, one = jnp.stack([wave, jnp.zeros_like(wave)]), jnp.ones((2, 64, 64))
    np.testing.assert_allclose(metrics.truncated_h1(one + fields, one), [np.sqrt(17 / 2), 0], rtol=1e-12)
    np.testing.assert_allclose(metrics.truncated_h1(one + fields, one, joint=True), [np.sqrt(17 / 4)], rtol=1e-12)


@pytest.mark.parametrize(("k_max", "number"), [(20, 1.4060098667569794), (None, 1.414904918408533)])
def test_numbers_of_the_original(k_max, number):
    """`HsLoss(d=2, p=2, k=1, truncation=..., res=64)` of MgNO, whose weights are in single precision."""
    x, y = (jnp.asarray(np.sin(a * np.arange(64.0 * 64) ** 2).reshape(1, 64, 64)) for a in (0.37, 0.81))
    np.testing.assert_allclose(losses.truncated_h1(x, y, k_max=k_max), number, rtol=1e-7)
    assert losses.truncated_h1(x.astype(jnp.bfloat16), y.astype(jnp.bfloat16), k_max=k_max).dtype == jnp.float32
