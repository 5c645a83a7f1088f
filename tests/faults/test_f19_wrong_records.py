"""F19: what stands beside the arrays of a checkpoint is well-formed, with the right digest, and nonsense all the same."""

import hashlib
import json
import time

import jax
import numpy as np
import pytest

from neuralop_jax import checkpoint
from neuralop_jax.checkpoint import CheckpointStore, DamagedCheckpoint
from neuralop_jax.errors import CheckpointError
from neuralop_jax.grids import Grid
from neuralop_jax.info import DatasetInfo, FieldInfo, SplitInfo
from neuralop_jax.models import FNO, Normalized
from neuralop_jax.normalizers import GaussianNormalizer
from neuralop_jax.training import fit


def rewrite(step, change):
    """Changes what stands beside the arrays of a step, and its digest with it."""
    path = step / "meta.json"
    meta = json.loads(path.read_bytes())
    content = json.dumps(meta if (other := change(meta)) is None else other).encode()
    path.write_bytes(content)
    path.with_name("meta.json.sha256").write_text(hashlib.sha256(content).hexdigest())


def at(*names, **to):
    """Sets the entry reached by `names` to `to["to"]`, or removes it."""

    def change(meta):
        *path, last = names
        for name in path:
            meta = meta[name]
        if to:
            meta[last] = to["to"]
        else:
            del meta[last]

    return change


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The files of a small operator."""
    path = tmp_path_factory.mktemp("saved") / "model"
    model = FNO(in_channels=1, out_channels=1, n_modes=(2,), width=2, depth=1, key=jax.random.key(0))
    scale = GaussianNormalizer(np.zeros(1), np.ones(1))
    info = DatasetInfo("x", "X", (FieldInfo("a"), FieldInfo("u")), {"train": SplitInfo(3, Grid((8,)))})
    checkpoint.save_model(path, Normalized(model, scale, scale), info)
    return {file.relative_to(path): file.read_bytes() for file in path.rglob("*") if file.is_file()}


@pytest.fixture
def model(saved, tmp_path):
    for name, content in saved.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


def nested(levels):
    tree = []
    for _ in range(levels):
        tree = [tree]
    return tree


LEAF = "input.mean"
OPERATOR = ("record", "operator")
WRONG = {
    "list": (lambda meta: [], "meta must be a table, got the list []"),
    "no record": (at("record"), "meta has no entry 'record'"),
    "record": (at("record", to=[]), "meta.record must be a table, got the list []"),
    "format": (at("format", to="9"), "meta.format must be an integer >= 0, got the string '9'"),
    "negative format": (at("format", to=-5), "meta.format must be an integer >= 0, got -5"),
    "leaves": (at("leaves", to=[]), "meta.leaves must be a table, got the list []"),
    "leaf": (at("leaves", "model", LEAF, to=3), f"meta.leaves['model']['{LEAF}'] must be a table"),
    "files": (at("files", "model", to=None), "meta.files['model'] must be a table, got null"),
    "no operator": (at(*OPERATOR), "record has no entry 'operator'"),
    "operator": (at(*OPERATOR, to=None), "record.operator must be a table, got null"),
    "no spec": (at(*OPERATOR, "spec"), "record.operator has no entry 'spec'"),
    "spec": (at(*OPERATOR, "spec", to="x"), "record.operator.spec must be a table, got the string 'x'"),
    "long spec": (at(*OPERATOR, "spec", to="\x1b]x" * 10**6), "record.operator.spec must be a table, got the string '\\x1b]x"),
    "normalizers": (at(*OPERATOR, "normalizers", to={}), "record.operator.normalizers has no entry 'input'"),
    "normalizer": (at(*OPERATOR, "normalizers", "input", to=3), "record.operator.normalizers.input must be a table, got 3"),
    "info": (at(*OPERATOR, "info", to={"x": 1}), "record.operator.info has an entry 'x', wanted none but name, title"),
    "split": (
        at(*OPERATOR, "info", "splits", "train", "times", to=5),
        "info.splits['train'].times must be a list of numbers, got 5",
    ),
    "width": (at(*OPERATOR, "spec", "width", to=10**8), "record.operator.spec.width is 100000000, but "),
    "depth": (at(*OPERATOR, "spec", "depth", to=10**8), "record.operator.spec.depth is 100000000, but "),
    "modes": (at(*OPERATOR, "spec", "n_modes", to=[10**9]), "record.operator.spec.n_modes is 1000000000, but "),
    "deep": (at(*OPERATOR, "spec", "x", to=nested(200)), "nested more than 64 levels deep"),
    "size": (at("leaves", "model", LEAF, "shape", to=[2, 10**12]), "claim to hold 16,000,000,000,"),
    "shape": (at("leaves", "model", LEAF, "shape", to=[2, 9]), f"{LEAF}: shape (1,), wanted (2, 9)"),
}
REFUSED = {
    "no leaves": (at("leaves", to={}), "does not fit this model"),
    "kind": (at(*OPERATOR, "spec", "kind", to="os.system"), "'os.system' is not a registered model"),
    "unknown option": (at(*OPERATOR, "spec", "_target_", to="os.system"), "unknown option 'model._target_'"),
    "wider": (at(*OPERATOR, "spec", "width", to=10**5), "does not fit this model"),
    "deeper": (at(*OPERATOR, "spec", "depth", to=10**5), "model.depth must be >= 1 and < 1000, got 100000"),
    "normalizer": (at(*OPERATOR, "normalizers", "input", to={"kind": "pickle"}), "normalizer must be one of 'gaussian'"),
    "statistics": (at(*OPERATOR, "normalizers", "input", "mean", to=[0.0] * 7), "does not fit this model"),
    "no statistics": (at(*OPERATOR, "normalizers", "input", "mean"), "normalizer 'gaussian' has eps, kind, mean, std"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_contents_are_one_line_that_names_them(model, name):
    change, message = WRONG[name]
    rewrite(model / "0", change)
    start = time.monotonic()
    with pytest.raises(CheckpointError) as caught:
        (checkpoint.load_info if "info" in message else checkpoint.load)(model)
    line = str(caught.value)
    assert line.startswith(f"{model / '0'} is damaged (") and message in line and len(line) < 600
    assert "Restore it from a copy, or train again." in line and line.isprintable() and time.monotonic() - start < 5


@pytest.mark.parametrize("name", REFUSED)
def test_operators_that_cannot_be_built_are_one_line(model, name):
    change, message = REFUSED[name]
    rewrite(model / "0", change)
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load(model)
    line = str(caught.value)
    assert line.startswith(str(model / "0")) and message in line and line.isprintable()


def test_text_that_is_nested_ten_thousand_levels_deep_is_damage(model):
    content = b"[" * 10_000 + b"]" * 10_000
    (model / "0" / "meta.json").write_bytes(content)
    (model / "0" / "meta.json.sha256").write_text(hashlib.sha256(content).hexdigest())
    with pytest.raises(CheckpointError, match=r"0 is damaged \(ValueError: nested more than 64 levels deep\)"):
        checkpoint.load(model)


PROGRESS = ("record", "progress")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (at(*PROGRESS, to=None), "record.progress must be a table, got null"),
        (at(*PROGRESS, "rollbacks", to=10**9), "record.progress.rollbacks must be an integer >= 0 and < 100, got 1000000000"),
        (at(*PROGRESS, "goodput", to={"x": 1}), "record.progress.goodput has an entry 'x', wanted none but steps, compile"),
        (at(*PROGRESS, "early_stop", "best", to="x"), "record.progress.early_stop.best must be a number, got the string 'x'"),
        (at(*PROGRESS, "line", to={"step": 12}), "record.progress.line has no entry 'loss'"),
        (at("record", "config", to=3), "record.config must be a table, got 3"),
        (at("record", "data", to=None), "record.data must be a string, got null"),
    ],
)
def test_a_training_goes_on_from_the_step_before(trained, quiet, change, message):
    config, run = trained
    rewrite(run / "checkpoints" / "12", change)
    result = fit(config, run_dir=run, resume=True, console=quiet)
    log = (run / "run.log").read_text()
    assert f"12 is damaged (meta.json: {message}" in log and "Step 8 is used instead" in log
    assert result.results["steps"] == 12


@pytest.fixture
def trained(unmeasured, configure, quiet, run):
    fit(configure(), run_dir=run, console=quiet)
    return configure(), run


def test_a_position_in_the_data_that_is_none_is_one_line(unmeasured, configure, quiet, run):
    config = configure(data={"loader": "grain"})
    fit(config, run_dir=run, console=quiet)
    for position in ({}, {"next_index": "x"}, {"next_index": -5}, []):
        rewrite(run / "checkpoints" / "12", lambda meta, to=position: meta["record"]["stream"].update(position=to))
        with pytest.raises(CheckpointError, match="the saved position in the data is none"):
            fit(config, run_dir=run, resume=True, console=quiet)


def test_a_step_before_takes_over_from_an_operator_too_large(model, tmp_path):
    with CheckpointStore(model, read_only=True) as store:
        record, arrays = store.read(0)
    with CheckpointStore(model) as store:
        store.save(1, arrays, record)
    rewrite(model / "1", at(*OPERATOR, "spec", "depth", to=10**8))
    with pytest.warns(UserWarning, match="1 is damaged .* Step 0 is used instead"):
        loaded = checkpoint.load(model)
    assert loaded.model.depth == 1
    with pytest.raises(DamagedCheckpoint):
        checkpoint.load(model, step=1)
