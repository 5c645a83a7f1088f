"""Generated files: the same bytes for a seed whatever chunks, kills and damage came in between."""

import json
import os
import shutil
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax.data import HDF5Dataset, read_info, verify
from neuralop_jax.data._generate import generate, regenerate
from neuralop_jax.data._shards import Shards
from neuralop_jax.data.generators import GENERATORS, AbstractGenerator, Advection, build_generator, generator_options
from neuralop_jax.errors import ConfigError, DataError, SolverError
from neuralop_jax.grids import Grid
from neuralop_jax.info import FieldInfo

SMALL = {"num_samples": 22, "resolution": 16, "batch": 4}
SLOW = """
import sys, time
from neuralop_jax.data._generate import generate
from neuralop_jax.data.generators import Advection
generate(Advection(), sys.argv[1], num_samples=22, resolution=16, batch=4, chunk=4, on_progress=lambda *_: time.sleep(0.3))
"""
LIMITED = """
import resource, sys
from neuralop_jax.data._generate import generate
from neuralop_jax.data.generators import Advection
from neuralop_jax.errors import DataError
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    generate(Advection(), sys.argv[1], num_samples=22, resolution=16, batch=4, chunk=4)
except DataError as error:
    print(error)
"""


class Coin(AbstractGenerator):
    """One number per sample, uniform in (0, 1): below `bad` the sample reports a failure, above `1 - bad` it is not finite."""

    bad: float = 0.2
    ladder: int = 0

    title = "Uniform numbers"
    citation = ""
    default_resolution = 3

    @property
    def fields(self):
        return FieldInfo("value"), FieldInfo("large", channels=2), FieldInfo("count")

    @property
    def parameters(self):
        return {"bad": self.bad}

    def grid(self, resolution):
        return Grid((resolution,))

    def simulate(self, resolution, *, key):
        u = jax.random.uniform(key)
        value = jnp.where(u > 1 - self.bad, jnp.nan, u) * jnp.ones((1, resolution))
        both = jnp.stack([value[0] > 0.5, value[0] < 0.25])
        return {"value": value, "large": both, "count": jnp.full((1, resolution), 7)}, 3 * (u < self.bad).astype(int)

    def retry(self, attempt):
        return Coin(self.bad / 2, self.ladder) if attempt <= self.ladder else None


@pytest.fixture
def coin(monkeypatch):
    monkeypatch.setitem(GENERATORS, "coin", Coin)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A file that nothing disturbed."""
    path = tmp_path_factory.mktemp("whole") / "advection.h5"
    generate(Advection(), path, **SMALL)
    return path


def simulate(generator, resolution, number):
    """The first samples of seed 0, straight from the generator."""
    keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(0), i))(jnp.arange(number))
    fields, codes = jax.jit(jax.vmap(lambda key: generator.simulate(resolution, key=key)))(keys)
    assert (codes == 0).all()
    return np.asarray(fields["u"])[:, :, 0]


def interrupted(path, after, **changes):
    """Leaves the shards of a generation that was stopped once `after` samples were done."""

    def stop(done, total):
        if done >= after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(Advection(), path, **{**SMALL, "chunk": 4, **changes}, on_progress=stop)
    return path.with_name(f"{path.name}.parts")


@pytest.mark.parametrize("speed", [0.4, -7.0])
def test_advection_is_an_exact_shift(speed):
    generator = Advection(speed=speed, absolute_fraction=0.0, window_fraction=0.0, num_frames=5, length=2.0)
    k, times = np.arange(17), np.asarray(generator.times)
    u = simulate(generator, 32, 4)
    assert (abs(u).max(axis=(1, 2)) > 0.1).all()
    moved = np.fft.rfft(u[:, :1]) * np.exp(-2j * np.pi / 2.0 * speed * k * times[:, None])
    np.testing.assert_allclose(np.fft.irfft(moved), u, atol=1e-12)


def test_advection_of_kinks_and_jumps():
    generator = Advection(speed=1.0, absolute_fraction=0.99, window_fraction=0.99, num_frames=9, final_time=1.0)
    u = simulate(generator, 64, 20)
    for frame in range(9):
        np.testing.assert_allclose(u[:, frame], np.roll(u[:, 0], 8 * frame, axis=1), atol=1e-12)
    assert 0.1 < (u == 0).mean() < 0.9 and np.ptp(np.sign(u[:, 0]), axis=1).max() <= 1
    np.testing.assert_allclose(simulate(generator, 128, 20)[..., ::2], u, atol=1e-12)


def test_file_says_what_it_holds(whole):
    info = read_info(whole)
    assert {name: split.num_samples for name, split in info.splits.items()} == {"train": 19, "test": 3}
    assert info.parameters == {"speed": 0.4} and info.name == "advection"
    told = json.loads(info.generation)
    assert told["options"] == generator_options(Advection()) and told["precision"] == "float64"
    assert (told["seed"], told["num_samples"], told["resolution"]) == (0, 22, 16) and told["failed"] == []
    assert len(verify(whole)) == 2 and not list(whole.parent.glob("*.parts"))
    stored = HDF5Dataset(whole, "test", "u", "u").read_all().target
    np.testing.assert_allclose(stored, simulate(Advection(), 16, 22)[19:], atol=1e-6)


@pytest.mark.parametrize("chunk", [1, 8, 1000])
def test_bytes_do_not_depend_on_chunks(whole, tmp_path, chunk):
    calls = {}
    info = generate(Advection(), tmp_path / "a.h5", **SMALL, chunk=chunk, on_progress=lambda *call: calls.setdefault(call))
    assert (tmp_path / "a.h5").read_bytes() == whole.read_bytes()
    assert info == read_info(whole) and list(calls) == [(n, 22) for n in (0, 4, 8, 12, 16, 20, 22)]


def test_file_is_enough_to_generate_it_again(whole, tmp_path):
    regenerate(whole, tmp_path / "again.h5")
    assert (tmp_path / "again.h5").read_bytes() == whole.read_bytes()
    told = json.loads(read_info(whole).generation)
    assert build_generator(told["generator"], told["options"]) == Advection()
    with jax.enable_x64(False), pytest.raises(ConfigError, match="was computed in float64, JAX now computes in float32"):
        regenerate(whole, tmp_path / "single.h5")
    with pytest.raises(DataError, match="does not say how it was computed"):
        regenerate("datasets/darcy_small/darcy_small.h5", tmp_path / "darcy.h5")


def test_other_seed_batch_and_count(whole, tmp_path):
    def read(path):
        return np.concatenate([HDF5Dataset(path, split, "u", "u").read_all().target for split in ("train", "test")])

    u = read(whole)
    generate(Advection(), tmp_path / "batch.h5", **{**SMALL, "batch": 7})
    np.testing.assert_allclose(read(tmp_path / "batch.h5"), u, atol=1e-6)
    generate(Advection(), tmp_path / "short.h5", **{**SMALL, "num_samples": 10}, splits={"train": 4, "test": 6})
    np.testing.assert_array_equal(read(tmp_path / "short.h5"), u[:10])
    generate(Advection(), tmp_path / "seed.h5", **SMALL, seed=1)
    assert (abs(read(tmp_path / "seed.h5") - u).max(axis=(1, 2)) > 1e-3).all()


@pytest.mark.parametrize("chunk", [4, 12])
def test_goes_on_from_whole_shards(whole, tmp_path, chunk):
    parts = interrupted(tmp_path / "a.h5", 14)
    for unfinished in (parts / ".00000012-00000016.h5.1.partial", tmp_path / ".a.h5.1.partial"):
        unfinished.write_bytes(b"left by a writer that was killed")
    calls = {}
    generate(Advection(), tmp_path / "a.h5", **SMALL, chunk=chunk, on_progress=lambda *call: calls.setdefault(call))
    assert list(calls)[0] == (12, 22) and len(calls) == 4
    assert (tmp_path / "a.h5").read_bytes() == whole.read_bytes() and os.listdir(tmp_path) == ["a.h5"]


def test_killed(whole, tmp_path):
    environment = {**os.environ, "JAX_ENABLE_X64": "1"}
    process = subprocess.Popen([sys.executable, "-c", SLOW, str(tmp_path / "a.h5")], env=environment)
    parts = tmp_path / "a.h5.parts"
    try:
        while process.poll() is None and len(list(parts.glob("*.h5"))) < 3:
            time.sleep(0.01)
        with pytest.raises(DataError, match=f"a.h5 is being generated by pid {process.pid} on host "):
            generate(Advection(), tmp_path / "a.h5", **SMALL)
    finally:
        process.kill()
        process.wait()
    assert not (tmp_path / "a.h5").exists() and 3 <= len(list(parts.glob("*.h5"))) < 6
    calls = {}
    generate(Advection(), tmp_path / "a.h5", **SMALL, on_progress=lambda *call: calls.setdefault(call))
    assert list(calls)[0][0] >= 12
    assert (tmp_path / "a.h5").read_bytes() == whole.read_bytes() and os.listdir(tmp_path) == ["a.h5"]


def truncate(shard):
    shard.write_bytes(shard.read_bytes()[:-100])


def change_a_byte(shard):
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)


def empty(shard):
    shard.write_bytes(b"")


@pytest.mark.parametrize("damage", [truncate, change_a_byte, empty])
def test_damaged_shard_is_reported_and_generated_again(whole, tmp_path, damage):
    parts = interrupted(tmp_path / "a.h5", 14)
    damage(parts / "00000004-00000008.h5")
    calls = {}
    with pytest.warns(UserWarning, match="00000004-00000008.h5 is damaged and will be generated again"):
        generate(Advection(), tmp_path / "a.h5", **SMALL, on_progress=lambda *call: calls.setdefault(call))
    assert list(calls)[0] == (8, 22)
    assert (tmp_path / "a.h5").read_bytes() == whole.read_bytes()


def test_other_options_are_refused(whole, tmp_path):
    path = tmp_path / "a.h5"
    parts = interrupted(path, 14, seed=3)
    with pytest.raises(ConfigError, match="holds samples of another generation: options.speed 0.4 -> 1.0; seed 3 -> 0"):
        generate(Advection(speed=1.0), path, **SMALL)
    assert len(list(parts.glob("*.h5"))) == 3
    generate(Advection(), path, **SMALL, overwrite=True)
    assert path.read_bytes() == whole.read_bytes()
    with pytest.raises(DataError, match="a.h5 exists. Choose another file, or pass overwrite"):
        generate(Advection(), path, **SMALL)


def test_file_in_use_is_refused(tmp_path):
    with Shards(tmp_path / "a.h5"), pytest.raises(DataError, match=f"is being generated by pid {os.getpid()} on host "):
        generate(Advection(), tmp_path / "a.h5", **SMALL)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("limit", "kept"), [(2_000, 0), (20_000, 6)])
def test_full_disk(whole, tmp_path, limit, kept):
    place = tmp_path / "small"
    words = [sys.executable, "-c", LIMITED, str(place / "a.h5"), str(limit)]
    told = subprocess.run(words, env={**os.environ, "JAX_ENABLE_X64": "1"}, capture_output=True, text=True, check=True)
    assert told.stdout.count("\n") == 1 and "cannot be written" in told.stdout and told.stderr == ""
    assert f"Finished samples are kept in {place}/a.h5.parts; the same command goes on there." in told.stdout
    assert os.listdir(place) == ["a.h5.parts"]
    assert sorted(path.suffix for path in (place / "a.h5.parts").iterdir()) == sorted([".h5"] * kept + [".json", ".lock"])
    calls = {}
    generate(Advection(), place / "a.h5", **SMALL, on_progress=lambda *call: calls.setdefault(call))
    assert list(calls)[0] == (min(22, 4 * kept), 22)
    assert (place / "a.h5").read_bytes() == whole.read_bytes()


def uniform(number):
    keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(0), i))(jnp.arange(number))
    return np.asarray(jax.vmap(jax.random.uniform)(keys))


def test_failed_samples_are_left_out_and_named(coin, tmp_path):
    u, path = uniform(40), tmp_path / "a.h5"
    info = generate(Coin(), path, num_samples=40, batch=8, max_failed=0.6, splits={"train": 25, "test": 15})
    told = json.loads(info.generation)
    wanted = [[i, "result code 3" if u[i] < 0.2 else "values not finite"] for i in range(40) if not 0.2 <= u[i] <= 0.8]
    assert told["failed"] == wanted and {reason for _, reason in wanted} == {"result code 3", "values not finite"}
    good = (u >= 0.2) & (u <= 0.8)
    for split, rows in (("train", slice(0, 25)), ("test", slice(25, 40))):
        data = HDF5Dataset(path, split, ["value", "large"], "count").read_all()
        assert info.splits[split].num_samples == good[rows].sum() == len(data.target)
        np.testing.assert_allclose(data.inputs["u"][:, 0, 0], u[rows][good[rows]], rtol=1e-6)
        np.testing.assert_array_equal(data.inputs["u"][:, 1, 0], u[rows][good[rows]] > 0.5)
        np.testing.assert_array_equal(data.target, 7.0)
    other = tmp_path / "b.h5"
    generate(Coin(), other, num_samples=40, batch=8, chunk=8, max_failed=0.6, splits={"train": 25, "test": 15})
    assert other.read_bytes() == path.read_bytes()


def test_booleans_and_integers_are_stored_as_they_are(coin, tmp_path):
    import h5py

    generate(Coin(bad=0.0), tmp_path / "a.h5", num_samples=6)
    with h5py.File(tmp_path / "a.h5") as file:
        kinds = {name: str(item.dtype) for name, item in file["train/t0_fields"].items()}
    assert kinds == {"value": "float32", "large": "bool", "count": "int64"}


def test_failed_samples_are_computed_again(coin, tmp_path):
    u = uniform(40)
    info = generate(Coin(ladder=1), tmp_path / "a.h5", num_samples=40, batch=8, max_failed=0.6)
    told = json.loads(info.generation)
    saved = (u >= 0.1) & (u <= 0.9)
    assert [i for i, _ in told["failed"]] == np.flatnonzero(~saved).tolist()
    assert told["retried"] == [[i, 1] for i in np.flatnonzero(saved & ((u < 0.2) | (u > 0.8)))] != []
    stored = HDF5Dataset(tmp_path / "a.h5", "train", "value", "value").read_all().target[:, 0, 0]
    np.testing.assert_allclose(stored, u[: 40 - 40 // 6][saved[: 40 - 40 // 6]], rtol=1e-6)


def test_too_many_failures(coin, tmp_path):
    failed = np.flatnonzero((uniform(40) < 0.2) | (uniform(40) > 0.8))
    with pytest.raises(SolverError, match=rf"of 40 samples failed so far.*the first is sample {failed[0]} \("):
        generate(Coin(), tmp_path / "a.h5", num_samples=40, batch=8)
    assert not (tmp_path / "a.h5").exists()
    shutil.rmtree(tmp_path / "a.h5.parts")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_samples": 0}, "num_samples must be >= 1"),
        ({"seed": -1}, "seed must be >= 0"),
        ({"chunk": 0}, "chunk must be >= 1"),
        ({"splits": {"train": 20, "test": 3}}, "splits must add up to 22 samples"),
        ({"splits": {"train": 23, "test": -1}}, "splits must add up to 22 samples"),
    ],
)
def test_refusals(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        generate(Advection(), tmp_path / "a.h5", **{**SMALL, **changes})
    assert os.listdir(tmp_path) == []


def test_wrong_generators_are_refused(coin, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="unknown generator 'advektion'.* Did you mean 'advection'?"):
        build_generator("advektion")
    with pytest.raises(ConfigError, match="unknown option 'sped' .*Did you mean 'speed' .float, default 0.4."):
        build_generator("advection", {"sped": 1.0})
    with pytest.raises(ConfigError, match="num_frames must be >= 2, got 1"):
        Advection(num_frames=1)
    monkeypatch.setattr(Coin, "fields", (FieldInfo("value", channels=3),))
    with pytest.raises(ConfigError, match="generator 'coin' simulates .*Correct it"):
        generate(Coin(), tmp_path / "a.h5", num_samples=3)
    monkeypatch.delitem(GENERATORS, "coin")
    with pytest.raises(ConfigError, match="Coin is not a registered generator"):
        generate(Coin(), tmp_path / "a.h5", num_samples=3)
