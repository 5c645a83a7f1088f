"""`plan` on one screen."""

import json

import pytest
from conftest import CONFIG

from neuralop_jax.__main__ import main
from neuralop_jax.training import DeviceMesh


def test_one_screen_and_a_file(place, capsys):
    assert (
        main(["plan", "run.toml", "--devices", "2", "--model.width", "6", "--step-seconds", "0.01", "--json", "plan.json"]) == 0
    )
    out = capsys.readouterr().out
    assert len(out.splitlines()) <= 50 and max(map(len, out.splitlines())) <= 130
    assert out.splitlines()[0].startswith(
        "fno on smooth.h5: 6 steps of 2 samples on each of 2 devices, 2 epochs, 24 samples seen"
    )
    plan = json.loads((place / "plan.json").read_text())
    assert f"{plan['parameters']:,}" in out and plan["devices"] == 2 and plan["samples"] == 2
    weights = plan["memory"]["parameters"]
    assert plan["sent_bytes"]["data"] == weights == plan["sent_bytes"]["data, sharded weights"]
    seconds = 2 * weights * 4095 / 4096 / 5e10 + 24e-5
    assert plan["efficiency"]["data"]["4096"] == pytest.approx(0.01 / (0.01 + seconds))
    assert "Expected: 0.1 seconds for 6 steps" in out
    assert main(["plan", "run.toml", "--optimizer.accumulate", "3"]) == 0
    assert not (place / "runs").exists()


def test_faster_links_and_slower_devices_scale_better(place, capsys):
    def efficiency(*words):
        assert main(["plan", "run.toml", "--json", "plan.json", *words]) == 0
        return json.loads((place / "plan.json").read_text())["efficiency"]["data"]["512"]

    base = efficiency()
    assert efficiency("--teraflops", "1") > base
    assert base < efficiency("--bandwidth", "600", "--latency", "1")


OTHER_MODELS = {
    "deeponet": 'kind = "deeponet"\nwidth = 4\nbranch_hidden = [8]',
    "implicit_fno": 'kind = "implicit_fno"\nn_modes = [4, 4]\nwidth = 4',
}


@pytest.mark.parametrize(
    ("model", "words", "key_words"),
    [
        ("fno", ["--mesh.data", "3"], "data.batch_size 4 cannot be divided evenly among mesh.data 3 devices."),
        ("fno", ["--mesh.space", "3"], "the first of (8, 8) points cannot be divided evenly among mesh.space 3 devices."),
        ("deeponet", ["--mesh.space", "2"], "model.kind 'deeponet' needs whole domains"),
        ("implicit_fno", ["--mesh.data", "2"], "model.kind 'implicit_fno' solves equations in loops"),
        ("fno", ["--model.n-modes", "12"], "needs a training grid"),
        ("fno", ["--model.depth", "2", "--model.output-scaling", "2,1"], "the model returns (1, 16, 16)"),
        ("fno", ["--training.early-stop-split", "tset_8", "--training.evaluate-every", "2"], "Did you mean 'test_8'?"),
        ("fno", ["--optimizer.accumulate", "4"], "optimizer.accumulate 4 takes more batches than the 3 of an epoch"),
    ],
)
def test_what_train_refuses_plan_refuses_with_the_same_line(place, capsys, model, words, key_words, monkeypatch):
    """Before train has made the run directory; whether the devices are there is another question."""
    monkeypatch.setattr(DeviceMesh, "create", DeviceMesh.planned)
    if model != "fno":
        start, rest = CONFIG.split("[model]\n")
        (place / "run.toml").write_text(f"{start}[model]\n{OTHER_MODELS[model]}\n[training]{rest.split('[training]')[1]}")
    assert main(["train", "run.toml", "--out", "runs/a", *words]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and key_words in line and not (place / "runs").exists()
    assert main(["plan", "run.toml", *words]) == 2
    assert capsys.readouterr() == ("", line)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--devices", "3"], "data.batch_size 4 cannot be divided evenly among mesh.data 3 devices. Use --data.batch-size 3."),
        (["--teraflops", "0"], "--teraflops must be finite and above 0, got 0 Tflop/s."),
        (["--bandwidth", "-1"], "--bandwidth must be finite and above 0, got -1 GB/s."),
        (["--node-size", "0"], "--node-size must be finite and above 0, got 0 devices."),
        (["--latency", "-1"], "--latency must be finite and at least 0, got -1 us."),
        (["--step-seconds", "nan"], "--step-seconds must be finite and at least 0, got nan s."),
        (["--json", "none/plan.json"], "--json none/plan.json: the folder none does not exist; create it first."),
        (["--device", "2"], "Did you mean '--devices'?"),
        (["--model.n-mode", "4"], "Did you mean 'model.n_modes'"),
    ],
)
def test_wrong_input(place, capsys, words, message):
    assert main(["plan", "run.toml", *words]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and message in err
