import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.errors import ConfigError
from neuralop_jax.models import FNO, TFNO, build, count_parameters, spec_of

KEY = jax.random.key(0)
evaluate = eqx.filter_jit(lambda model, u: model.evaluate(u))
TINY = {"in_channels": 1, "out_channels": 1, "width": 6, "depth": 2}
MODES = {1: (6,), 2: (4, 4), 3: (4, 3, 2)}


def test_parameter_count_of_a_whole_model():
    """Acceptance 1."""
    shapes = eqx.filter_eval_shape(TFNO, in_channels=1, out_channels=1, n_modes=(12, 12), width=64, key=KEY)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes) if hasattr(leaf, "size")) == 362_017


def test_preset_builds_and_is_named():
    spec = {"kind": "tfno", "n_modes": [4, 4], **TINY}
    model = build(spec, key=KEY)
    assert isinstance(model, FNO) and model.factorization == "tucker" and model.rank == 0.1
    said = spec_of(model)
    assert said["kind"] == "tfno" and spec_of(build(said, key=KEY)) == said
    same = build({**said, "kind": "fno"}, key=KEY)
    u, run = jax.random.normal(KEY, (1, 8, 8)), eqx.filter_jit(lambda m, u: m(u))
    np.testing.assert_array_equal(run(same, u), run(model, u))
    assert spec_of(FNO(n_modes=(4,), **TINY, key=KEY))["kind"] == "fno"
    assert count_parameters(model) < count_parameters(FNO(n_modes=(4, 4), **TINY, key=KEY)) / 2


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("joint", [False, True], ids=["own", "joint"])
@pytest.mark.parametrize("form", ["cp", "tucker", "tt"])
def test_factorized_equals_reconstructed(form, joint, dims):
    """Acceptance 2: outputs and gradients, in both precisions; every parameter matters; the specification is enough."""
    options = {"factorization": form, "rank": 0.4, "joint": joint, "n_modes": MODES[dims], **TINY}
    by_factors = TFNO(**options, key=KEY)
    in_full = build({**spec_of(by_factors), "implementation": "reconstructed"}, key=KEY)
    u = jnp.asarray(np.random.default_rng(0).normal(size=(1, 2, *(8,) * dims)))

    @eqx.filter_jit
    def outputs(model, u):
        loss = lambda m: jnp.sum(m.evaluate(u) ** 2) / 2
        return model.evaluate(u), eqx.filter_grad(loss)(model)

    (v, gradient), (w, gradient_in_full) = outputs(by_factors, u), outputs(in_full, u)
    np.testing.assert_allclose(v, w, rtol=1e-12, atol=1e-12)
    leaves = jax.tree_util.tree_leaves_with_path(gradient)
    for (path, one), other in zip(leaves, jax.tree.leaves(gradient_in_full), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12 * abs(np.asarray(v)).max() ** 2 + 1e-12)
        assert np.any(one), jax.tree_util.keystr(path)
    if dims == 2:
        single = jax.tree.map(lambda a: jnp.asarray(np.asarray(a, np.float32)), by_factors)
        low = eqx.filter_jit(single.evaluate)(u.astype(jnp.float32))
        assert low.dtype == jnp.float32
        np.testing.assert_allclose(low, v, atol=1e-5)


@pytest.mark.parametrize(
    "options", [{"separable": True}, {"complex_data": True}, {"max_n_modes": (8, 8)}, {"joint": True, "separable": True}]
)
@pytest.mark.parametrize("form", ["cp", "tucker", "tt"])
def test_other_options(form, options):
    model = TFNO(factorization=form, rank=0.6, n_modes=(4, 4), **TINY, **options, key=KEY)
    u = jnp.asarray(np.random.default_rng(0).normal(size=(1, 2, 8, 6)) * (1 + 0.5j if model.complex_data else 1))
    in_full = build({**spec_of(model), "implementation": "reconstructed"}, key=KEY)
    found = np.asarray(evaluate(model, u))
    np.testing.assert_allclose(found, evaluate(in_full, u), atol=1e-12)
    if not model.complex_data:
        assert jax.eval_shape(evaluate, model, jax.ShapeDtypeStruct(u.shape, jnp.bfloat16)).dtype == jnp.bfloat16
        fewer = model.with_n_modes((2, 2))
        assert fewer.n_modes == (2, 2) and np.any(evaluate(fewer, u) != found)


@pytest.mark.parametrize("form", ["cp", "tucker", "tt"])
def test_no_array_as_large_as_the_weight(form):
    """Acceptance 5; the terms of CP times modes are the largest that may be."""
    options = {"n_modes": (8, 8), "in_channels": 1, "out_channels": 1, "width": 32, "depth": 1}
    model = TFNO(factorization=form, **options, key=KEY)
    dense, kept = 32 * 32 * 8 * 5, 8 * 5
    jaxpr = jax.make_jaxpr(model)(jnp.ones((1, 8, 8)))
    sizes = [var.aval.size for equation in _equations(jaxpr.jaxpr) for var in equation.outvars]
    rank = len(model.blocks[0].conv.weight.scales[0]) if form == "cp" else 0
    assert max(sizes) < dense
    assert form != "cp" or max(sizes) <= max(2 * 2 * rank * kept, 64 * 64)  # real and imaginary part, times complex matrices
    in_full = TFNO(factorization=form, implementation="reconstructed", **options, key=KEY)
    jaxpr = jax.make_jaxpr(in_full)(jnp.ones((1, 8, 8)))
    assert max(var.aval.size for equation in _equations(jaxpr.jaxpr) for var in equation.outvars) >= dense


def _equations(jaxpr):
    for equation in jaxpr.eqns:
        yield equation
        for value in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda v: hasattr(v, "eqns") or hasattr(v, "jaxpr")):
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from _equations(inner)


@pytest.mark.parametrize("joint", [False, True])
def test_dropout_draws_only_with_a_key(joint):
    """Acceptance 7: off in use, the same for the same key, different blocks of their own."""
    ranks = (2, 5, 5, 4, 3) if joint else (5, 5, 4, 3)
    model = TFNO(rank=ranks, tensor_dropout=0.5, joint=joint, n_modes=(4, 4), **TINY, key=KEY)
    whole = build({**spec_of(model), "tensor_dropout": 0.0}, key=KEY)
    u = jnp.asarray(np.random.default_rng(0).normal(size=(1, 3, 8, 8)))
    call = eqx.filter_jit(lambda m, u, key: m.evaluate(u, key=key))
    run = lambda model, key: np.asarray(call(model, u, key))
    np.testing.assert_array_equal(run(model, None), run(whole, KEY))
    np.testing.assert_array_equal(run(model, KEY), run(model, KEY))
    assert np.any(run(model, KEY) != run(model, jax.random.key(1)))
    assert np.any(run(model, KEY) != run(model, None))


@pytest.mark.parametrize(
    "options, words",
    [
        ({"rank": 10.0}, "rank must be a ratio above 0 and at most 1, or one or more integers, got 10.0"),
        ({"rank": 5}, r"exceed the sizes \(6, 6, 4, 3\)"),
        ({"factorization": "Tucker"}, "factorization must be one of .* Did you mean 'tucker'"),
        ({"implementation": "dense"}, "implementation must be one of"),
        ({"tensor_dropout": 1.0}, "tensor_dropout must be at least 0 and below 1, got 1.0"),
        ({"factorization": None}, "factorization is None. Give factorization='tucker'"),
        ({"factorization": None, "rank": 1.0, "joint": True}, "factorization is None"),
        ({"factorization": "tt", "fixed_rank_modes": (0,)}, "fixed_rank_modes is for factorization='tucker'"),
    ],
)
def test_options_that_do_not_fit(options, words):
    with pytest.raises(ConfigError, match=words):
        TFNO(n_modes=(4, 4), **TINY, **options, key=KEY)
