"""What a predictor lets through, what it refuses, and what it needs to be loaded."""

import json
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from neuralop_jax.errors import ModelInputError
from neuralop_jax.grids import Grid
from neuralop_jax.info import FieldInfo
from neuralop_jax.serving import ModelCard, Predictor

GRID = Grid((4, 6), extent=((0.0, 2.0), (0.0, 3.0)), boundary=("periodic", "periodic"), unit="m")
FIELDS = (FieldInfo("depth", "m"), FieldInfo("flow", "m/s", channels=2)), (FieldInfo("pressure", "Pa"),)
U = np.arange(5 * 3 * 4 * 6, dtype=np.float32).reshape(5, 3, 4, 6)


def predictor(**options):
    """The sum over the channels, and the batches that it was computed in."""
    batches = []

    def function(u):
        batches.append(u.shape[0])
        assert u.dtype == jnp.float32
        return u.sum(axis=1, keepdims=True)

    return Predictor(ModelCard(*FIELDS, GRID, **{"batch_size": 2, **options}), function), batches


def test_portions_of_one_size():
    predict, batches = predictor()
    np.testing.assert_array_equal(predict(np.ma.MaskedArray(U[:2])), U[:2].sum(1, keepdims=True))  # nothing of it is masked
    np.testing.assert_array_equal(predict(U, grid=GRID, units={"depth": "m", "flow": "m/s"}), U.sum(1, keepdims=True))
    np.testing.assert_array_equal(predict(U[:1]), U[:1].sum(1, keepdims=True))
    np.testing.assert_array_equal(predict(U.astype(np.float64), batch_size=5), U.sum(1, keepdims=True))
    np.testing.assert_array_equal(predict(jnp.asarray(U[:2])), U[:2].sum(1, keepdims=True))
    assert batches == [2, 2, 2, 2, 1, 5, 2]


def test_another_resolution_is_said_or_refused():
    coarse, _ = predictor(smallest_grid=(2, 2))
    with pytest.warns(UserWarning, match="the input has 4 x 3 points, the operator was trained on 4 x 6."):
        np.testing.assert_array_equal(coarse(U[..., ::2], grid=GRID.with_shape((4, 3))), U[..., ::2].sum(1, keepdims=True))
    with pytest.raises(ModelInputError, match="needs at least 2 x 2 points, got 4 x 1. Interpolate u to a finer grid"):
        coarse(U[..., :1])
    with pytest.raises(ModelInputError, match="reads fields on 4 x 6 points, got 4 x 3. Interpolate u to the grid of the card"):
        predictor()[0](U[..., ::2])


@pytest.mark.parametrize(
    ("u", "inputs", "message"),
    [
        (
            U[:, :2],
            {},
            "Predictor expected 3 input channels on axis 1, got 2 in shape (5, 2, 4, 6). Give those of depth, flow (2), in this order.",
        ),
        (np.moveaxis(U, 1, -1), {}, "looks channels-last: use jnp.moveaxis(u, -1, 1)"),
        (
            U[0],
            {},
            "expects samples (batch, channels=3, *space) with 2 space axes, got shape (3, 4, 6) of rank 3, not 4. Add the batch axis with u[None].",
        ),
        (U[:, 0], {}, "of rank 3, not 4. Stack the 3 channels on the axis before those of space, and have one of samples before"),
        (U[0, 0], {}, "of rank 2, not 4. Stack the 3 channels"),
        (U.astype(int), {}, "expected a real floating array, got int64. Use u.astype(jnp.float32)"),
        (U.astype(np.complex64), {}, "expected a real floating array, got complex64. Use u.real, if"),
        (
            U[..., None, None],
            {},
            "got shape (5, 3, 4, 6, 1, 1) of rank 6, not 4. Reshape u to 4 axes: samples, channels, then the 2 of space.",
        ),
        (np.ma.masked_equal(U, 30), {}, "1 values of u that are masked, first at [0, 1, 1, 0]. Leave these"),
        (np.ma.MaskedArray(U, True), {}, "360 values of u that are masked, first at [0, 0, 0, 0]."),
        (U, {"units": "m"}, "reads units by the name of a field, got 'm'. Give a dictionary like {'depth': 'm'}."),
        (U, {"units": ["m"]}, "reads units by the name of a field, got ['m']. Give"),
        (U, {"units": ""}, "reads units by the name of a field, got ''. Give"),
        (U, {"grid": (9, 11)}, "reads a Grid, got grid=(9, 11). Use neuralop_jax.Grid(...), or leave it out."),
        (U, {"batch_size": -1}, "got batch_size=-1. Give a whole number of 1 or more, or leave it out."),
        (U, {"batch_size": 0}, "got batch_size=0. Give"),
        (U, {"batch_size": 1.5}, "got batch_size=1.5. Give"),
        (U.tolist(), {}, "got list"),
        (U[:0], {}, "at least one sample and point per axis, got shape (0, 3, 4, 6)"),
        (np.where(U == 30, np.nan, U), {}, "1 values of u that are not finite in float32, first at [0, 1, 1, 0]. Leave these"),
        (np.where(U == 30, 1e39, U.astype(float)), {}, "not finite in float32, first at [0, 1, 1, 0]"),
        (U, {"units": {"depth": "cm"}}, "reads depth in m, got it in cm. Convert it."),
        (U, {"units": {"flwo": "m/s"}}, "reads depth, flow, not 'flwo'. Did you mean 'flow'?"),
        (U, {"grid": Grid((4,))}, "reads fields on 2 space axes, got a grid with 1"),
        (U, {"grid": GRID.with_shape((6, 4))}, "got 4 x 6 points and a grid of shape (6, 4)"),
        (U, {"grid": Grid((4, 6), GRID.extent, GRID.boundary)}, "trained on a grid of unit m, got one of unit 1"),
        (
            U,
            {"grid": Grid((4, 6), ((0.0, 2.0), (0.0, 4.0)), GRID.boundary, unit="m")},
            "extent ((0.0, 2.0), (0.0, 3.0)), got one of",
        ),
        (
            U,
            {"grid": Grid((4, 6), GRID.extent, unit="m")},
            "boundary ('periodic', 'periodic'), got one of boundary ('open', 'open')",
        ),
    ],
)
def test_what_does_not_fit_is_refused(u, inputs, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as it is for users
    predict, batches = predictor(smallest_grid=(1, 1))
    with pytest.raises(ModelInputError) as found:
        predict(u, **inputs)
    assert message in str(found.value) and "\n" not in str(found.value) and not batches


@pytest.mark.parametrize(
    ("shape", "index", "remedy"),
    [
        ((20, 45), np.s_[:, None], "Add the channel axis with u[:, None]."),
        ((1, 45), np.s_[None], "Add the batch axis with u[None]."),
        ((45,), np.s_[None, None], "Add the axes of batch and channel with u[None, None]."),
    ],
)
def test_the_remedy_for_missing_axes_works(shape, index, remedy, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    predict = Predictor(ModelCard(FIELDS[0][:1], FIELDS[1], Grid((45,))), lambda u: u)
    u = np.ones(shape)
    with pytest.raises(ModelInputError) as found:
        predict(u)
    assert str(found.value).endswith(f"got shape {shape} of rank {len(shape)}, not 3. {remedy}")
    np.testing.assert_array_equal(predict(u[index]), u[index])


def test_a_predictor_says_what_it_reads():
    known, _ = predictor(record={"spec": {"kind": "fno"}})
    said = "Predictor(fno: depth [m], flow [m/s] (2 channels) -> pressure [Pa]; grid 4 x 6 over [0, 2] x [0, 3] m)"
    assert repr(known) == said
    assert repr(predictor()[0]) == said.replace("fno: ", "")


def test_a_card_comes_back_from_json():
    for smallest in (None, (2, 3)):
        card = ModelCard(*FIELDS, GRID, smallest, record={"parameters": 3})
        assert ModelCard.from_json(json.loads(json.dumps(card.to_json()))) == card


FRESH = """
import json, sys
import numpy as np
from neuralop_jax.serving import Predictor
predictor = Predictor.load(sys.argv[1])
values = predictor(np.load(sys.argv[2]), units={"a": "m"})
code = ("models", "layers", "kernels", "training", "checkpoint", "data", "losses", "interop")
loaded = {name.partition(".")[2].partition(".")[0] for name in sys.modules if name.startswith("neuralop_jax.")}
others = ("equinox", "optax", "orbax", "flax", "diffrax", "h5py", "grain", "matplotlib")
print(json.dumps({"values": values.tolist(), "loaded": sorted(loaded & set(code) | {n for n in others if n in sys.modules})}))
"""


def test_a_fresh_process_loads_no_model_and_no_training(tmp_path):
    import jax

    from neuralop_jax.models import FNO
    from neuralop_jax.serving import export_operator

    with jax.enable_x64(False):
        model = FNO(in_channels=1, out_channels=1, n_modes=(4,), width=4, depth=1, key=jax.random.key(0))
        export_operator(tmp_path / "served", model, ModelCard((FieldInfo("a", "m"),), (FieldInfo("v"),), Grid((8,))))
        u = np.random.default_rng(0).normal(size=(3, 1, 8)).astype(np.float32)
        wanted = np.asarray(jax.jit(lambda model, u: model.batched(u))(model, u))
    np.save(tmp_path / "u.npy", u)
    words = [sys.executable, "-c", FRESH, tmp_path / "served", tmp_path / "u.npy"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["loaded"] == []
    np.testing.assert_allclose(said["values"], wanted, rtol=1e-5, atol=1e-6)
