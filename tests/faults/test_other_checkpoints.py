"""Checkpoints of another model, configuration, version or number of devices."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_problem import Pointwise, lines_of

from neuralop_jax import checkpoint
from neuralop_jax.checkpoint import CheckpointStore, fill
from neuralop_jax.config import config_sha256, load_config, to_json
from neuralop_jax.errors import CheckpointError, ConfigError
from neuralop_jax.models import FNO
from neuralop_jax.training import fit


def test_f09_another_model_is_refused_leaf_by_leaf(unmeasured, configure, quiet, run):
    fit(configure(), run_dir=run, console=quiet)
    other = configure(model={"width": 8}, training={"steps": 20})
    with pytest.raises(ConfigError, match=r"was trained with another configuration: model.width unset -> 8\. .* --force"):
        fit(other, run_dir=run, resume=True, console=quiet)
    with pytest.raises(CheckpointError) as caught:
        fit(other, run_dir=run, resume=True, force=True, console=quiet)
    message = str(caught.value)
    assert "\n" not in message and message.startswith(f"{run / 'checkpoints' / '12'} does not fit this model (2 leaves differ): ")
    for part in (
        "model.inner stored (4, 1) float64, wanted (8, 1) float64",
        "model.outer stored (1, 4) float64, wanted (1, 8) float64",
        "The configuration differs: model.width unset -> 8; training.steps 12 -> 20.",
    ):
        assert part in message


def test_f09_a_checkpoint_of_another_configuration_is_noticed_whatever_config_json_says(unmeasured, configure, quiet, run):
    fit(configure(), run_dir=run, console=quiet)
    other = configure(model={"activation": "relu"})
    (run / "config.json").write_text(json.dumps(to_json(other)))
    with pytest.raises(ConfigError, match=r'checkpoints/12 was trained with another .*: model.activation unset -> "relu"'):
        fit(other, run_dir=run, resume=True, console=quiet)


def test_f09_another_activation_with_the_same_shapes_is_noticed(unmeasured, configure, quiet, run, monkeypatch):
    """A version with another default builds another operator from the same configuration."""
    fit(configure(), run_dir=run, console=quiet)
    monkeypatch.setitem(Pointwise.__init__.__kwdefaults__, "activation", "relu")
    with pytest.raises(CheckpointError, match="though its arrays have the same shapes: activation 'tanh' -> 'relu'"):
        fit(configure(), run_dir=run, resume=True, console=quiet)
    assert fit(configure(), run_dir=run, resume=True, force=True, console=quiet).operator.model.activation == "relu"


@pytest.mark.parametrize(("stored", "wanted"), [("complex64", "float32"), ("float32", "float16"), ("float32", "int32")])
def test_f09_numbers_are_not_cast(tmp_path, stored, wanted):
    with CheckpointStore(tmp_path) as store:
        store.save(1, {"model": np.ones(3, stored)}, {})
        with pytest.raises(CheckpointError, match=rf"value stored \(3,\) {stored}, wanted \(3,\) {wanted}"):
            fill(jnp.ones(3, wanted), store.read(1)[1]["model"], "here")


def test_f09_the_record_has_the_configuration_and_its_digest(unmeasured, configure, quiet, run):
    fit(configure(), run_dir=run, console=quiet)
    with CheckpointStore(run / "checkpoints", read_only=True) as store:
        record = store.read(12, ())[0]
    assert record["config"] == to_json(configure()) and record["config_sha256"] == config_sha256(configure())


@pytest.fixture
def old_run(tmp_path, monkeypatch):
    """A run of two steps that version 0.1.0 wrote in format 1, in single precision; its data are beside it."""
    with zipfile.ZipFile(Path(__file__).parent / "format_1.zip") as file:
        for name in file.namelist():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.read(name))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "run"


TOML = """
[data]
path = "sines.h5"
input = ["a"]
target = ["v"]
batch_size = 3
loader = "device"

[model]
kind = "fno"
n_modes = [2]
width = 2
depth = 1
activation = "relu"

[training]
steps = 4
log_every = 1
save_every = 2
ema = 0.9
"""


def test_f10_the_first_format_is_read(old_run):
    """The averaged operator, and what it then made of a sine."""
    operator = checkpoint.load(old_run)
    u = jnp.asarray(np.sin(2 * np.pi * np.arange(8) / 8)[None], jnp.float32)
    v = [-0.01655257, -0.03941589, -0.05256457, -0.0423846, -0.0019039, 0.0445717, 0.06331587, 0.05340556]
    np.testing.assert_allclose(operator(u)[0], v, atol=1e-7)
    assert checkpoint.load_info(old_run).title == "Sines"


def test_f10_a_run_of_the_first_format_goes_on(old_run, quiet):
    """The losses are those that the first version logged when it continued this run itself."""
    (old_run.parent / "run.toml").write_text(TOML)
    with jax.enable_x64(False):
        fit(load_config("run.toml"), run_dir=old_run, resume=True, console=quiet)
    losses = [line["loss"] for line in lines_of(old_run)]
    np.testing.assert_allclose(losses, [1.0284017324, 1.0293366909, 1.0275310278, 1.0282391310], rtol=2e-6)
    with CheckpointStore(old_run / "checkpoints", read_only=True) as store:
        assert store.steps() == [2, 4]
        old, new = store.read(2), store.read(4)
    assert old[1].keys() == new[1].keys() == {"model", "optimizer", "ema", "guard"}
    assert {name: set(tree) for name, tree in old[1].items()} == {name: set(tree) for name, tree in new[1].items()}
    assert old[0]["progress"].keys() == new[0]["progress"].keys()
    assert old[0]["progress"]["goodput"]["compile"] == pytest.approx(6.4863055)


def test_f10_damage_to_the_first_format_is_found(old_run):
    file = old_run / "checkpoints" / "2" / "meta" / "metadata"
    file.write_text(file.read_text().replace('"depth": 1', '"depth": 2'))
    with pytest.raises(CheckpointError, match=r"2 is damaged \(meta: sha256 mismatch\)"):
        checkpoint.load(old_run)


def test_f10_a_newer_format_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("neuralop_jax._checkpoint_store.FORMAT", 3)
    with CheckpointStore(tmp_path) as store:
        store.save(1, {"model": np.ones(3)}, {})
        monkeypatch.undo()
        with pytest.raises(
            CheckpointError, match="format 3, written by neuralop_jax .* up to format 2. Install the newer version."
        ):
            store.newest(store.read)


DEVICES = """
import os, sys
os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={sys.argv[1]}"
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
from neuralop_jax import checkpoint
from neuralop_jax.models import FNO

devices, path, save = int(sys.argv[1]), sys.argv[2], len(sys.argv) > 3
assert jax.device_count() == devices
mesh = jax.make_mesh((devices,), ("data",), axis_types=(AxisType.Auto,))
def shard(leaf):
    axes = [axis for axis, size in enumerate(leaf.shape) if size % devices == 0]
    spec = P(*(("data" if axis == axes[0] else None) for axis in range(leaf.ndim))) if axes else P()
    return jax.device_put(leaf, NamedSharding(mesh, spec))
if save:
    model = FNO(in_channels=1, out_channels=1, n_modes=(4,), width=8, depth=1, key=jax.random.key(0))
    checkpoint.save_model(path, jax.tree.map(lambda x: shard(x) if hasattr(x, "sharding") else x, model))
model = jax.tree.map(lambda x: shard(x) if hasattr(x, "sharding") else x, checkpoint.load(path))
assert any(not leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(model) if hasattr(leaf, "sharding"))
np.save(f"{path}_{devices}.npy", jax.jit(lambda m, u: m(u))(model, jnp.sin(jnp.arange(16.0))[None]))
"""


def test_f11_another_number_of_devices(tmp_path, count):
    """Saved from arrays on four devices, loaded on one (here), and on two and eight."""
    path = tmp_path / "model"
    for words in [("4", str(path), "save"), ("2", str(path)), ("8", str(path))][: count(1, 3)]:
        done = subprocess.run([sys.executable, "-W", "ignore", "-c", DEVICES, *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    with jax.enable_x64(False):
        model = FNO(in_channels=1, out_channels=1, n_modes=(4,), width=8, depth=1, key=jax.random.key(0))
        loaded = checkpoint.load(path)
        assert eqx.tree_equal(loaded, model)
        wanted = loaded(jnp.sin(jnp.arange(16.0))[None])
    for devices in (4, 2, 8)[: count(1, 3)]:
        np.testing.assert_allclose(np.load(f"{path}_{devices}.npy"), wanted, rtol=1e-6, atol=1e-6)
