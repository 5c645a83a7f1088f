import os
import shutil

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax import checkpoint
from neuralop_jax._checkpoint_store import arrays_of
from neuralop_jax.checkpoint import CheckpointStore, fill
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


def test_steps_to_be_written_anew_go_from_the_newest(tmp_path, monkeypatch):
    """After a kill in the middle none is left that is newer than one that went."""
    with CheckpointStore(tmp_path) as store:
        for step in (3, 6, 9):
            store.save(step, of_step(step), {"step": step})
        rename = os.rename
        monkeypatch.setattr(os, "rename", lambda *ends: rename(*ends) if ends[0].name == "9" else 1 / 0)
        with pytest.raises(ZeroDivisionError):
            store.discard_after(3)
        assert store.steps() == [3, 6]


def test_a_step_is_not_written_twice(two_steps):
    with CheckpointStore(two_steps) as store, pytest.raises(CheckpointError, match="cannot be written"):
        store.save(2, of_step(7), {"step": 7})
    assert_step(2, *newest(two_steps)[:2])


def test_nothing_whole_is_left(two_steps):
    for step in (1, 2):
        (two_steps / str(step) / "meta.json").write_text("{}")
    with CheckpointStore(two_steps, read_only=True) as store:
        with pytest.raises(CheckpointError, match="1 is damaged .* and no earlier one is left"):
            store.newest(store.read, warn=lambda line: None)
        with pytest.raises(CheckpointError, match="2 is damaged"):
            store.newest(store.read, strict=True)
        with pytest.warns(UserWarning, match="2 is damaged"), pytest.raises(CheckpointError):
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
