import re
import shutil
import signal
import subprocess
import sys
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax import checkpoint
from neuralop_jax._checkpoint_store import arrays_of
from neuralop_jax.checkpoint import CheckpointStore, DamagedCheckpoint, fill
from neuralop_jax.errors import CheckpointError, ConfigError
from neuralop_jax.grids import Grid
from neuralop_jax.info import DatasetInfo, FieldInfo, SplitInfo
from neuralop_jax.models import FNO, AbstractOperator, Normalized, spec_of
from neuralop_jax.normalizers import GaussianNormalizer, IdentityNormalizer

TREE = {
    "bfloat16": jnp.arange(3, dtype=jnp.bfloat16) / 3,
    "complex": jnp.array([1 + 2j, 3 - 4j], jnp.complex64),
    "count": jnp.array(7, jnp.int32),
    "double": jnp.array([np.pi, np.nan, -0.0]),
    "empty": jnp.zeros((0, 3)),
    "flag": np.array([True, False]),
    "layers": (jnp.ones((2, 2), jnp.float32), None, jnp.tanh),
}


def of_step(step):
    values = np.random.default_rng(step).normal(size=(30, 40))
    return {"model": {"w": jnp.asarray(values), "b": jnp.full(50, 1.0 + step)}}


@pytest.fixture
def two_steps(tmp_path):
    with CheckpointStore(tmp_path / "store") as store:
        for step in (1, 2):
            store.save(step, of_step(step), {"step": step})
    return tmp_path / "store"


def newest(directory, **options):
    """The record and the arrays that a reader gets, and what it is warned of."""
    warned = []
    with CheckpointStore(directory, read_only=True) as store:
        return *store.newest(store.read, warn=warned.append, **options), warned


def assert_step(step, record, arrays):
    assert record == {"step": step}
    for name, leaf in of_step(step)["model"].items():
        np.testing.assert_array_equal(arrays["model"][f"['{name}']"], leaf)


def test_every_kind_of_leaf_comes_back_to_the_bit(tmp_path):
    with CheckpointStore(tmp_path) as store:
        store.save(5, {"first": TREE, "none": {}, "second": jnp.ones(2)}, {"note": [1, "é", 0.1, None]})
    with CheckpointStore(tmp_path, read_only=True) as store:
        record, arrays = store.read(5)
        assert store.read(5, ("second",))[1].keys() == {"second"}
    assert record == {"note": [1, "é", 0.1, None]}
    assert arrays["none"] == {} and arrays["second"]["value"].tolist() == [1, 1]
    back = fill(jax.tree.map(lambda x: x * 0 if eqx.is_array(x) and x.dtype != bool else x, TREE), arrays["first"], "here")
    for a, b in zip(jax.tree.leaves(back), jax.tree.leaves(TREE), strict=True):
        if eqx.is_array(b):
            assert a.dtype == b.dtype and a.shape == b.shape and np.asarray(a).tobytes() == np.asarray(b).tobytes()
        else:
            assert a is b


def test_only_the_newest_steps_are_kept_and_no_trash(tmp_path):
    with CheckpointStore(tmp_path, keep=2) as store:
        for step in (3, 6, 9):
            store.save(step, of_step(step), {"step": step})
        assert store.steps() == [6, 9]
        store.discard_after(6)
        assert store.steps() == [6]
        store.save(9, of_step(10), {"step": 10})
    assert {file.name for file in tmp_path.iterdir()} == {"6", "9"}
    assert_step(10, *newest(tmp_path)[:2])


def test_a_step_is_not_written_twice(two_steps):
    with CheckpointStore(two_steps) as store, pytest.raises(CheckpointError, match="cannot be written"):
        store.save(2, of_step(7), {"step": 7})
    assert_step(2, *newest(two_steps)[:2])


def files_of(directory, step):
    return sorted(file for file in (directory / str(step)).rglob("*") if file.is_file())


@pytest.mark.parametrize("where", ["values", "anywhere"])
def test_flipped_bits_never_change_a_value(two_steps, where):
    """A flipped bit among the values is always found; elsewhere it may be without consequence. The step before is then used."""
    rng, found, flips = np.random.default_rng(0), 0, 50
    files = [file for file in files_of(two_steps, 2) if file.stat().st_size]
    if where == "values":  # the first 9000 bytes of the one large file are the 1200 values of w
        files = [max(files, key=lambda file: file.stat().st_size)]
    for _ in range(flips):
        file = rng.choice(files)
        whole = file.read_bytes()
        damaged = bytearray(whole)
        damaged[rng.integers(9_000 if where == "values" else len(whole))] ^= 1 << rng.integers(8)
        file.write_bytes(damaged)
        record, arrays, warned = newest(two_steps)
        assert_step(1 if warned else 2, record, arrays)
        for line in warned:
            assert "\n" not in line and f"{two_steps / '2'} is damaged (" in line and "Step 1 is used instead." in line
        found += len(warned)
        file.write_bytes(whole)
    assert found == flips if where == "values" else 0 < found


def test_changed_values_are_named(two_steps):
    """A damaged array is reported by its path."""
    with CheckpointStore(two_steps) as store:
        manager, original = store._manager, store._manager.restore

        def altered(step, *, args):
            items = original(step, args=args)
            return items if "model" not in items else {"model": {**items["model"], "['w']": items["model"]["['w']"] + 1}}

        manager.restore = altered
        with pytest.raises(DamagedCheckpoint, match=re.escape("2 is damaged (['w']: sha256 mismatch)")):
            store.read(2)


@pytest.mark.parametrize("damage", ["cut", "empty", "missing"])
def test_damaged_files_never_change_a_value(two_steps, damage):
    fallen_back = 0
    for file in files_of(two_steps, 2):
        whole = file.read_bytes()
        if damage == "missing":
            file.unlink()
        else:
            file.write_bytes(whole[: len(whole) // 2] if damage == "cut" else b"")
        record, arrays, warned = newest(two_steps)
        assert record["step"] in (1, 2)
        assert_step(record["step"], record, arrays)
        fallen_back += record["step"] == 1
        file.write_bytes(whole)
    assert fallen_back >= 3


def test_nothing_whole_is_left(two_steps):
    for step in (1, 2):
        (two_steps / str(step) / "meta" / "metadata").write_text("{}")
    with CheckpointStore(two_steps, read_only=True) as store:
        with pytest.raises(CheckpointError, match="1 is damaged .* and no earlier one is left"):
            store.newest(store.read, warn=lambda line: None)
        with pytest.raises(CheckpointError, match="2 is damaged"):
            store.newest(store.read, strict=True)
        with pytest.warns(UserWarning, match="2 is damaged"), pytest.raises(CheckpointError):
            store.newest(store.read)


def test_a_newer_format_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("neuralop_jax._checkpoint_store.FORMAT", 2)
    with CheckpointStore(tmp_path) as store:
        store.save(1, of_step(1), {})
    monkeypatch.undo()
    with (
        CheckpointStore(tmp_path) as store,
        pytest.raises(CheckpointError, match="format 2, written by neuralop_jax .* up to format 1"),
    ):
        store.newest(store.read)


def test_every_differing_leaf_is_named():
    stored = {"a": np.ones((2, 3)), "b": np.ones(2, np.complex64), "gone": np.ones(1), "same": np.ones(3)}
    template = {"a": jnp.ones((4, 3)), "b": jnp.ones(2, jnp.float32), "new": jnp.ones(1), "same": jnp.zeros(3)}
    with pytest.raises(CheckpointError) as caught:
        fill(template, {f"['{name}']": leaf for name, leaf in stored.items()}, "runs/a/checkpoints/500")
    message = str(caught.value)
    assert message.startswith("runs/a/checkpoints/500 does not fit this model (4 leaves differ): ") and "\n" not in message
    for part in (
        "['a'] stored (2, 3) float64, wanted (4, 3) float64",
        "['b'] stored (2,) complex64, wanted (2,) float32",
        "['new'] stored nothing, wanted (1,) float64",
        "['gone'] stored (1,) float64, wanted nothing",
    ):
        assert part in message


def test_leaf_names_read_like_code(getkey):
    arrays = arrays_of(FNO(in_channels=1, out_channels=1, n_modes=(4,), width=2, depth=2, key=getkey()))
    assert any(path.startswith("blocks[1].") for path in arrays)


KILLED = """
import itertools, sys
import numpy as np
from neuralop_jax.checkpoint import CheckpointStore
with CheckpointStore(sys.argv[1], keep=1) as store:
    first = max(store.steps(), default=0) + 1
    for step in itertools.count(first):
        store.save(step, {"model": np.full(300_000, float(step))}, {"step": step})
        print(step, flush=True)
"""


def test_a_process_killed_while_it_saves_leaves_every_listed_step_whole(tmp_path):
    rng, last = np.random.default_rng(0), 0
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        last = int(process.stdout.readline())
        time.sleep(rng.uniform(0.05, 0.3))
        process.send_signal(signal.SIGKILL)
        last = int(([*process.stdout.read().split("\n")[:-1], last])[-1] or last)
        process.wait()
        with CheckpointStore(tmp_path, read_only=True) as store:
            assert store.steps()
            for step in store.steps():
                record, arrays = store.read(step)
                assert record == {"step": step} and np.all(arrays["model"]["value"] == step)
    with CheckpointStore(tmp_path, keep=1) as store:
        store.save(10**6, of_step(1), {})
        deadline = time.monotonic() + 10
        while {file.name for file in tmp_path.iterdir()} != {str(10**6)} and time.monotonic() < deadline:
            time.sleep(0.05)  # Orbax removes what a killed process left in a thread of its own
    assert {file.name for file in tmp_path.iterdir()} == {str(10**6)}


FULL = """
import resource, sys
import numpy as np
from neuralop_jax.checkpoint import CheckpointStore
from neuralop_jax.errors import CheckpointError
with CheckpointStore(sys.argv[1]) as store:
    store.save(1, {"model": np.ones(10)}, {})
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    try:
        store.save(2, {"model": np.random.default_rng(0).normal(size=200_000)}, {})
    except CheckpointError as error:
        print(error)
    print(store.steps())
"""


def test_a_full_disk_is_an_error_and_earlier_steps_stay(tmp_path):
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, timeout=120)
    message, steps = done.stdout.strip().splitlines()
    assert f"{tmp_path / '2'} cannot be written (" in message and "it needs 1.6 MB" in message
    assert steps == "[1]"
    with CheckpointStore(tmp_path, read_only=True) as store:
        assert store.read(1)[1]["model"]["value"].tolist() == [1.0] * 10


INFO = DatasetInfo("waves", "Waves", (FieldInfo("a", "m"),), {"train": SplitInfo(4, Grid((8, 8)))}, {"nu": 0.1}, "MIT", "Me 2020")


def operator_of(getkey):
    model = FNO(in_channels=2, out_channels=1, n_modes=(4, 4), width=3, depth=2, activation="relu", norm="group", key=getkey())
    return Normalized(model, GaussianNormalizer([0.1, 0.2], [3.0, 1 / 3]), IdentityNormalizer())


def test_an_operator_comes_back_with_nothing_but_its_directory(getkey, tmp_path):
    operator = operator_of(getkey)
    checkpoint.save_model(tmp_path / "model", operator, INFO)
    shutil.move(tmp_path / "model", tmp_path / "moved")
    loaded = checkpoint.load(tmp_path / "moved")
    assert eqx.tree_equal(loaded, operator) and spec_of(loaded) == spec_of(operator)
    u = jax.random.normal(getkey(), (2, 9, 12))
    np.testing.assert_array_equal(loaded(u), operator(u))
    assert checkpoint.load_info(tmp_path / "moved") == INFO


def test_a_bare_model_without_info(getkey, tmp_path):
    model = operator_of(getkey).model
    checkpoint.save_model(tmp_path, model)
    assert eqx.tree_equal(checkpoint.load(str(tmp_path)), model) and checkpoint.load_info(tmp_path) is None


class Unregistered(AbstractOperator):
    in_channels: int = 1
    out_channels: int = 1
    width: int = 1

    def __call__(self, u, *, x=None, y=None, p=None, key=None):
        return u


def test_nothing_is_overwritten(getkey, tmp_path):
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path, tmp_path / "file"):
        with pytest.raises(CheckpointError, match="exists and is not overwritten"):
            checkpoint.save_model(path, operator_of(getkey))
    with pytest.raises(ConfigError, match="not a registered model"):
        checkpoint.save_model(tmp_path / "new", Unregistered())
    assert {file.name for file in tmp_path.iterdir()} == {"file"}


def test_directories_without_checkpoints(tmp_path, getkey):
    with pytest.raises(CheckpointError, match="is not a directory"):
        checkpoint.load(tmp_path / "none")
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        checkpoint.load(tmp_path)
    checkpoint.save_model(tmp_path / "model", operator_of(getkey))
    with pytest.raises(CheckpointError, match="has no checkpoint of step 3. Found: 0."):
        checkpoint.load(tmp_path / "model", step=3)


@pytest.mark.parametrize("bare", [True, False])
def test_the_precision_that_was_saved_comes_back_whatever_the_default(tmp_path, bare):
    with jax.enable_x64(False):
        model = FNO(in_channels=1, out_channels=1, n_modes=(4,), width=3, depth=1, key=jax.random.key(0))
        model = model if bare else Normalized(model, GaussianNormalizer([0.5], [2.0]), IdentityNormalizer())
        checkpoint.save_model(tmp_path / "single", model)
        checkpoint.load(tmp_path / "single")
    loaded = checkpoint.load(tmp_path / "single")
    assert eqx.tree_equal(loaded, model) and jax.tree.leaves(loaded)[0].dtype == jnp.float32


def test_numbers_that_would_be_shortened_are_not_loaded(tmp_path):
    model = FNO(in_channels=1, out_channels=1, n_modes=(4,), width=3, depth=1, key=jax.random.key(0))
    checkpoint.save_model(tmp_path / "double", model)
    with jax.enable_x64(False), pytest.raises(CheckpointError, match="holds float64 numbers.* Set JAX_ENABLE_X64=1"):
        checkpoint.load(tmp_path / "double")
