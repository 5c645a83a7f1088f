import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.errors import ModelInputError
from neuralop_jax.models import FNO, AbstractOperator, ClassicFNO, Normalized, apply_batched
from neuralop_jax.normalizers import GaussianNormalizer

KEY = jax.random.key(0)
together = eqx.filter_jit(lambda model, u, **inputs: model.batched(u, **inputs))
mapped = eqx.filter_jit(lambda model, u: jax.vmap(model)(u))


def draw(*shape):
    return np.random.default_rng(1).normal(size=shape)


OPTIONS = [
    {},
    {"transform": "fft"},
    {"n_modes": 4, "num_dims": 1},
    {"n_modes": (3, 4, 2), "max_n_modes": (4, 4, 4)},
    {"norm": "instance"},
    {"norm": "group", "preactivation": True},
    {"padding": (0.25, 0.5), "bypass": "convolution", "channel_mlp_bypass": "linear"},
    {"output_scaling": (2.0, (0.5, 1.5)), "stabilizer": "tanh"},
    {"separable": True, "channel_mlp": False, "repeat_activation": True, "norm": "group"},
    {"complex_data": True, "transform": "dft"},
    {"complex_data": True, "transform": "fft", "separable": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: ",".join(options) or "default")
def test_many_samples_at_once_are_the_samples_one_by_one(options):
    model = FNO(**{"in_channels": 2, "out_channels": 1, "n_modes": (6, 5), "width": 4, "depth": 2, "key": KEY} | options)
    u = draw(3, 2, *(9, 8, 7)[: model.num_dims])
    u = jnp.asarray(u + 1j * np.roll(u, 1, -1) if model.complex_data else u)
    np.testing.assert_allclose(together(model, u), mapped(model, u), atol=1e-12)


def test_each_sample_has_its_own_parameters():
    model = FNO(in_channels=1, out_channels=1, n_modes=(4,), width=4, depth=2, norm="adaptive", num_parameters=2, key=KEY)
    u, p = jnp.asarray(draw(3, 1, 9)), jnp.asarray(np.arange(6.0).reshape(3, 2))
    wanted = eqx.filter_jit(lambda model, u, p: jax.vmap(lambda u, p: model(u, p=p))(u, p))(model, u, p)
    np.testing.assert_allclose(together(model, u, p=p), wanted, atol=1e-12)


def test_gradients_are_those_of_the_mapped_model(compiled):
    model = FNO(in_channels=1, out_channels=1, n_modes=(6, 5), width=4, depth=2, padding=0.2, key=KEY)
    u = jnp.asarray(draw(4, 1, 9, 8))
    ways = lambda m: m.batched(u), lambda m: jax.vmap(m)(u)
    found, wanted = (compiled(eqx.filter_grad(lambda m, way=way: jnp.mean(way(m) ** 3)), model) for way in ways)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12 * max(1, abs(b).max()))


def test_portions_and_units():
    inner = ClassicFNO(in_channels=1, out_channels=2, n_modes=(4, 4), width=4, depth=2, norm="group", padding=3, key=KEY)
    model = Normalized(inner, GaussianNormalizer([1.0], [2.0]), GaussianNormalizer([0.0, 3.0], [1.0, 5.0]))
    u = jnp.asarray(draw(6, 1, 9, 8))
    wanted = mapped(model, u)
    for micro_batch in (0, 1, 4):  # portions of all, of one, and of three
        found = eqx.filter_jit(apply_batched)(model, u, micro_batch=micro_batch)
        np.testing.assert_allclose(found, wanted, atol=1e-12)


class Shift(AbstractOperator):
    """u plus the mean over the batch, plus noise, plus the parameter."""

    in_channels: int = 1
    out_channels: int = 1
    width: int = 1

    def __call__(self, u, *, x=None, y=None, p=None, key=None):
        return u + jax.lax.pmean(u.mean(), "batch") + jax.random.normal(key, ()) + p[0]


def test_an_operator_of_single_samples_is_mapped_over_the_batch(compiled):
    u, p, keys = np.arange(12.0).reshape(3, 1, 4), np.array([[10.0], [20.0], [30.0]]), jax.random.split(KEY, 3)
    noise = compiled(lambda keys: jnp.stack([jax.random.normal(k, ()) for k in keys]), keys)
    wanted = u + u.mean() + (noise + p[:, 0])[:, None, None]
    found = compiled(lambda u, p, keys: Shift().batched(u, p=p, key=keys), jnp.asarray(u), jnp.asarray(p), keys)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


@pytest.mark.parametrize(
    ("u", "words"),
    [
        (jnp.ones((3, 8, 8)), r"samples \(batch, channels=3, \*space\) with 2 space axes, got shape \(3, 8, 8\).* u\[None\]"),
        (jnp.ones((4, 8, 8, 3)), r"3 input channels on axis 1, got 8 .*jnp.moveaxis\(u, -1, 1\)"),
        (jnp.ones((2, 4, 3, 8, 8)), "of rank 5, not 4"),
        (jnp.ones((0, 3, 8, 8)), "at least one sample and point per axis"),
        (jnp.ones((2, 3, 8, 8), int), "got int64. Use u.astype"),
        ([[1.0]], "got list. Use jnp.asarray"),
        (jnp.ones(()), "of rank 0, not 4"),
    ],
)
def test_what_is_no_batch_is_refused_in_the_same_words_by_all(u, words):
    model = FNO(in_channels=3, out_channels=1, n_modes=(4, 4), width=4, depth=1, key=KEY)
    normalized = Normalized(model, GaussianNormalizer([1.0] * 3, [2.0] * 3), GaussianNormalizer([0.0], [1.0]))
    for call in (model.check, normalized.check):
        with pytest.raises(ModelInputError, match=words):
            call(u, None, None, None, batched=True)


def test_every_way_to_many_samples_checks_them():
    model = FNO(in_channels=3, out_channels=1, n_modes=(4, 4), width=4, depth=1, key=KEY)
    normalized = Normalized(model, GaussianNormalizer([1.0] * 3, [2.0] * 3), GaussianNormalizer([0.0], [1.0]))
    for call in (model.batched, normalized.batched, lambda u: apply_batched(normalized, u)):
        with pytest.raises(ModelInputError, match="channels-last"):
            call(jnp.ones((4, 8, 8, 3)))


def test_normalizing_hides_no_integers():
    model = FNO(in_channels=1, out_channels=1, n_modes=(4,), width=4, depth=1, key=KEY)
    normalized = Normalized(model, GaussianNormalizer([1.0], [2.0]), GaussianNormalizer([0.0], [1.0]))
    with pytest.raises(ModelInputError, match="got int64. Use u.astype"):
        normalized(jnp.ones((1, 8), int))
