"""A plan against the training that it foretells."""

import dataclasses

import equinox as eqx
import h5py
import jax
import numpy as np
import pytest

from neuralop_jax import models
from neuralop_jax.config import ModelConfig
from neuralop_jax.data import write_hdf5
from neuralop_jax.errors import ConfigError, DataError
from neuralop_jax.grids import Grid
from neuralop_jax.info import DatasetInfo, FieldInfo, SplitInfo
from neuralop_jax.training import plan, prepare


def num_bytes(tree):
    return sum(leaf.nbytes for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_array)))


def test_sizes_are_those_of_the_training(configure):
    config = configure(model={"width": 16}, training={"ema": 0.9})
    found, state = plan(config), prepare(config).initial()
    weights = eqx.filter(state.model, models.trainable(state.model))
    assert found.parameters == models.count_parameters(state.model) == 32
    assert found.parts == {"inner": 16, "outer": 16}
    assert found.memory == {
        "parameters": num_bytes(weights),
        "optimizer": num_bytes(state.opt_state),
        "averages": num_bytes(state.ema),
        "other": num_bytes(state.model) - num_bytes(weights),
        "data": 12 * 2 * 8 * 4,
        "batch": 4 * 2 * 8 * 4,
    }
    assert found.total(4) == sum(found.memory.values()) + found.temporaries[4]
    assert (found.steps, found.epochs, found.samples_seen) == (12, 4.0, 48)


def test_samples_are_divided_among_devices_and_portions(configure):
    config = configure(training={"micro_batch": 1}, optimizer={"accumulate": 3}, data={"loader": "grain"})
    one, two = plan(config), plan(config, devices=2)
    assert (one.samples, one.micro_batch, two.samples, two.micro_batch) == (12, 1, 6, 1)
    assert set(two.temporaries) == {1, 2} and two.memory["data"] == 0
    assert two.memory["batch"] == one.memory["batch"] / 2
    assert one.flops / 2.1 < two.flops < one.flops / 1.7
    assert two.exchanges["data"][0].sent(2) == two.memory["parameters"]
    gathered, scattered = two.exchanges["data, sharded weights"]
    assert gathered.sent(2) == scattered.sent(2) == 6 * two.memory["parameters"] / 2
    with pytest.raises(ConfigError, match="^data.batch_size 4 cannot be divided evenly among mesh.data 3 devices"):
        plan(config, devices=3)


def test_operations_grow_with_the_samples_not_with_the_portions(configure):
    flops = lambda **training: plan(configure(model={"width": 64}, training=training)).flops
    assert flops(micro_batch=4) <= flops(micro_batch=1) < 1.2 * flops(micro_batch=4)


def test_modes_beside_the_grids_and_samples_of_the_training(configure, tmp_path):
    rng = np.random.default_rng(0)
    splits = {"train": rng.standard_normal((12, 16)), "coarse": rng.standard_normal((3, 4)), "fine": rng.standard_normal((4, 32))}
    splits["fine"][1, ::2] = splits["train"][7]
    info = {name: SplitInfo(len(u), Grid(u.shape[1:], boundary=("periodic",))) for name, u in splits.items()}
    description = DatasetInfo("x", "x", (FieldInfo("a"), FieldInfo("v")), info)
    write_hdf5(tmp_path / "x.h5", description, {name: {"a": u, "v": u} for name, u in splits.items()})
    config = configure()
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, path=str(tmp_path / "x.h5")))
    config = dataclasses.replace(config, model=ModelConfig("fno", {"n_modes": [12], "width": 2, "depth": 1}))
    refusal = r"x\.h5: 1 of 4 samples of 'fine' have the input of a sample of 'train'. .* with --data.shared-samples allow"
    for look in (plan, prepare):
        with pytest.raises(DataError, match=refusal):
            look(config)
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, shared_samples="allow"))
    assert len(prepare(config).held_out) == 2
    found = plan(config)
    assert [(g.split, g.nyquist, g.kept, g.shared) for g in found.grids] == [
        ("train", (8,), (6,), None),
        ("coarse", (2,), (2,), 0),
        ("fine", (16,), (6,), 1),
    ]
    clipped, leaked = found.warnings
    assert clipped == "coarse: its grid holds 4 of the modes; the others do nothing there."
    assert leaked.startswith("1 of 4 samples of 'fine' have the input of a sample of 'train'")
    assert "blocks (1)" in found.parts and sum(found.parts.values()) == found.parameters
    config = dataclasses.replace(config, model=ModelConfig("fno", {"n_modes": [20], "width": 2, "depth": 1}))
    for look in (plan, prepare):
        with pytest.raises(ConfigError, match="needs a training grid of .* Use --model.n-modes 16"):
            look(config)


def test_a_step_can_be_timed(configure):
    assert plan(configure(), timed=True).step_seconds > 0


def test_refusals(configure, data_file):
    with pytest.raises(DataError, match="has no split 'trian'. Found: .* Did you mean 'train'?"):
        plan(configure(data={"train_split": "trian"}))
    with pytest.raises(DataError, match="fewer than batch size 16"):
        plan(configure(data={"batch_size": 16}))


@pytest.mark.parametrize("empty", ["train", "test"])
def test_an_empty_split_is_refused_as_in_the_training(configure, tmp_path, empty):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for split in ("train", "test"):
            for name in ("a", "v"):
                file[f"{split}/{name}"] = np.ones((0 if split == empty else 8, 8))
    config = configure()
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, path=str(tmp_path / "x.h5")))
    for look in (plan, prepare):
        with pytest.raises(DataError) as error:
            look(config)
        assert str(error.value) == f"{tmp_path / 'x.h5'}: split {empty!r} has no samples. Add data."
