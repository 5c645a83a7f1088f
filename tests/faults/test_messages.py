"""Twenty-five wrong inputs: the class of each error, and the words that say what, where, found, wanted, and what to do."""

import contextlib
import io

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.io
from mutated_files import own

from neuralop_jax import FNO
from neuralop_jax.__main__ import main
from neuralop_jax._checkpoint_store import CheckpointStore, arrays_of, fill
from neuralop_jax.config import load_config
from neuralop_jax.data import HDF5Dataset, grain_batches, open_source, read_info, read_mat
from neuralop_jax.equations import Burgers
from neuralop_jax.errors import CheckpointError, ConfigError, DataError, ModelInputError, RunDirError, SolverError
from neuralop_jax.grids import Grid
from neuralop_jax.solvers import ETDRK, integrate
from neuralop_jax.training import RunDirectory

RUN = """
[data]
path = "own.h5"
input = ["a"]
target = ["u"]
batch_size = 2
[model]
kind = "fno"
n_modes = [4, 4]
width = 2
depth = 1
[training]
steps = 4
[optimizer]
learning_rate = {rate}
"""
ONES = np.ones((5, 8, 8))


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A working directory with a configuration and a data file."""
    monkeypatch.chdir(tmp_path)
    own(tmp_path / "own.h5")
    (tmp_path / "run.toml").write_text(RUN.format(rate="1e-3"))
    return tmp_path


def plain(**fields):
    with h5py.File("x.h5", "w") as file:
        file["a"] = ONES
        for name, values in fields.items():
            file[name] = values
    return "x.h5"


def changed(change):
    with h5py.File("x.h5", "w") as file:
        file["a"] = ONES
        change(file)
    return "x.h5"


def cut(path, size):
    with open(path, "r+b") as file:
        file.truncate(size)
    return path


def wrote(path, content):
    with open(path, "wb") as file:
        file.write(content)
    return path


def read(path):
    return HDF5Dataset(path, "train", "a", "u")


def train(*words):
    """What the command line says, as an error."""
    with contextlib.redirect_stderr(io.StringIO()) as said:
        code = main(["train", "run.toml", *words])
    assert code == 2 and said.getvalue().count("\n") == 1
    raise ConfigError(said.getvalue().strip())


def rate(text):
    with open("run.toml", "w") as file:
        file.write(RUN.format(rate=text))
    return load_config("run.toml")


def flip():
    with h5py.File("own.h5") as file:
        place = file["train/t0_fields/u"].id.get_chunk_info_by_coord((3, 0, 0, 0)).byte_offset
    with open("own.h5", "r+b") as file:
        file.seek(place + 5)
        byte = file.read(1)[0]
        file.seek(place + 5)
        file.write(bytes([byte ^ 16]))
    return "own.h5"


def broken_mat():
    scipy.io.savemat("x.mat", {"a": ONES})
    return cut("x.mat", 200)


def fno(**changes):
    arguments = {"in_channels": 3, "out_channels": 1, "n_modes": (4, 4), "width": 2, "depth": 1} | changes
    return FNO(**arguments, key=jax.random.key(0))


def called(shape, dtype=jnp.float32):
    return jax.eval_shape(fno(), jax.ShapeDtypeStruct(shape, dtype))


def damaged_checkpoint():
    with CheckpointStore("steps") as store:
        for step in (400, 500):
            store.save(step, {"model": {"w": jnp.arange(6.0)}}, {})
        for path in (store.directory / "500").rglob("*"):
            if path.is_file() and "model" in str(path) and path.stat().st_size > 100:
                wrote(path, path.read_bytes()[:-1] + b"?")
        lines = []
        assert store.newest(lambda step: store.read(step)[0], warn=lines.append) == {}
    raise CheckpointError(lines[0])


def busy():
    with RunDirectory("runs/a") as first:
        first.open(load_config("run.toml"))
        with RunDirectory("runs/a"):
            pass


def fast():
    grid = Grid((32,), boundary=("periodic",))
    integrate(ETDRK(Burgers(viscosity=1e-3), grid, dt=0.5), jnp.sin(2 * jnp.pi * jnp.arange(32) / 32)[None], 2)


MESSAGES = {
    "1 unknown option": (lambda: train("--model.widht", "64"), ConfigError, ["unknown option 'model.widht' for model 'fno'", "Did you mean 'model.width' (int, default "]),
    "2 number in quotes": (lambda: rate('"1e-3"'), ConfigError, ["optimizer.learning_rate must be a number > 0, got the string '1e-3' (run.toml, line 15). Remove the quotes."]),
    "3 negative": (lambda: rate("-1"), ConfigError, ["optimizer.learning_rate must be finite and > 0, got -1"]),
    "3 not a number": (lambda: rate("nan"), ConfigError, ["optimizer.learning_rate must be finite and > 0, got nan"]),
    "4 unknown model": (lambda: train("--model.kind", "fnoo"), ConfigError, ["unknown model 'fnoo'", "Known: ", "Did you mean 'fno'?"]),
    "5 import": (lambda: train("--model.kind", "os.system"), ConfigError, ["model.kind 'os.system' is not a registered model", "cannot import Python objects", "register"]),
    "5 target": (lambda: train("--model._target_", "os.system"), ConfigError, ["unknown option 'model._target_'"]),
    "6 missing file": (lambda: read_info("data/burgers.h5"), DataError, ["no such file: data/burgers.h5 (looked in ", "write"]),
    "7 missing key": (lambda: read(plain(sol=ONES)), DataError, ["x.h5 has no dataset 'u'. Found: a (5, 8, 8) float64, sol (5, 8, 8) float64.", "--data.target"]),
    "8 truncated": (lambda: read_info(cut("own.h5", 5000)), DataError, ["own.h5 is truncated: 5,000 bytes on disk, header says ", "Download or generate it again."]),
    "9 web page": (lambda: read_info(wrote("x.h5", b"<!DOCTYPE html><html>")), DataError, ["x.h5 is not an HDF5 file (starts with '<!DOCTYPE html>", "web page"]),
    "10 checksum": (lambda: read(flip()), DataError, ["own.h5:/train/t0_fields/u is corrupt at sample 3 (checksum mismatch)."]),
    "11 not finite": (lambda: read(plain(u=np.where(np.arange(320).reshape(5, 8, 8) % 100 == 77, np.nan, ONES))), DataError, ["x.h5:/u holds 3 non-finite values, first at [1, 1, 5].", "Use --data.nonfinite drop to skip the 3 affected samples."]),
    "12 lengths": (lambda: read(plain(u=ONES[:4])), DataError, ["5 samples of 'a'", "4 of 'u'"]),
    "13 batch": (lambda: grain_batches(read("own.h5"), 16, seed=0), DataError, ["split 'train' has 6 samples, fewer than batch size 16: every epoch would be empty. Lower --data.batch-size to 6 or add data."]),
    "14 external storage": (lambda: read(changed(lambda f: f.create_dataset("u", (5, 8, 8), "u1", external=[("/etc/passwd", 0, 320)]))), DataError, ["x.h5:/u points outside the file (external storage '/etc/passwd'). Refused; copy the data into one file."]),
    "14 external link": (lambda: read(changed(lambda f: f.__setitem__("u", h5py.ExternalLink("other.h5", "/u")))), DataError, ["x.h5:/u points outside its place (external link to '/u' in 'other.h5'). Refused"]),
    "15 claim": (lambda: HDF5Dataset(changed(lambda f: f.create_dataset("u", (5, 10**12), "f8", chunks=(1, 1000))), "train", "u", "u"), DataError, ["x.h5", "claims 36.4 TiB but the file has ", "refused (limit 64 × file size)"]),
    "16 pickle": (lambda: read_info(wrote("x.pt", b"\x80\x02.")), DataError, ["x.pt is a pickle-based file, which can run code when opened; not supported."]),
    "17 broken mat": (lambda: list(read_mat(broken_mat())["a"][:]), DataError, ["x.mat", "The file is damaged or hostile; nothing was loaded."]),
    "18 batch axis": (lambda: called((8, 3, 32, 32)), ModelInputError, ["FNO expects one sample (channels=3, *space)", "shape (8, 3, 32, 32) of rank 4", "Batch with jax.vmap(model)"]),
    "19 channels last": (lambda: called((32, 32, 3)), ModelInputError, ["expected 3 input channels on axis 0, got 32 in shape (32, 32, 3). This looks channels-last: use jnp.moveaxis("]),
    "20 modes": (lambda: train("--model.n-modes", "12"), ConfigError, ["n_modes=(12, 12) needs a training grid of at least", "has (5, 8)", "--model.n-modes"]),
    "21 integers": (lambda: called((3, 32, 32), jnp.int32), ModelInputError, ["expected a real floating array, got int32. Use ", "astype(jnp.float32)"]),
    "21 complex": (lambda: called((3, 32, 32), jnp.complex64), ModelInputError, ["expected a real floating array, got complex64", "complex_data=True"]),
    "22 other model": (lambda: fill(fno(width=4), arrays_of(fno()), "runs/a/checkpoints/500"), CheckpointError, ["runs/a/checkpoints/500 does not fit this model (", "leaves differ): ", "stored (", "wanted (", "Build the model that was saved."]),
    "23 damaged checkpoint": (damaged_checkpoint, CheckpointError, ["500 is damaged", "Step 400 is used instead."]),
    "24 in use": (busy, RunDirError, ["runs/a is in use by pid ", "on host", "since", "--out"]),
    "25 too long a step": (fast, SolverError, ["Burgers: dt = 0.5 breaks the CFL condition", "Use dt <= 0."]),
}  # fmt: skip


@pytest.mark.parametrize("name", MESSAGES)
def test_messages(name):
    call, kind, words = MESSAGES[name]
    with pytest.raises(kind) as error:
        call()
    said = str(error.value)
    assert "\n" not in said
    assert [word for word in words if word not in said] == [], said


def test_message_24_of_a_directory_that_holds_a_run():
    with RunDirectory("runs/a") as first:
        first.open(load_config("run.toml"))
    with pytest.raises(RunDirError, match=r"runs/a already holds a run.* Use --resume"):
        with RunDirectory("runs/a"):
            pass


def test_message_25_of_a_training_that_diverged(capsys):
    assert main(["train", "run.toml", "--optimizer.learning-rate", "1e30", "--out", "runs/a"]) != 0
    said = capsys.readouterr().err.strip().splitlines()[-1]
    for word in ("at step", "lr ", "gradient norm", "last good checkpoint", "learning-rate"):
        assert word in said


def test_all_classes_are_of_one_tree_and_of_the_usual_ones():
    from neuralop_jax import errors

    for kind, usual in (
        (ConfigError, ValueError),
        (DataError, ValueError),
        (ModelInputError, ValueError),
        (RunDirError, OSError),
    ):
        assert issubclass(kind, errors.NeuralOpError) and issubclass(kind, usual)


def test_a_foreign_file_of_the_schema_is_pointed_to_its_reader():
    with pytest.raises(DataError, match="in the library's schema already. Read it with HDF5Dataset"):
        open_source("own.h5")
