"""`plan` on one screen."""

import json

import pytest

from neuralop_jax.__main__ import main


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


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--devices", "3"], "--devices 3 does not divide the 4 samples of a batch."),
        (["--teraflops", "0"], "--teraflops must be finite and above 0, got 0."),
        (["--bandwidth", "-1"], "bandwidth must be finite and above 0"),
        (["--json", "none/plan.json"], "--json none/plan.json: the folder none does not exist; create it first."),
        (["--device", "2"], "Did you mean '--devices'?"),
        (["--model.n-mode", "4"], "Did you mean 'model.n_modes'"),
    ],
)
def test_wrong_input(place, capsys, words, message):
    assert main(["plan", "run.toml", *words]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and message in err
