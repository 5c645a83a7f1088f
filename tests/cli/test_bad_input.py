"""Wrong input to `train`: one line, exit code 2, nothing written."""

import h5py
import numpy as np
import pytest

from neuralop_jax.__main__ import main


def contents(place):
    return {file.relative_to(place): file.read_bytes() for file in place.rglob("*") if file.is_file()}


@pytest.fixture
def refused(tmp_path, capsys):
    """What `train run.toml` with further words writes to standard error; asserts that it leaves the directory as it was."""

    def refused(*words):
        before = contents(tmp_path)
        assert main(["train", "run.toml", *words]) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1 and err.endswith("\n")
        assert contents(tmp_path) == before
        return err.strip()

    return refused


@pytest.mark.parametrize(
    ("words", "key_words"),
    [
        (["--model.widht", "64"], ["unknown option 'model.widht' for model 'fno'", "Did you mean 'model.width' (int, default "]),
        (["--model.kind", "fnoo"], ["unknown model 'fnoo'", "Did you mean 'fno'?"]),
        (["--model.kind", "os.system"], ["model.kind 'os.system' is not a registered model", "cannot import Python objects"]),
        (["--model.width", "wide"], ["model.width must be an integer, got the string 'wide'."]),
        (["--model.width", "1.5"], ["model.width must be an integer, got 1.5."]),
        (["--model.width", "true"], ["model.width must be an integer, got the boolean true."]),
        (["--model.norm", "grup"], ["model.norm must be one of 'instance', 'group', ", "Did you mean 'group'?"]),
        (["--training.stpes", "3"], ["unknown option 'training.stpes' (command line). Did you mean 'training.steps'"]),
        (["--training.steps", "many"], ["training.steps must be an integer >= 1, got the string 'many' (command line)."]),
        (["--data.path", "none.h5"], ["no such file: none.h5 (looked in "]),
        (["--data.path", "run.toml"], ["run.toml is not an HDF5 file (starts with "]),
        (["--data.path", "page.h5"], ["page.h5 is not an HDF5 file (starts with '<!DOCTYPE html>", "web page"]),
        (["--data.path", "cut.h5"], ["cut.h5 is truncated: ", " bytes on disk, header says "]),
        (["--data.path", "evil.pt"], ["evil.pt is a pickle-based file, which can run code when opened; not supported."]),
        (["--data.target", "w"], ["has no dataset 'w'. Found: a (12, 8, 8)", "v (12, 8, 8)"]),
        (["--data.train-split", "trian"], ["has no split 'trian'", "Did you mean 'train'?"]),
        (["--data.path", "nan.h5"], ["nan.h5:/train/a holds 2 non-finite values, first at [1, 0, 3].", "--data.nonfinite drop"]),
        (
            ["--data.batch-size", "13"],
            ["split 'train' has 12 samples, fewer than batch size 13", "Lower --data.batch-size to 12"],
        ),
        (
            ["--model.n-modes", "12"],
            ["n_modes=(12, 12) needs a training grid of at least", "smooth.h5 has (8, 8)", "--model.n-modes 8,8"],
        ),
        (["--model.n-modes", "4,4,4"], ["n_modes (4, 4, 4) has 3 entries, the data have 2 space axes"]),
        (
            ["--model.depth", "2", "--model.output-scaling", "2,1"],
            ["smooth.h5:train has targets (1, 8, 8), the model returns (1, 16, 16)"],
        ),
        (["--model.in-channels", "3"], ["smooth.h5:train does not fit the model", "3 input channels"]),
        (["--model.complex-data", "true"], ["smooth.h5:train does not fit the model", "complex floating array, got float32"]),
        (["--model.norm", "adaptive", "--model.num-parameters", "2"], ["reads parameters p of shape (2,), got nothing"]),
        (["--model.padding", "0.1,0.2,0.3"], ["model 'fno': padding must be one number from 0 to 8, or 2 of them"]),
        (["--model.kind", "classic_fno", "--model.padding", "-3"], ["model 'classic_fno'"]),
        (["--seed", "99999999999999999999"], ["seed must be >= 0 and < 4e+09, got 99999999999999999999"]),
        (["--out", "x" * 300], ["File name too long. Choose another --out."]),
        (["--data.path", "half.h5"], ["half.h5:/test has no dataset 'v'. Found: a (3, 8, 8)"]),
        (["--data.path", "other.h5"], ["other.h5:test has 1 space axes, the training data 2"]),
        (["--training.early-stop-split", "tset_8", "--training.evaluate-every", "2"], ["tset_8", "test_8"]),
        (["--resume"], ["--resume needs --out RUN"]),
        (["--resume", "--out", "none"], ["none"]),
    ],
)
def test_wrong_input(place, refused, words, key_words):
    whole = (place / "smooth.h5").read_bytes()
    (place / "cut.h5").write_bytes(whole[: len(whole) // 2])
    (place / "page.h5").write_text("<!DOCTYPE html><title>Sign in</title>")
    (place / "evil.pt").write_bytes(b"\x80\x02.")
    u = np.ones((12, 8, 8))
    with h5py.File(place / "nan.h5", "w") as file:
        file["train/v"] = u
        u[1, 0, 3] = u[4, 2, 2] = np.nan
        file["train/a"] = u
    for name, test in (("half", {"a": np.ones((3, 8, 8))}), ("other", {"a": np.ones((3, 8)), "v": np.ones((3, 8))})):
        with h5py.File(place / f"{name}.h5", "w") as file:
            file["train/a"] = file["train/v"] = np.ones((12, 8, 8))
            for field, values in test.items():
                file[f"test/{field}"] = values
    line = refused(*words)
    for part in key_words:
        assert part in line


def test_wrong_file(place, refused):
    (place / "run.toml").write_text((place / "run.toml").read_text() + '[optimizer]\nlearning_rate = "1e-3"\n')
    assert (
        refused() == "optimizer.learning_rate must be a number > 0, got the string '1e-3' (run.toml, line 19). Remove the quotes."
    )


def test_directory_that_holds_a_run_is_not_touched(trained, refused):
    line = refused("--out", "runs/a", "--seed", "1")
    assert "runs/a already holds a run" in line and "--resume" in line
    line = refused("--out", "runs/a", "--resume", "--model.width", "8")
    assert "model.width 4 -> 8" in line
