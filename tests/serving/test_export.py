"""Every registered model as a program of its own."""

import dataclasses
import functools

import jax
import jax.export
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from contract import CASES, KINDS, SHORTER, build_case, inputs

from neuralop_jax.errors import CheckpointError, ConfigError
from neuralop_jax.grids import Grid
from neuralop_jax.info import FieldInfo
from neuralop_jax.models import FNO, Normalized
from neuralop_jax.normalizers import GaussianNormalizer, RangeNormalizer
from neuralop_jax.serving import ModelCard, Predictor, _export, export_operator
from neuralop_jax.serving._artifact import read_artifact

ANY_RESOLUTION = {"fno", "tfno", "classic_fno", "implicit_fno", "autoregressive", "continuous_time", "factformer"}
_live = jax.jit(lambda model, u: model.batched(u))


@pytest.fixture(autouse=True)
def single(monkeypatch):
    """Users start in single precision, where the tables of transforms are rounded, too. Signatures say int of sizes, which are
    symbols here, and are not compared."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with jax.enable_x64(False):
        yield


def in_single(tree):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32) if getattr(leaf, "dtype", None) == np.float64 else leaf, tree)


def normalized(kind):
    """The model between normalizers, its inputs and outputs in physical units."""
    with jax.enable_x64(True):
        model = build_case(kind, **SHORTER.get(kind, {}))
    input, output = GaussianNormalizer([1.0, -2.0], [2.0, 0.5]), RangeNormalizer([0.0], [3.0])
    model = Normalized(in_single(model), input, output.repeated(model.out_channels))
    return in_single(model)


def card_for(kind):
    inputs, outputs = (FieldInfo("a", "m"), FieldInfo("b", "K")), (FieldInfo("v", "m/s"),)
    return ModelCard(inputs, outputs, Grid((16,) if CASES[kind].series else (16, 16)))


def fields(kind, points=16):
    with jax.enable_x64(True):
        return np.asarray(inputs(kind, points), np.float32)


def error(found, wanted):
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


@pytest.mark.parametrize("kind", KINDS)
def test_the_program_is_the_model(kind, tmp_path):
    model, u = normalized(kind), fields(kind)
    outputs = (FieldInfo("v", "m/s", channels=model.out_channels),)
    card = export_operator(tmp_path / "served", model, dataclasses.replace(card_for(kind), outputs=outputs))
    assert error(Predictor.load(tmp_path / "served")(u), np.asarray(_live(model, u))) < 1e-6
    program = jax.export.deserialize(bytearray(read_artifact(tmp_path / "served")[1]))
    assert program.platforms == ("cpu", "cuda", "tpu") and program.in_avals[-1].dtype == np.float32
    assert (card.smallest_grid is not None) == (kind in ANY_RESOLUTION)
    if kind in ANY_RESOLUTION:
        u = fields(kind, 22)[..., :19]
        with pytest.warns(UserWarning, match="22 x 19 points, the operator was trained on 16 x 16"):
            assert error(Predictor.load(tmp_path / "served")(u), np.asarray(_live(model, u))) < 1e-6


@functools.cache
def small_fno():
    return FNO(in_channels=2, out_channels=1, n_modes=(6, 6), width=4, depth=1, key=jax.random.key(0))


def test_padding_is_rounded_by_the_program_as_by_python(tmp_path):
    """A quarter of 10 or 14 points is in the middle between two numbers."""
    options = {"n_modes": (6, 6), "width": 4, "depth": 1, "padding": (0.25, 0.1)}
    model = in_single(FNO(in_channels=2, out_channels=1, **options, key=jax.random.key(0)))
    card = export_operator(tmp_path / "served", model, card_for("fno"), resolution="any", platforms=("cpu",))
    assert card.smallest_grid == (6, 6)
    predictor = Predictor.load(tmp_path / "served")
    for shape in ((10, 16), (14, 15)):
        u = fields("fno")[..., : shape[0], : shape[1]]
        with pytest.warns(UserWarning, match="the operator was trained on"):
            assert error(predictor(u), np.asarray(_live(model, u))) < 1e-6


def test_the_fixed_program_is_for_its_grid_alone(tmp_path):
    model, u = in_single(small_fno()), fields("fno")
    card = export_operator(tmp_path / "served", model, card_for("fno"), resolution="fixed", platforms=("cpu",))
    predictor = Predictor.load(tmp_path / "served")
    assert card.smallest_grid is None and predictor.card == card and card.record["platforms"] == ["cpu"]
    assert error(predictor(u), np.asarray(_live(model, u))) < 1e-6
    with pytest.raises(ValueError, match="reads fields on 16 x 16 points, got 16 x 12. Interpolate u"):
        predictor(u[..., :12])


def test_what_needs_the_number_of_points_says_so(tmp_path):
    with pytest.raises(ConfigError, match="MgNO cannot be exported for any resolution, because its shapes depend on the number"):
        export_operator(tmp_path / "served", normalized("mgno"), card_for("mgno"), resolution="any")
    with pytest.raises(ConfigError, match="resolution must be one of 'auto', 'any', 'fixed', got 'all'"):
        export_operator(tmp_path / "served", in_single(small_fno()), card_for("fno"), resolution="all")
    card = ModelCard(*[(FieldInfo("a"),)] * 2, Grid((16, 16)))
    with pytest.raises(ConfigError, match="served has 1 in_channels, the operator 2. Name a field for every channel"):
        export_operator(tmp_path / "served", in_single(small_fno()), card)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("platforms", ["cpu", (), None, ("cpu", "gpu"), ["cpu", "cpu"]])
def test_platforms_that_no_program_is_for_are_refused(tmp_path, platforms):
    with pytest.raises(ConfigError) as found:
        export_operator(tmp_path / "served", in_single(small_fno()), card_for("fno"), platforms=platforms)
    wanted = f"platforms must be a tuple of some of 'cpu', 'cuda', 'tpu', each once, got {platforms!r}. Use ('cuda',) for GPUs."
    assert str(found.value) == wanted and not list(tmp_path.iterdir())


def test_nothing_is_overwritten_and_parents_are_made(tmp_path, monkeypatch):
    export = functools.partial(export_operator, operator=in_single(small_fno()), card=card_for("fno"), platforms=("cpu",))
    export(tmp_path / "served")
    with pytest.raises(CheckpointError, match="served exists and is not overwritten"):
        export(tmp_path / "served")
    export(tmp_path / "new/served")
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(_export, "lower", None)
    with pytest.raises(CheckpointError, match="file/served cannot be written: Not a directory"):
        export(tmp_path / "file/served")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "new", "served"]


def test_a_program_for_other_devices_is_refused(tmp_path):
    export_operator(tmp_path / "served", in_single(small_fno()), card_for("fno"), platforms=("cuda", "tpu"))
    with pytest.raises(CheckpointError, match="exported for cuda, tpu, JAX computes on cpu here"):
        Predictor.load(tmp_path / "served")


def test_a_program_in_double_precision_is_refused_where_numbers_are_single(tmp_path):
    with jax.enable_x64(True):
        model, u = small_fno(), np.asarray(inputs("fno"))
        model = jax.tree.map(lambda leaf: leaf.astype(jnp.float64) if hasattr(leaf, "astype") else leaf, model)
        card = export_operator(tmp_path / "served", model, card_for("fno"), platforms=("cpu",))
        assert card.dtype == "float64" and error(Predictor.load(tmp_path / "served")(u), np.asarray(_live(model, u))) < 1e-13
    with pytest.raises(CheckpointError, match="computes in float64, which JAX would shorten. Set JAX_ENABLE_X64=1"):
        Predictor.load(tmp_path / "served")


@pytest.mark.parametrize("name", ["card.json", "program.jax_export", "weights.safetensors"])
def test_every_changed_byte_is_found(tmp_path, name):
    export_operator(tmp_path / "served", in_single(small_fno()), card_for("fno"), platforms=("cpu",))
    path = tmp_path / "served" / name
    whole = path.read_bytes()
    for place in np.random.default_rng(0).integers(len(whole), size=20):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            changed = Predictor.load(tmp_path / "served").card
        except CheckpointError as found:
            assert "damaged" in str(found) and "\n" not in str(found)
        else:  # a line break of the card became another space
            assert name == "card.json" and chr(whole[place]).isspace() and changed.inputs == card_for("fno").inputs
    path.unlink()
    with pytest.raises((CheckpointError, OSError), match="served"):
        Predictor.load(tmp_path / "served")
