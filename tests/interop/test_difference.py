"""What is said of `.model` where it is another function than the original, by `difference` and by `convert`."""

import json
import shutil

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax import checkpoint
from neuralop_jax.__main__ import main
from neuralop_jax.interop import HeMgNO, from_torch
from neuralop_jax.models import MgNO, Normalized

from .golden_cases import FOLDER, NAMES, golden

SAID = {
    "neuraloperator_fno/fno1d_coarse": "",
    "neuraloperator_fno/tfno1d_tucker_ranks": "",
    "neuraloperator_fno/fno2d_max_modes": "on every grid it applies each weight a wavenumber too high",
    "neuraloperator_fno/tfno2d_complex_tt_max_modes": "on every grid",
    "classic_fno/one_mode": "where x has fewer than 2 points",
    "factformer/block3d_without_rope": "",
    "factformer/darcy_odd": "evenly over [0, 1] x [0, 1], ends included",
    "factformer/isotropic": "evenly over [0, 6.2832] x [0, 6.2832] x [0, 6.2832]",
    "factformer/smoke_padded": "[0, 8] x [0, 8] x [0, 8], ends included, the original takes them as given; those of the padding",
    "mgno/darcy_post_smoothing": "decodes the output of .model by a mean and a deviation for each point",
    "lsm/library_1d_instance": "",
    "lsm/library_2d_batch": "the original's norms take the statistics of the batch",
}
FAMILIES = {"neuraloperator_fno": "odd number of points", "classic_fno": "the weights of negative ones"}
"""What is said of all other cases of a family; of the rest nothing."""


def port(name, **changes):
    case = golden(name)
    return case, from_torch(case.family, case.config | changes, case.state)


def written(name, place, **changes):
    """The case as files, and the words after `convert`."""
    shutil.copy(FOLDER / f"{name}.npz", place / "case.npz")
    said = json.loads((FOLDER / f"{name}.json").read_text())
    (place / "case.json").write_text(json.dumps({"config": said["config"] | changes}))
    return [str(place / "case.npz"), str(place / "out"), "--family", name.partition("/")[0], "--prefix", "param:"]


@pytest.mark.parametrize("name", NAMES)
def test_every_network_says_where_it_differs(name):
    _, ported = port(name)
    wanted = SAID.get(name, FAMILIES.get(name.partition("/")[0], ""))
    assert wanted in ported.difference and bool(ported.difference) == bool(wanted)
    assert "\n" not in ported.difference and not ported.difference.endswith(".")


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("neuraloperator_fno/fno1d_coarse", True),
        ("neuraloperator_fno/fno2d_coarse_even", True),
        ("neuraloperator_fno/fno2d_odd_modes", True),
        ("neuraloperator_fno/fno2d_odd_grid", False),
        ("neuraloperator_fno/fno2d_max_modes", False),
        ("mgno/darcy_odd", True),
        ("mgno/darcy_post_smoothing", False),
    ],
)
def test_what_is_said_is_true(name, same):
    """These families have the layout of `batched`."""
    case, ported = port(name)
    y = eqx.filter_jit(ported.model.batched)(jnp.asarray(case.x))
    assert (np.linalg.norm(y - case.y) < 2e-6 * np.linalg.norm(case.y)) == same


def test_a_turbulence_network_has_the_box_of_its_script():
    case, ported = port("factformer/isotropic")
    channels, frames = case.x.shape[1:3]
    u = jnp.asarray(case.x).swapaxes(1, 2).reshape(len(case.x), frames * channels, *case.x.shape[3:])
    v = eqx.filter_jit(ported.model.batched)(u)
    wanted = np.moveaxis(case.y, -1, 2).reshape(v.shape)
    assert np.linalg.norm(v - wanted) < 1e-5 * np.linalg.norm(wanted)  # coordinates of the original are in single precision


def test_a_smoke_network_has_the_box_of_its_script_or_the_one_given():
    for changes, lengths in (({}, (8, 8, 8)), ({"extent": [1, 2, 3.5]}, (1, 2, 3.5))):
        case, ported = port("factformer/smoke_padded", **changes)
        space = case.x.shape[3:]
        axes = {f"pos_{a}": jnp.arange(n + 1) * (e / (n - 1)) for a, n, e in zip("xyz", space, lengths, strict=True)}
        y = eqx.filter_jit(ported)(x=jnp.asarray(case.x), **axes)
        u = jnp.asarray(case.x).swapaxes(1, 2).reshape(1, -1, *space)
        v = eqx.filter_jit(ported.model.batched)(u)
        np.testing.assert_allclose(v, np.moveaxis(y, -1, 2).reshape(v.shape), atol=1e-12 * np.abs(y).max())


def test_one_mean_and_deviation_are_in_the_operator(tmp_path, capsys):
    statistics = {"mean": 0.3, "std": 2.0, "eps": 0.5}
    case, ported = port("mgno/darcy_odd", normalizer=statistics)
    x = jnp.asarray(case.x)
    np.testing.assert_allclose(ported(x=x), 2.5 * case.y + 0.3, rtol=1e-6)
    assert isinstance(ported.model, Normalized) and isinstance(ported.model.model, MgNO) and ported.difference == ""
    assert HeMgNO(ported.model, None, None, None, True)(x=x[:1]).shape == case.y.shape[2:]
    assert main(["convert", *written("mgno/darcy_odd", tmp_path, normalizer=statistics)]) == 0
    said = capsys.readouterr().out
    assert "MgNO, " in said and "not the original" not in said
    loaded = checkpoint.load(tmp_path / "out")
    np.testing.assert_allclose(eqx.filter_jit(loaded.batched)(x.astype(jnp.float32)), 2.5 * case.y + 0.3, rtol=1e-4, atol=1e-5)


def test_convert_says_where_the_operator_differs(tmp_path, capsys):
    assert main(["convert", *written("neuraloperator_fno/fno2d_bare", tmp_path)]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "not the original" in line]
    assert line.startswith("It is not the original everywhere: where an axis but the last has an odd number of points")


def test_convert_refuses_what_it_cannot_keep(tmp_path, capsys):
    assert main(["convert", *written("mgno/darcy_post_smoothing", tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "a mean and a deviation for each point" in said and said.count("\n") == 1 and not (tmp_path / "out").exists()
    assert main(["convert", *written("factformer/darcy_odd", tmp_path, extent="1")]) == 2
    said = capsys.readouterr().err
    assert "extent must be one length, or one per axis, got '1'" in said and said.count("\n") == 1
