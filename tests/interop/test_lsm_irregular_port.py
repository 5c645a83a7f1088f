import pathlib

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.errors import CheckpointError, ConfigError, ModelInputError
from neuralop_jax.interop import from_torch
from neuralop_jax.layers import Buffer
from neuralop_jax.models import IrregularLSM, count_parameters

from .lsm_cases import named, network, state

OUTPUTS = pathlib.Path(__file__).with_name("lsm_irregular_outputs.npz")
"""Outputs of the original in double precision for the weights of `STATE` and the inputs of `CALLS`."""
CONFIG = {"model": "LSM_Irregular_Geo", "in_dim": 2, "out_dim": 1, "d_model": 8, "num_token": 3, "num_basis": 5}
CONFIG |= {"patch_size": "3,2", "modes1": 4, "modes2": 3, "s1": 48, "s2": 32, "iphi_width": 8}


def names_and_shapes(width=8, basis=5, tokens=3, modes=(4, 3), deformation=8):
    shapes = {"fc0": (width, 2), "convproject_in": (width, 2, 1, 1), "convproject_out": (width, 2, 1)}
    four = 4 * deformation
    sizes = {"fc0": 4, "fc_code": 42, "fc_no_code": 3 * deformation, "fc1": four, "fc2": four, "fc3": four, "fc4": four}
    outs = {"fc0": deformation, "fc_code": deformation, "fc4": 2}
    shapes |= {f"iphi.{name}": (outs.get(name, four), size) for name, size in sizes.items()}
    sides = [f"fftproject_{side}.weights{i}" for side in ("in", "out") for i in (1, 2)]
    return network(2, width, basis, tokens) | named(shapes) | {name: (width, width, *modes) for name in sides}


STATE = state(names_and_shapes())


def wave(phase, *shape):
    return jnp.asarray(0.5 + 0.45 * np.cos(2.3 * np.arange(np.prod(shape)) + phase).reshape(shape))


CALLS = {
    "code": lambda: {"x": wave(0, 2, 40, 2), "code": wave(2, 2, 42)},
    "nocode": lambda: {"x": wave(3, 2, 40, 2), "x_in": wave(0, 2, 40, 2), "x_out": wave(1, 2, 25, 2)},
    "plain": lambda: {"x": wave(0, 2, 40, 2)},
}


def ported(call, mode="eval", **changes):
    entries = {name: value for name, value in STATE.items() if call != "plain" or not name.startswith("iphi.")}
    return from_torch("lsm", CONFIG | {"code": call == "code", "train_mode": mode == "train"} | changes, entries)


@pytest.mark.parametrize("call, mode", [("code", "eval"), ("nocode", "eval"), ("nocode", "train"), ("plain", "eval")])
def test_the_numbers_of_the_original(call, mode):
    """With a deformation by parameters, with one for all and other points of the output, and without."""
    with np.load(OUTPUTS, allow_pickle=False) as outputs:
        wanted = outputs[f"{call}_{mode}"]
    np.testing.assert_allclose(ported(call, mode)(**CALLS[call]()), wanted, atol=1e-6 * wanted.std())


def test_with_the_number_of_points_the_operator_has_the_sums_of_the_original():
    """Without wavenumbers above 0 on the last axis at the output, for which the original evaluates shifted conjugates."""
    call, original = CALLS["code"](), ported("code", num_points=40)
    with np.load(OUTPUTS, allow_pickle=False) as outputs:
        wanted = outputs["code_eval"]
    np.testing.assert_allclose(original(**call), wanted, atol=1e-6 * wanted.std())
    assert "equal to the original's for 40 points" in original.difference and "one wavenumber off" in original.difference
    column = lambda part: part.at[:, 1:].set(0)
    original = eqx.tree_at(lambda m: m.model.to_points.weight, original, replace_fn=lambda pair: tuple(map(column, pair)))
    batched = eqx.filter_jit(lambda model, u, x, p: model.batched(u, x=x, p=p))
    v = batched(original.model, jnp.moveaxis(call["x"], 2, 1), call["x"], call["code"])
    y = np.moveaxis(original(**call), 2, 1)
    np.testing.assert_allclose(v, y, atol=1e-10 * np.abs(y).max())


def test_without_the_number_of_points_the_operator_says_which_number_it_is_for():
    assert "equal to the original's for 1536 points, for lack of the option num_points" in ported("plain").difference
    assert "statistics of the batch" in ported("plain", "train").difference
    for number in (0, 2.5, True, "40"):
        with pytest.raises(ConfigError, match="num_points must be the number of points"):
            ported("plain", num_points=number)


def test_the_counts_of_the_original():
    """The network 5,402,785 with complex numbers counted once; the deformation 63,746 with the layers for both calls."""
    shapes = names_and_shapes(32, 12, 4, (12, 12), 32)
    size = lambda chosen: sum(int(np.prod(shape)) for name, shape in shapes.items() if chosen(name))
    trained = lambda name: "running" not in name
    assert size(lambda name: trained(name) and not name.startswith("iphi.")) == 5_402_785
    assert size(lambda name: name.startswith("iphi.")) == 63_746
    options = {"in_channels": 2, "out_channels": 1, "n_modes": (24, 22), "norm": "batch"}
    complex_ = size(lambda name: "fftproject" in name)
    for code, unread in ((0, "fc_code"), (42, "fc_no_code")):
        model = eqx.filter_eval_shape(IrregularLSM, **options, num_parameters=code, key=jax.random.key(0))
        is_buffer = lambda leaf: isinstance(leaf, Buffer)
        trained_leaves = [leaf for leaf in jax.tree.leaves(model, is_leaf=is_buffer) if not is_buffer(leaf)]
        count = sum(leaf.size for leaf in trained_leaves if hasattr(leaf, "size"))
        assert count - complex_ == 5_402_785 + 63_746 - size(lambda name, unread=unread: unread in name)


def test_the_operator_has_what_is_read():
    model = ported("code").model
    shapes = names_and_shapes()
    trained = {name: int(np.prod(s)) for name, s in shapes.items() if "running" not in name and "fc_no_code" not in name}
    assert count_parameters(model) == sum(size * (1 + ("fftproject" in name)) for name, size in trained.items())


def test_what_does_not_fit_is_refused():
    with pytest.raises(CheckpointError, match=r"missing iphi\.fc2\.bias"):
        from_torch("lsm", CONFIG, {name: value for name, value in STATE.items() if name != "iphi.fc2.bias"})
    with pytest.raises(ModelInputError, match="do not fit"):
        ported("nocode")(x=wave(0, 2, 40, 2), x_in=wave(0, 2, 39, 2))
    with pytest.raises(ModelInputError, match="reads 42 parameters"):
        ported("code")(x=wave(0, 2, 40, 2))
