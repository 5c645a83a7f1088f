"""Operators as functions and Flax modules, and back: the same numbers, the same training."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pytest
from contract import CASES, KINDS, SHORTER, build_case, inputs, waves
from flax import linen, nnx

from neuralop_jax.checkpoint import load, save_model
from neuralop_jax.data import Sample
from neuralop_jax.errors import ModelInputError
from neuralop_jax.grids import Grid
from neuralop_jax.info import FieldInfo
from neuralop_jax.interop import UntrainedVariable, from_flax, functional, to_linen, to_nnx, with_parameters
from neuralop_jax.interop._flax import FlaxOperator
from neuralop_jax.models import FNO, LSM, REGISTRY, Normalized, build, trainable
from neuralop_jax.normalizers import GaussianNormalizer
from neuralop_jax.serving import ModelCard, Predictor, export_operator
from neuralop_jax.training import TrainState, make_step, supervised

_batched = jax.jit(lambda model, u: model.batched(u))


def optimizer():
    return optax.adamw(1e-3, eps=1e-6, weight_decay=0.1)  # a decay would show what is trained and should not be


def mean_square(v, target):
    return jnp.mean((v - target) ** 2)


def nnx_step(model, u, target, keys):
    """A step as users of Flax write it."""
    module = to_nnx(model)
    adam = nnx.Optimizer(module, optimizer(), wrt=nnx.Param)
    value, gradient = nnx.value_and_grad(lambda module: mean_square(module(u, key=keys), target))(module)
    adam.update(module, gradient)
    return module.operator, value


@jax.jit
def both_steps(model, u, target, key):
    """Ours and that of Flax, in one program, which compiles what they have in common once."""
    step = make_step(supervised(mean_square), optimizer())
    state, metrics = step(TrainState.create(model, optimizer()), Sample({"u": u}, target), key)
    return state.model, metrics, *nnx_step(model, u, target, jax.random.split(key, len(u)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_of_nnx_is_a_step_of_ours(kind):
    model, u = build_case(kind, **SHORTER.get(kind, {})), inputs(kind)[:2]
    shape = jax.eval_shape(model.batched, u).shape
    fields = jnp.asarray(waves(16))[:2, 1:]
    target = jnp.broadcast_to(fields[:, :, 0, :1] if CASES[kind].series else fields, shape)
    ours, metrics, theirs, value = both_steps(model, u, target, jax.random.key(1))
    assert metrics["made"]
    np.testing.assert_allclose(value, metrics["loss"], rtol=1e-12)
    (wanted, rest), (found, others) = (eqx.partition(trained, trainable(trained)) for trained in (ours, theirs))
    before = eqx.filter(model, trainable(model))
    for a, b, c in zip(*(jax.tree.leaves(tree) for tree in (found, wanted, before)), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-9)
        assert np.any(a != c)
    assert eqx.tree_equal(others, rest) and eqx.tree_equal(others, eqx.filter(model, trainable(model), inverse=True))


def small():
    inner = FNO(in_channels=1, out_channels=1, n_modes=(4,), width=4, depth=1, key=jax.random.key(0))
    return Normalized(inner, GaussianNormalizer([1.0], [2.0]), GaussianNormalizer([0.0], [3.0]))


U = jnp.asarray(np.random.default_rng(0).normal(size=(3, 1, 8)))


def test_parameters_are_what_is_trained():
    model = small()
    init, apply = functional(model)
    parameters = init()
    assert sorted(parameters) == sorted(name for name in parameters if name.startswith("model."))
    assert sum(leaf.size for leaf in parameters.values()) == sum(
        leaf.size for leaf in jax.tree.leaves(eqx.filter(model, trainable(model)))
    )
    np.testing.assert_array_equal(jax.jit(apply)(parameters, U), _batched(model, U))
    doubled = {name: 2 * leaf for name, leaf in parameters.items()}
    np.testing.assert_array_equal(jax.jit(apply)(doubled, U), _batched(with_parameters(model, doubled), U))
    assert eqx.tree_equal(with_parameters(model, doubled).input, model.input)


def test_other_parameters_are_refused():
    model = small()
    parameters = functional(model)[0]()
    name = "model.lifting.layers[0].bias"
    for changed, message in (
        (
            {**parameters, "model.lifting.layers[0].bais": jnp.ones(3)},
            f"has nothing at .*have shape \\(3,\\).* Did you mean '{name}",
        ),
        ({n: leaf for n, leaf in parameters.items() if n != name}, "has shape .* the parameters have nothing"),
        ({**parameters, name: jnp.ones((2, 2))}, r"the parameters have shape \(2, 2\)"),
        ({**parameters, "nope": 1.0}, r"has nothing at 'nope', the parameters have shape \(\)"),
    ):
        with pytest.raises(ModelInputError, match=message.replace("[0]", r"\[0\]")):
            with_parameters(model, changed)


@pytest.mark.parametrize(
    ("convert", "message"),
    [
        (lambda: functional("a"), "functional expects an operator, got a value of type str. Build one first"),
        (lambda: to_nnx(None), "to_nnx expects an operator, got a value of type NoneType. Build"),
        (lambda: to_nnx(FNO), "to_nnx expects an operator, got the class FNO. Build"),
        (lambda: with_parameters(None, {}), "with_parameters expects an operator, got a value of type NoneType. Build"),
        (lambda: to_linen(small()), "a function of a key that builds an operator, got a value of type Normalized. Use to_linen"),
        (lambda: to_linen("a"), "a function of a key that builds an operator, got a value of type str. Use"),
        (
            lambda: to_linen(lambda key: "a").init(jax.random.key(0), U),
            "to_linen expects a function that builds an operator, got a value of type str. Build",
        ),
        (lambda: flax_operator(linen.Conv), "expects a module of Flax, got the class Conv. Build it first: Conv(...)."),
        (lambda: flax_operator(nnx.Linear), "got the class Linear. Build it first: Linear(...)."),
        (lambda: flax_operator(lambda u: u), "got a value of type function. Make a function the __call__ of an nnx.Module."),
        (
            lambda: flax_operator(linen.Dense(1), {"params": {"kernel": jnp.ones((1, 1)), "bias": jnp.ones(1)}})(
                jnp.ones((1, 8))
            ),
            "expected 3 output channels on the last axis of what its module gives, got shape (1, 8, 1). Give from_flax",
        ),
    ],
)
def test_what_is_no_operator_and_no_module_is_refused(convert, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as it is for users
    with pytest.raises(ModelInputError) as found:
        convert()
    assert message in str(found.value)


def flax_operator(module, variables=None):
    return from_flax(module, variables, in_channels=1, out_channels=3, num_dims=1)


def test_untrained_arrays_are_no_parameters_of_flax():
    options = {"width": 8, "num_scales": 2, "num_tokens": 2, "num_basis": 3, "norm": "batch"}
    model = LSM(in_channels=1, out_channels=1, num_dims=2, **options, key=jax.random.key(0))
    module = to_nnx(model)
    untrained = jax.tree.leaves(nnx.to_pure_dict(nnx.state(module, UntrainedVariable)))
    assert len(untrained) > 0 and len(jax.tree.leaves(nnx.state(module))) == len(jax.tree.leaves(eqx.filter(model, eqx.is_array)))
    linen_module = to_linen(lambda key: model)
    variables = jax.eval_shape(linen_module.init, jax.random.key(0), jnp.ones((1, 1, 16, 16)))
    assert len(variables["untrained"]["arrays"]) == len(untrained)
    assert set(variables["params"]["arrays"]) == set(functional(model)[0]())


def test_linen_is_the_operator_that_it_builds():
    def build(key):
        return FNO(in_channels=1, out_channels=1, n_modes=(4,), width=4, depth=1, key=key)

    module = to_linen(build)
    variables = jax.jit(module.init)(jax.random.key(3), U)
    parameters = variables["params"]["arrays"]
    wanted = _batched(with_parameters(build(jax.random.key(0)), parameters), U)
    np.testing.assert_allclose(jax.jit(module.apply)(variables, U), wanted, rtol=1e-12, atol=1e-14)
    other = jax.jit(module.init)(jax.random.key(4), U)
    name = "lifting.layers[0].weight"
    assert np.any(other["params"]["arrays"][name] != parameters[name])


class Net(linen.Module):
    """A periodic convolution network with a batch norm in use."""

    width: int
    out_channels: int

    @linen.compact
    def __call__(self, u):
        u = linen.Conv(self.width, (3,), padding="CIRCULAR", param_dtype=u.dtype)(u)
        u = linen.BatchNorm(use_running_average=True, param_dtype=u.dtype)(u)
        return linen.Dense(self.out_channels, param_dtype=u.dtype)(linen.gelu(u))


class NNXNet(nnx.Module):
    def __init__(self, rngs):
        self.layers = nnx.List([nnx.Linear(1, 4, rngs=rngs), nnx.Linear(4, 2, rngs=rngs)])
        self.norm = nnx.BatchNorm(4, use_running_average=True, rngs=rngs)

    def __call__(self, u):
        return self.layers[1](jnp.tanh(self.norm(self.layers[0](u))))


def flax_operators():
    """Modules of both kinds, the function that each is, and the operator."""
    module, u = Net(4, 2), jnp.ones((1, 8, 1))
    variables = module.init(jax.random.key(0), u)
    variables["batch_stats"]["BatchNorm_0"]["mean"] += 0.5
    yield lambda u: module.apply(variables, u), from_flax(module, variables, in_channels=1, out_channels=2, num_dims=1)
    nnx_module = NNXNet(nnx.Rngs(0))
    yield nnx_module, from_flax(nnx_module, in_channels=1, out_channels=2, num_dims=1)


@pytest.mark.parametrize("number", [0, 1], ids=["linen", "nnx"])
def test_a_flax_module_is_an_operator(number):
    function, model = list(flax_operators())[number]
    wanted = jnp.moveaxis(function(jnp.moveaxis(U, 1, -1)), -1, 1)
    np.testing.assert_allclose(_batched(model, U), wanted, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(jax.jit(lambda model, u: model(u))(model, U[0]), wanted[0], rtol=1e-5, atol=1e-6)
    assert jax.tree.structure(model) == jax.tree.structure(list(flax_operators())[number][1])
    with pytest.raises(ModelInputError, match="FlaxOperator expected 1 input channels on axis 0, got 8"):
        model(U[0].T)
    target = jnp.ones((3, 2, 8))
    step = jax.jit(make_step(supervised(mean_square), optimizer()))
    state, metrics = TrainState.create(model, optimizer()), None
    for _ in range(3):
        state, metrics = step(state, Sample({"u": U}, target), jax.random.key(0))
    assert metrics["loss"] < np.mean((wanted - target) ** 2)
    assert eqx.tree_equal(state.model.others, model.others) and len(jax.tree.leaves(model.others)) >= 2


class InTraining(nnx.Module):
    """As NNX makes modules: dropout is on, and the batch norm computes the statistics of the batch."""

    def __init__(self, rngs, *, noisy=False):
        self.conv, self.norm = nnx.Conv(2, 1, (3, 3), rngs=rngs), nnx.BatchNorm(1, rngs=rngs)
        self.dropout, self.rngs, self.noisy = nnx.Dropout(0.5, rngs=rngs), rngs, noisy

    def __call__(self, u):
        v = self.dropout(self.norm(self.conv(u)))
        return v + self.rngs.noise() if self.noisy else v


def test_a_module_in_training_mode_is_the_operator_of_its_evaluation_mode(tmp_path, monkeypatch):
    net = InTraining(nnx.Rngs(0))
    net.norm.mean[...] += 0.5
    model = from_flax(net, in_channels=2, out_channels=1, num_dims=2)
    assert not net.dropout.deterministic and not net.norm.use_running_average
    u = jnp.asarray(np.random.default_rng(1).normal(size=(3, 2, 8, 8)), jnp.float32)
    wanted = (net.conv(jnp.moveaxis(u, 1, -1)) - 0.5) / np.sqrt(1 + 1e-5)
    np.testing.assert_allclose(_batched(model, u), jnp.moveaxis(wanted, -1, 1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model(u[0]), _batched(model, u)[0], rtol=1e-5, atol=1e-6)
    assert sorted(leaf.shape for leaf in jax.tree.leaves(model.others)) == [(1,), (1,)]  # of the batch norm alone

    card = ModelCard((FieldInfo("a"), FieldInfo("b")), (FieldInfo("v"),), Grid((8, 8)))
    export_operator(tmp_path / "served", model, card, platforms=("cpu",))
    np.testing.assert_allclose(Predictor.load(tmp_path / "served")(u), _batched(model, u), rtol=1e-5, atol=1e-6)
    monkeypatch.setitem(REGISTRY, "in_training", RegisteredNet)
    built = build({"kind": "in_training", "in_channels": 2, "out_channels": 1}, key=jax.random.key(3))
    save_model(tmp_path / "saved", built)
    np.testing.assert_array_equal(_batched(load(tmp_path / "saved"), u), _batched(built, u))


class RegisteredNet(FlaxOperator):
    """`InTraining` as a configuration names it."""

    def __init__(self, in_channels, out_channels, *, key):
        net = InTraining(nnx.Rngs(key))
        made = from_flax(net, in_channels=in_channels, out_channels=out_channels, num_dims=2)
        for name, value in vars(made).items():
            setattr(self, name, value)


def test_a_module_that_always_draws_says_so():
    model = from_flax(InTraining(nnx.Rngs(0), noisy=True), in_channels=2, out_channels=1, num_dims=2)
    with pytest.raises(ModelInputError, match="called without a key, its module draws random numbers"):
        model(jnp.ones((2, 8, 8)))
