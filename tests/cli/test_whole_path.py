"""The verbs one after the other on a tiny problem: train, resume, evaluate on other grids, predict, report."""

import dataclasses
import json

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neuralop_jax import checkpoint
from neuralop_jax.__main__ import main
from neuralop_jax.cli import doctor
from neuralop_jax.data import HDF5Dataset, read_info, write_hdf5
from neuralop_jax.evaluation import record


def test_train_prints_errors_and_writes_the_report(trained_once):
    directory, printed = trained_once
    results = json.loads((directory / "runs/a/results.json").read_text())
    assert set(results["splits"]) == {"test_8", "test_16"}
    for name, split in results["splits"].items():
        assert f"{split['relative_l2']:.4g}" in printed and name in printed
    assert "Run: runs/a" in printed and (directory / "runs/a/report.html").exists()


def test_print_config_writes_nothing(place, capsys):
    assert main(["train", "run.toml", "--print-config", "--model.width", "7", "--seed", "5"]) == 0
    tree = json.loads(capsys.readouterr().out)
    assert tree["model"]["width"] == 7 and tree["seed"] == 5 and tree["data"]["augment"] == []
    assert not (place / "runs").exists()


def test_evaluate_repeats_the_figures_of_training(trained, capsys):
    before = json.loads((trained / "runs/a/results.json").read_text())
    assert main(["evaluate", "runs/a"]) == 0
    after = json.loads((trained / "runs/a/results.json").read_text())
    assert after.keys() == before.keys()
    for name in ("test_8", "test_16"):
        assert after["splits"][name]["relative_l2"] == pytest.approx(before["splits"][name]["relative_l2"], rel=1e-6)
        assert f"{after['splits'][name]['relative_l2']:.4g}" in capsys.readouterr().out or name == "test_16"


def test_evaluate_on_other_grids(trained, capsys):
    assert main(["evaluate", "runs/a", "--resolution", "4,16", "--split", "test_16"]) == 0
    out = capsys.readouterr().out
    assert "test_16@4x4: no split has the grid 4x4; it is test_16 at strides 4x4." in out
    splits = json.loads((trained / "runs/a/results.json").read_text())["splits"]
    assert set(splits) == {"test_8", "test_16", "test_16@4x4"}
    assert splits["test_16@4x4"]["grid"] == [4, 4] and splits["test_16@4x4"]["count"] == 3
    operator = checkpoint.load(trained / "runs/a")
    sample = HDF5Dataset("smooth.h5", "test_16", "a", "v").read_all()
    u, v = sample.inputs["u"][..., ::4, ::4], sample.target[..., ::4, ::4]
    predicted = np.asarray(jax.vmap(operator)(jnp.asarray(u)))
    errors = [np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in zip(predicted, v, strict=True)]
    assert splits["test_16@4x4"]["relative_l2"] == pytest.approx(np.mean(errors), rel=1e-5)


def test_data_that_moved(trained, capsys):
    written = lambda: json.loads((trained / "runs/a/results.json").read_text())
    before = written()["splits"]
    info, kept = read_info("smooth.h5"), HDF5Dataset("smooth.h5", "test_8", "a", "v").read_all()
    few = dataclasses.replace(info, splits={"test_8": info.splits["test_8"]})
    write_hdf5("few.h5", few, {"test_8": {"a": kept.inputs["u"][:, 0], "v": kept.target[:, 0]}})
    (trained / "smooth.h5").rename(trained / "moved.h5")
    for verb in ("evaluate", "uncertainty"):
        assert main([verb, "runs/a"]) == 2
        err = capsys.readouterr().err
        assert "no such file: smooth.h5" in err and "--data FILE" in err and err.count("\n") == 1
    assert main(["report", "runs/a"]) == 0
    assert "Pictures and spectra are missing: no such file: smooth.h5" in capsys.readouterr().out
    assert "worst sample" not in (trained / "runs/a/report.html").read_text()
    assert main(["report", "runs/a", "--data", "moved.h5"]) == 0
    assert "missing" not in capsys.readouterr().out and "worst sample" in (trained / "runs/a/report.html").read_text()
    assert main(["evaluate", "runs/a", "--data", "moved.h5"]) == 0
    assert main(["evaluate", "runs/a", "--data", "few.h5"]) == 0
    assert "test_8 of few.h5" in capsys.readouterr().out
    after = written()["splits"]
    assert set(after) == {*before, "test_8 of moved.h5", "test_16 of moved.h5", "test_8 of few.h5"}
    for name in ("test_8 of moved.h5", "test_8 of few.h5"):
        assert after[name]["relative_l2"] == pytest.approx(before["test_8"]["relative_l2"], rel=1e-6)
    assert main(["evaluate", "runs/a", "--data", "few.h5", "--certify"]) == 0
    certificate = json.loads((trained / "runs/a/certificate.json").read_text())
    assert (certificate["split"], certificate["training_grid"]) == ("test_8 of few.h5", [8, 8])
    (trained / "runs/a/results.json").write_text(json.dumps({**written(), "command": "neuralop_jax train run.toml"}))
    assert set(record(trained / "runs/a")["splits"]) == set(before)  # leaderboards are of the data of the training
    options = ["--split", "test_8", "--alpha", "0.3", "--json"]
    for name in ("moved", "few"):
        assert main(["uncertainty", "runs/a", "--data", f"{name}.h5", *options, f"{name}.json"]) == 0
    assert (trained / "moved.json").read_text() == (trained / "few.json").read_text()


def test_other_samples_in_a_file_without_splits(trained, capsys):
    """It is read as one split, called as that of the training, of which nothing has to have been trained on."""
    sample = HDF5Dataset("smooth.h5", "test_16", "a", "v").read_all()
    with h5py.File("flat.h5", "w") as file:
        file["a"], file["v"] = sample.inputs["u"][:, 0], sample.target[:, 0]
    for verb in ("evaluate", "uncertainty"):
        assert main([verb, "runs/a", "--data", "flat.h5"]) == 2
        err = capsys.readouterr().err
        assert "flat.h5 has no split but 'train'." in err and "--split" in err
    assert main(["evaluate", "runs/a", "--data", "flat.h5", "--split", "train", "--certify"]) == 0
    certificate = json.loads((trained / "runs/a/certificate.json").read_text())
    assert (certificate["split"], certificate["training_grid"]) == ("train of flat.h5", [8, 8])  # not that of flat.h5
    results = json.loads((trained / "runs/a/results.json").read_text())["splits"]
    assert results["train of flat.h5"]["relative_l2"] == pytest.approx(results["test_16"]["relative_l2"], rel=1e-6)
    options = ["--alpha", "0.5", "--data"]
    with h5py.File("line.h5", "w") as file:
        for split in ("train", "test"):
            file[f"{split}/a"] = file[f"{split}/v"] = np.ones((4, 9))
    for verb in ("evaluate", "uncertainty"):
        assert main([verb, "runs/a", "--data", "line.h5"]) == 2
        assert "line.h5 has fields on 1-D grids, the operator was trained on 2-D ones." in capsys.readouterr().err
    assert main(["uncertainty", "runs/a", *options, "flat.h5", "--split", "train"]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--resolution", "12"], "no split has this grid or contains it as every k-th point"),
        (["--resolution", "x"], "--resolution must be points per axis"),
        (["--split", "test"], "--split 'test': smooth.h5 has no split 'test'. Found: train, test_8, test_16. Did you mean"),
    ],
)
def test_evaluate_refuses(trained, capsys, words, message):
    before = (trained / "runs/a/results.json").read_bytes()
    assert main(["evaluate", "runs/a", *words]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
    assert (trained / "runs/a/results.json").read_bytes() == before


def test_predict(trained, capsys):
    operator = checkpoint.load(trained / "runs/a")
    sample = HDF5Dataset("smooth.h5", "test_16", "a", "v").read_all()
    wanted = np.asarray(jax.vmap(operator)(jnp.asarray(sample.inputs["u"])))
    np.save("u.npy", sample.inputs["u"][:, 0])
    assert main(["predict", "runs/a", "u.npy", "v.npz"]) == 0
    assert "Note: the input has 16 x 16 points, the operator was trained on 8 x 8." in capsys.readouterr().out
    with np.load("v.npz") as loaded:
        np.testing.assert_allclose(loaded["v"], wanted[:, 0], rtol=1e-4, atol=1e-5)
    assert main(["predict", "runs/a", "smooth.h5", "v.h5", "--split", "test_8"]) == 0
    assert "Note" not in capsys.readouterr().out
    with h5py.File("v.h5") as file:
        assert file["prediction/t0_fields/v"].shape == (5, 8, 8)
        assert file["prediction/t0_fields/v"].attrs["unit"] == b"m/s"
    written = (trained / "v.h5").read_bytes()
    for words, message in (
        (["smooth.h5", "v.h5", "--split", "test_8"], "v.h5 exists and is not overwritten."),
        (["smooth.h5", "w.h5"], "smooth.h5 has the splits train, test_8, test_16. Choose one with --split."),
        (["run.toml", "w.h5"], "run.toml is not an HDF5 file"),
    ):
        assert main(["predict", "runs/a", *words]) == 2
        err = capsys.readouterr().err
        assert message in err and err.count("\n") == 1
    assert (trained / "v.h5").read_bytes() == written and not (trained / "w.h5").exists()


def test_report_is_written_again(trained):
    (trained / "runs/a/report.html").unlink()
    assert main(["report", "runs/a"]) == 0
    assert (trained / "runs/a/report.html").stat().st_size > 1000


def test_damaged_results_are_not_replaced(trained, capsys):
    (trained / "runs/a/results.json").write_text("{")
    assert main(["evaluate", "runs/a"]) == 2
    assert "runs/a/results.json cannot be read" in capsys.readouterr().err
    assert (trained / "runs/a/results.json").read_text() == "{"


def test_data_info(place, capsys):
    assert main(["data", "info", "smooth.h5"]) == 0
    out = capsys.readouterr().out
    for part in ("neuralop_jax schema 1", "Shifted waves", "16 x 16", "periodic", "m/s", "the checksums of all 6 arrays agree"):
        assert part in out
    with h5py.File("own.h5", "w") as file:
        file["a"] = np.ones((3, 4, 5))
        file["odd \x1b[31m[bold]"] = np.ones((3, 4, 5))
    assert main(["data", "info", "own.h5"]) == 0
    out = capsys.readouterr().out
    assert "plain HDF5" in out and "the file states no checksums" in out and "[bold]" in out and "\x1b" not in out


def test_data_info_refuses_unsafe_and_damaged_files(place, capsys):
    (place / "secret").write_bytes(b"x" * 4 * 80)
    with h5py.File("outside.h5", "w") as file:
        file.create_dataset("a", (4, 4, 5), "f4", external=[(str(place / "secret"), 0, 4 * 80)])
    damaged = bytearray((place / "smooth.h5").read_bytes())
    with h5py.File("smooth.h5") as file:
        damaged[file["test_8/t0_fields/v"].id.get_chunk_info(2).byte_offset + 9] ^= 1
    (place / "damaged.h5").write_bytes(damaged)
    for name, message in (
        ("outside.h5", "outside.h5:/a points outside the file"),
        ("damaged.h5", "damaged.h5:/test_8/t0_fields/v is corrupt at sample 2 (checksum mismatch)"),
        ("none.h5", "no such file: none.h5"),
    ):
        assert main(["data", "info", name]) == 2
        err = capsys.readouterr().err
        assert message in err and err.count("\n") == 1


def test_doctor(capsys, monkeypatch):
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    for part in ("python", "jax", "equinox", "orbax-checkpoint", "grain", "h5py", "cpu:0", "jax_enable_x64", "free disk space"):
        assert part in out
    monkeypatch.setattr(doctor, "spectral_error", lambda: 1.0)
    assert main(["doctor"]) == 1
    assert "computes wrongly" in capsys.readouterr().out
