"""Operators that read one grid, through the whole training: what they take from the data, and what they leave out."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax import checkpoint
from neuralop_jax.config import ModelConfig
from neuralop_jax.data import HDF5Dataset, read_info, write_hdf5
from neuralop_jax.errors import ConfigError
from neuralop_jax.models import pod_modes
from neuralop_jax.training import fit, prepare


def with_model(config, kind, **options):
    return dataclasses.replace(config, model=ModelConfig(kind, {"width": 3, **options}))


def test_modes_are_those_of_the_training_outputs_alone(configure, data_file, quiet, tmp_path):
    """Acceptance 4: also, other held-out outputs change nothing, training leaves the modes as they are, and they are saved."""
    config = with_model(configure(), "pod_deeponet", num_modes=4)
    before = prepare(config).operator
    targets = np.stack([sample.target for sample in (HDF5Dataset(data_file, "train", "a", "v")[i] for i in range(12))])
    shift, scale = before.output.shift_and_scale()
    mean, modes = pod_modes((targets - np.asarray(shift)[:, None]) / np.asarray(scale)[:, None], 4)
    np.testing.assert_allclose(before.model.modes.mean, mean, atol=1e-5)
    np.testing.assert_allclose(np.abs(np.einsum("jx,kx->jk", before.model.modes.modes[0], modes[0])) / 8, np.eye(4), atol=1e-4)
    result = fit(config, run_dir=tmp_path / "run", console=quiet)
    assert set(result.results["splits"]) == {"test_8"}
    assert jnp.array_equal(result.operator.model.modes.modes, before.model.modes.modes)
    loaded = checkpoint.load(tmp_path / "run")
    assert jnp.array_equal(loaded.model.modes.modes, before.model.modes.modes)
    said = "test_16 is left out: PODDeepONet reads its input at 8 fixed sensors, not on 16 points."
    assert said in (tmp_path / "run/run.log").read_text()
    info, path = read_info(data_file, ("a", "v")), data_file.with_name("other.h5")
    splits = {name: HDF5Dataset(data_file, name, "a", "v").read_all() for name in info.splits}
    arrays = {name: {"a": s.inputs["u"][:, 0], "v": s.target[:, 0] * (name == "train")} for name, s in splits.items()}
    write_hdf5(path, info, arrays)
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, path=str(path)))
    assert jnp.array_equal(prepare(config).operator.model.modes.modes, before.model.modes.modes)


def test_split_that_cannot_be_read_does_not_decide(configure):
    config = with_model(configure(training={"early_stop_split": "test_16", "evaluate_every": 2}), "deeponet")
    with pytest.raises(ConfigError, match="early_stop_split 'test_16' cannot be evaluated: DeepONet reads its input at 8 fixed"):
        prepare(config)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("deeponet", {}), ("multionet", {}), ("factformer", {"width": 8, "depth": 1, "heads": 1, "head_width": 4})],
)
def test_normalizer_that_moves_zero_is_refused_for_a_zero_boundary(configure, kind, options):
    config = with_model(configure(), kind, boundary_condition="dirichlet", **options)
    with pytest.raises(ConfigError, match="data.target_normalizer 'gaussian' moves the zeros .* Use 'rms' or 'identity'"):
        prepare(config)
    operator = prepare(dataclasses.replace(config, data=dataclasses.replace(config.data, target_normalizer="rms"))).operator
    assert not jnp.any(operator(jnp.ones((1, 8)))[:, jnp.asarray([0, -1])])
