"""Flipped bits, cut and missing files: always found, and the step before takes over."""

import hashlib
import json

import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax import _checkpoint_store
from neuralop_jax.checkpoint import CheckpointStore, DamagedCheckpoint
from neuralop_jax.errors import CheckpointError


def of_step(step):
    values = np.random.default_rng(step).normal(size=(30, 40))
    return {"model": {"w": jnp.asarray(values), "b": jnp.full(50, 1.0 + step)}, "optimizer": {"count": jnp.asarray(step)}}


@pytest.fixture
def store(tmp_path):
    with CheckpointStore(tmp_path / "store") as store:
        for step in (1, 2):
            store.save(step, of_step(step), {"step": step, "note": "é", "rate": 1e-5})
        yield store


def files_of(store, step):
    return sorted(file for file in (store.directory / str(step)).rglob("*") if file.is_file())


def falls_back(store):
    """Asserts that the newest step is found damaged, in one line, and that step 1 comes in its place, unchanged."""
    warned = []
    record, arrays = store.newest(store.read, warn=warned.append)
    assert record["step"] == 1 and len(warned) == 1
    assert warned[0].startswith(f"{store.directory / '2'} is damaged (") and "\n" not in warned[0]
    assert warned[0].endswith(" Step 1 is used instead.")
    for name, leaf in of_step(1)["model"].items():
        np.testing.assert_array_equal(arrays["model"][f"['{name}']"], leaf)


def test_f07_flipped_bits_are_found(store, count):
    rng, flips, found = np.random.default_rng(0), count(40, 500), 0
    files = files_of(store, 2)
    sizes = np.array([file.stat().st_size for file in files], float)
    for number in range(flips):
        file = files[number % len(files)] if number % 2 else rng.choice(files, p=sizes / sizes.sum())
        whole = file.read_bytes()
        if not whole:
            continue
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        file.write_bytes(damaged)
        if number % 10:
            with pytest.raises(DamagedCheckpoint):
                store.read(2)
        else:
            falls_back(store)
        found += 1
        file.write_bytes(whole)
    print(f"{found} of {found} flipped bits found, in {len(files)} files")
    assert found >= 0.9 * flips and store.read(2)[0]["step"] == 2


def test_f07_strict_refuses(store):
    (store.directory / "2" / "meta.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"2 is damaged \(meta: sha256 mismatch\), and no earlier one is left to use"):
        store.newest(store.read, strict=True)


def test_f07_values_that_the_reader_gets_wrong_are_named(store, monkeypatch):
    restore = store._items.restore

    def altered(path, *, args):
        return {name: leaf + (name == "['w']") for name, leaf in restore(path, args=args).items()}

    monkeypatch.setattr(store._items, "restore", altered)
    with pytest.raises(DamagedCheckpoint) as caught:
        store.read(2)
    assert "2 is damaged (['w']: sha256 mismatch)" in str(caught.value)


@pytest.mark.parametrize("damage", ["cut", "empty", "missing", "added"])
def test_f08_cut_and_missing_files_are_found(store, damage):
    for file in files_of(store, 2):
        whole = file.read_bytes()
        added = file.with_name("added")
        if damage == "missing":
            file.unlink()
        elif damage == "added" and file.parent.name != "2":
            added.write_bytes(whole)
        else:
            file.write_bytes(b"" if damage == "empty" and whole else whole[:-1] or b"x")
        falls_back(store)
        added.unlink(missing_ok=True)
        file.write_bytes(whole)
    assert store.read(2)[0]["step"] == 2


def test_f08_a_checkpoint_reaches_no_file_outside_it(store):
    """A link in place of a file, and a tree whose name leads out of the directory, are damage, whatever the digests say."""
    file = max(files_of(store, 2), key=lambda file: file.stat().st_size)
    elsewhere = store.directory.parent / "elsewhere"
    file.rename(elsewhere)
    file.symlink_to(elsewhere)
    falls_back(store)
    file.unlink()
    elsewhere.rename(file)
    path = store.directory / "2" / "meta.json"
    meta = json.loads(path.read_bytes())
    for part in ("leaves", "files"):
        meta[part]["../1/model"] = meta[part]["model"]
    content = json.dumps(meta).encode()
    path.write_bytes(content)
    path.with_name("meta.json.sha256").write_text(hashlib.sha256(content).hexdigest())
    with pytest.raises(DamagedCheckpoint, match=r"'../1/model' is no name of a tree"):
        store.read(2)


def test_f08_a_step_under_another_number_is_not_taken_for_it(store):
    (store.directory / "2").rename(store.directory / "999")
    with pytest.raises(DamagedCheckpoint, match=r"999 is damaged \(it is a copy of step 2\)"):
        store.read(999)


def test_f08_digests_of_files_cannot_be_left_out(store):
    meta = json.loads((store.directory / "2/meta.json").read_bytes())
    del meta["files"]
    content = json.dumps(meta).encode()
    (store.directory / "2/meta.json").write_bytes(content)
    (store.directory / "2/meta.json.sha256").write_text(hashlib.sha256(content).hexdigest())
    falls_back(store)


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(5, "Input/output error"), MemoryError()])
def test_f08_what_the_system_refuses_to_read_is_not_called_damaged(store, monkeypatch, error):
    def refuse(directory):
        raise error

    monkeypatch.setattr(_checkpoint_store, "_sha256_of_files", refuse)
    with pytest.raises(CheckpointError, match=r"2 cannot be read \(.*It may be whole: mend the cause") as caught:
        store.newest(store.read)
    assert not isinstance(caught.value, DamagedCheckpoint) and store.steps() == [1, 2]


def test_f04_steps_that_cannot_be_removed_are_one_line_and_the_new_one_is_whole(tmp_path):
    with CheckpointStore(tmp_path / "store", keep=1) as store:
        store.save(1, of_step(1), {"step": 1})
        (store.directory / "trash").write_text("mine")
        with pytest.raises(CheckpointError, match="old steps cannot be removed .* Move .*trash away and resume"):
            store.save(2, of_step(2), {"step": 2})
        assert store.steps() == [1, 2] and store.read(2)[0] == {"step": 2}


@pytest.mark.parametrize("name", ["x[4,4]", "x[!a]*", "?"])
def test_f28_names_that_are_patterns_hold_checkpoints_as_others_do(tmp_path, name):
    with CheckpointStore(tmp_path / name / "store") as store:
        store.save(1, of_step(1), {"step": 1})
        record, arrays = store.read(1)
    assert record == {"step": 1}
    np.testing.assert_array_equal(arrays["model"]["['w']"], of_step(1)["model"]["w"])
