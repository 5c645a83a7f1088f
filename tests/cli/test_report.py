"""What the page of a run says, of one that is finished, one that was interrupted, and one with several fields."""

import html
import json
import re
import shutil

import numpy as np
import pytest

from neuralop_jax.__main__ import main
from neuralop_jax.cli._report import write_report
from neuralop_jax.data import write_hdf5
from neuralop_jax.errors import RunDirError
from neuralop_jax.grids import Grid
from neuralop_jax.info import DatasetInfo, FieldInfo, SplitInfo


def text_of(page):
    """The words of a page, without marks and pictures."""
    return re.sub(r"\s+", " ", re.sub("<style>.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL))


CERTIFIED = {"grid": [9, 9], "modes": [4, 4], "difference": 0.0123, "against": [16, 16], "error": 0.4567, "interpolated": True}
CERTIFICATE = {"claim": "converges", "reason": "zeros beyond the edge", "training_grid": [8, 8], "waves": [2, 2], "count": 3} | {
    "tolerance": 0.02,
    "round_off": 1e-5,
    "grids": [CERTIFIED | {"input_tail": 0.25, "output_tail": None, "verdict": "agrees", "reason": ""}],
}


def test_page_of_a_finished_run(trained):
    (trained / "runs/a/certificate.json").write_text(json.dumps(CERTIFICATE))
    path = write_report("runs/a")
    page, results = path.read_text(encoding="utf-8"), json.loads((trained / "runs/a/results.json").read_text())
    text = text_of(page)
    assert path == (trained / "runs/a/report.html").relative_to(trained) and "FNO on Shifted waves" in text
    for name in ("test_8", "test_16"):
        split = results["splits"][name]
        assert f"{split['relative_l2']:#.4g} ± {split['spread']['relative_l2']:#.2g}" in text
        assert f"Predictions: {name}" in text
    for part in ("8 × 8 (training grid)", "Median sample", "Worst sample", f"{results['parameters']:,}", "n_modes 4, 4"):
        assert part in text
    assert results["versions"]["jax"] in text and f"<pre>{html.escape(results['command'])}</pre>" in page
    for part in ("Other grids", "9 x 9 4 x 4 0.012 0.4567* 0.25 – agrees", "What lets them differ: zeros beyond the edge."):
        assert part in text
    assert "not finished" not in text and not list((trained / "runs/a").glob(".report*"))


def test_page_needs_nothing_else(trained):
    page = (trained / "runs/a/report.html").read_text(encoding="utf-8")
    sources = re.findall(r"""(?:src|href|url|action)\s*[=(]\s*["']?([^"'\s>]*)""", page)
    assert len(sources) > 15 and all(source.startswith("data:image/") for source in sources)
    assert not re.search("<(script|link|iframe|object)|@import", page)


def test_page_of_an_interrupted_run(trained):
    run = trained / "runs/a"
    for name in ("results.json", "DONE", "report.html"):
        (run / name).unlink()
    lines = (run / "metrics.jsonl").read_text().splitlines()
    (run / "metrics.jsonl").write_text("\n".join(lines[:2]) + '\n{"step": 6, "lo')
    text = text_of(write_report(run).read_text(encoding="utf-8"))
    assert "This training is not finished: it stands at step 4 of 6." in text
    assert "test_16 16 × 16 3 " in text and "Worst sample" in text


def test_a_run_that_goes_on_shows_its_checkpoint_and_not_its_former_results(trained):
    run = trained / "runs/a"
    (run / "DONE").unlink()
    results = json.loads((run / "results.json").read_text())
    right = f"{results['splits']['test_16']['relative_l2']:#.4g}"
    results["splits"]["test_16"]["relative_l2"] = 123.4
    (run / "results.json").write_text(json.dumps(results))
    text = text_of(write_report(run).read_text(encoding="utf-8"))
    assert "not finished" in text and right in text and "123.4" not in text


def test_page_without_checkpoint_or_data_says_so(trained):
    shutil.rmtree(trained / "runs/a/checkpoints")
    text = text_of(write_report("runs/a").read_text(encoding="utf-8"))
    assert "Pictures and spectra are missing:" in text and "Training loss" in text and "test_16 16 × 16 3 " in text
    (trained / "runs/a/metrics.jsonl").unlink()
    (trained / "runs/a/DONE").unlink()
    (trained / "runs/a/results.json").unlink()
    assert "it stands before its first log line" in text_of(write_report("runs/a").read_text(encoding="utf-8"))


def test_data_that_have_moved_leave_curves_and_figures(trained):
    (trained / "smooth.h5").rename(trained / "elsewhere.h5")
    text = text_of(write_report("runs/a").read_text(encoding="utf-8"))
    assert "Pictures and spectra are missing: no such file: smooth.h5" in text and "Training loss" in text


def test_results_of_other_grids_are_shown(trained):
    assert main(["evaluate", "runs/a", "--resolution", "4", "--split", "test_16"]) == 0
    assert "test_16@4x4 4 × 4 3 " in text_of(write_report("runs/a").read_text(encoding="utf-8"))


def test_several_fields_with_units_and_times(place):
    """Two inputs of other units, three frames of a field with two components, in one dimension; the title is not markup."""
    rng = np.random.default_rng(0)
    fields = (FieldInfo("a", "K"), FieldInfo("b"), FieldInfo("v", "m/s", channels=2, time_varying=True))
    grid = Grid((12,), ((0.0, 3.0),), ("periodic",), unit="m")
    splits = {name: SplitInfo(4, grid, (0.0, 0.5, 1.0), "s") for name in ("train", "test")}
    info = DatasetInfo("several", "<b>Several</b> fields", fields, splits, {"viscosity": 0.01})
    draw = lambda: {"a": rng.normal(size=(4, 12)), "b": rng.normal(size=(4, 12)), "v": rng.normal(size=(4, 3, 2, 12))}
    write_hdf5("several.h5", info, {name: draw() for name in splits})
    config = (place / "run.toml").read_text().replace('input = ["a"]', 'input = ["a", "b"]').replace("smooth.h5", "several.h5")
    (place / "several.toml").write_text(config.replace("n_modes = [4, 4]", "n_modes = [4]"))
    assert main(["train", "several.toml", "--out", "runs/s", "--loss.kind", "mse"]) == 0
    page = (place / "runs/s/report.html").read_text(encoding="utf-8")
    text = text_of(page)
    assert "&lt;b&gt;Several&lt;/b&gt; fields" in text and "<b>" not in page
    assert "Of the channels the first, the middle and the last are shown." in text and "viscosity 0.01" in text
    assert re.search(r"v 0, t = 0 s [\d.e-]+ v 1, t = 0 s [\d.e-]+ v 0, t = 0.5 s [\d.e-]+", text)


def test_a_directory_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunDirError, match="is not a run directory"):
        write_report(tmp_path)
