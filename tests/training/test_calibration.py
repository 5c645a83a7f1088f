import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax import checkpoint
from neuralop_jax.config import ModelConfig
from neuralop_jax.errors import ConfigError
from neuralop_jax.training import fit, prepare

OPTIONS = {"width": 2, "num_scales": 1, "num_heads": 1, "num_basis": 2, "projection_channels": 4}


def with_norm(config, norm):
    return dataclasses.replace(config, model=ModelConfig("lsm", {**OPTIONS, "norm": norm}))


def norms(operator):
    return operator.model.network.down[0].norms


def test_a_trained_network_is_calibrated_when_it_is_saved(configure, quiet, tmp_path):
    config = with_norm(configure(training={"steps": 4, "evaluate_every": 2, "ema": 0.5}), "batch")
    result = fit(config, run_dir=tmp_path / "run", console=quiet)
    experiment = prepare(config)
    state = dataclasses.replace(experiment.initial(), model=result.operator, ema=None)
    again = experiment.calibration(state).operator()
    for found, wanted in zip(norms(result.operator), norms(again), strict=True):
        np.testing.assert_allclose(found.mean.value, wanted.mean.value, rtol=1e-6)
        np.testing.assert_allclose(found.variance.value, wanted.variance.value, rtol=1e-6)
        assert jnp.any(found.variance.value != 1)
    assert eqx.tree_equal(checkpoint.load(tmp_path / "run"), result.operator)


def test_calibration_leaves_the_weights_and_networks_without_batch_norm(configure):
    experiment = prepare(with_norm(configure(data={"augment": ("reflect",)}), "batch"))
    state = experiment.initial()
    calibrated = experiment.calibration(state)
    assert eqx.tree_equal(calibrated.model.model.lifting, state.model.model.lifting)
    assert not eqx.tree_equal(norms(calibrated.model), norms(state.model))
    plain = prepare(with_norm(configure(), "group"))
    state = plain.initial()
    assert plain.calibration(state) is state


def test_a_batch_is_not_divided_under_batch_norm(configure):
    config = configure(training={"micro_batch": 2})
    with pytest.raises(ConfigError, match="training.micro_batch 2 would change the statistics of batch norm"):
        prepare(with_norm(config, "batch"))
    assert prepare(with_norm(config, "group")).operator.width == 2
    assert len(jax.tree.leaves(prepare(with_norm(configure(), "batch")).operator)) > 0
