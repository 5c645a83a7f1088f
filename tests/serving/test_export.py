"""Every registered model as a program of its own."""

import functools

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from contract import CASES, KINDS, inputs, model_of

from neuralop_jax.errors import CheckpointError, ConfigError
from neuralop_jax.grids import Grid
from neuralop_jax.info import FieldInfo
from neuralop_jax.models import FNO, Normalized
from neuralop_jax.normalizers import GaussianNormalizer, RangeNormalizer
from neuralop_jax.serving import ModelCard, Predictor, export_operator
from neuralop_jax.serving._artifact import read_artifact

ANY_RESOLUTION = {"fno", "tfno", "classic_fno", "implicit_fno", "autoregressive", "continuous_time", "factformer"}
_live = jax.jit(lambda model, u: model.batched(u))


@pytest.fixture(autouse=True)
def single():
    """Users start in single precision, where the tables of transforms are rounded, too."""
    with jax.enable_x64(False):
        yield


def in_single(tree):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32) if getattr(leaf, "dtype", None) == np.float64 else leaf, tree)


def normalized(kind):
    """The model between normalizers, its inputs and outputs in physical units."""
    input, output = GaussianNormalizer([1.0, -2.0], [2.0, 0.5]), RangeNormalizer([0.0], [3.0])
    model = Normalized(in_single(model_of(kind)), input, output.repeated(CASES[kind].out_channels))
    return in_single(model)


def card_for(kind):
    fields = (FieldInfo("a", "m"), FieldInfo("b", "K")), (FieldInfo("v", "m/s", channels=CASES[kind].out_channels),)
    return ModelCard(*fields, Grid((16,) if CASES[kind].series else (16, 16)))


def error(found, wanted):
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


@pytest.mark.parametrize("kind", KINDS)
def test_the_program_is_the_model(kind, tmp_path):
    model, u = normalized(kind), np.asarray(inputs(kind), np.float32)
    card = export_operator(tmp_path / "served", model, card_for(kind))
    assert error(Predictor.load(tmp_path / "served")(u), np.asarray(_live(model, u))) < 1e-6
    program = jax.export.deserialize(bytearray(read_artifact(tmp_path / "served")[1]))
    assert program.platforms == ("cpu", "cuda", "tpu") and program.in_avals[-1].dtype == np.float32
    assert (card.smallest_grid is not None) == (kind in ANY_RESOLUTION)
    if kind in ANY_RESOLUTION:
        u = np.asarray(inputs(kind, 22), np.float32)[..., :19]
        with pytest.warns(UserWarning, match="22 x 19 points, the operator was trained on 16 x 16"):
            assert error(Predictor.load(tmp_path / "served")(u), np.asarray(_live(model, u))) < 1e-6
