import json
import math
import pathlib
import statistics

import pytest

from neuralop_jax.__main__ import main
from neuralop_jax.errors import DataError, RunDirError
from neuralop_jax.evaluation import merge, read_records, record, rewrite, student_interval, table

ROOT = pathlib.Path(__file__).parents[2]


def finished(place, command, seed, error, kind="fno", data="set/set.h5", **measured):
    """The files that a training leaves, as far as they count here."""
    place.mkdir(parents=True)
    split = {"grid": [8], "count": 3, "relative_l2": error, "relative_h1": 2 * error, "max_error": 1.0, **measured}
    results = {
        "command": f"/x/python -m neuralop_jax train {command} --seed {seed} --out {place}",
        "seed": seed,
        "parameters": 1234,
        "steps": 20,
        "train_seconds": 3.14,
        "splits": {"test": split},
        "versions": {"neuralop_jax": "0.1.0", "jax": "0.10.2", "numpy": "2"},
    }
    known = {
        "git": "a" * 40,
        "git_changes": False,
        "device": {"platform": "cpu", "kind": "cpu", "count": 1},
        "processor": "Abacus",
        "cores": 2,
    }
    config = {"data": {"path": data, "input": ["u"], "target": ["v"]}, "model": {"kind": kind}}
    for name, tree in (("results", results), ("env", known | {"started": "2026-11-21T10:00:00"}), ("config", config)):
        (place / f"{name}.json").write_text(json.dumps(tree))
    (place / "DONE").touch()
    return place


def test_seeds_are_one_line_and_the_best_comes_first(tmp_path):
    errors = [0.1, 0.2, 0.4]
    runs = [record(finished(tmp_path / f"a{seed}", "c/fno.toml", seed, e)) for seed, e in enumerate(errors)]
    runs.append(record(finished(tmp_path / "b", "c/tfno.toml --model.rank 0.1", 0, 0.00512, kind="tfno")))
    lines = table(merge([], runs)).splitlines()
    assert lines[0].startswith("| model | configuration | parameters | relative L2, test |")
    assert lines[2] == "| tfno | `c/tfno.toml` `--model.rank 0.1` | 1,234 | 0.00512 | 0 | 20 | 3 |"
    low, high = student_interval(errors)
    wanted = f"{statistics.fmean(errors):.4f} ± {statistics.stdev(errors):.4f} ({low:.4f} to {high:.4f})"
    assert lines[3] == f"| fno | `c/fno.toml` | 1,234 | {wanted} | 0, 1, 2 | 20 | 3 |"
    assert "2 cores of Abacus; commits aaaaaaaaaa; 2026-11-21." in lines[5]


def test_a_single_seed_has_the_interval_over_its_samples(tmp_path):
    ends = {"relative_l2": [0.0912, 0.11], "relative_h1": [0.1, 0.3], "max_error": [0.0, 9.0]}
    entry = record(finished(tmp_path / "a", "c/fno.toml", 0, 0.1, interval=ends))
    assert entry["splits"]["test"]["interval"] == {name: ends[name] for name in ("relative_l2", "relative_h1")}
    assert "| 0.1000 (0.0912 to 0.1100) | 0 |" in table([entry])
    assert "by the bootstrap" in table([entry])
    lost = record(finished(tmp_path / "b", "c/fno.toml", 1, 0.1, interval=ends, diverged=1))
    assert "interval" not in lost["splits"]["test"] and "| inf | 1 |" in table([lost])
    file = tmp_path / "results.json"
    for bad in ([0.1], ["a", 0.2], 0.1):
        entry["splits"]["test"]["interval"] = {"relative_l2": bad}
        file.write_text(json.dumps([entry]))
        with pytest.raises(DataError, match=r"interval\['relative_l2'\].* must be a"):
            read_records(file)


def test_a_run_that_diverged_comes_last_and_spoils_no_table(tmp_path):
    runs = [record(finished(tmp_path / f"{e}", f"c/{e}.toml", 0, e)) for e in (0.3, math.nan, 0.1)]
    runs.append(record(finished(tmp_path / "other", "c/nan.toml", 1, 0.1)))
    lines = table(merge([], runs)).splitlines()
    assert "| 0.1000 |" in lines[2] and "| 0.3000 |" in lines[3] and "| nan | 0, 1 |" in lines[4]
    assert table([{**runs[0], "splits": {}}]).splitlines()[2].startswith("| fno | `c/0.3.toml` | 1,234 | 0 |")


def test_classes_have_accuracies_and_solvers_a_cost(tmp_path):
    cheap = "c/ode.toml --training.log_every 5 --training.save-every 7 --loss.penalty error"
    runs = [record(finished(tmp_path / "cheap", cheap, 0, 0.2, num_evaluations=14.25))]
    runs.append(record(finished(tmp_path / "fno", "c/fno.toml", 0, 0.1)))
    lines = table(merge([], runs)).splitlines()
    assert lines[0].startswith("| model | configuration | parameters | relative L2, test | evaluations, test |")
    assert lines[2].startswith("| fno | `c/fno.toml` | 1,234 | 0.1000 | – |")
    assert lines[3].startswith("| fno | `c/ode.toml` `--loss.penalty error` | 1,234 | 0.2000 | 14.2 |")
    runs = [record(finished(tmp_path / f"{a}", f"c/{a}.toml", 0, 1.0, accuracy=a)) for a in (0.5, 0.75)]
    lines = table(merge([], runs)).splitlines()
    assert lines[0].startswith("| model | configuration | parameters | accuracy, test | seeds |")
    assert "| 0.750 |" in lines[2] and "| 0.500 |" in lines[3]


def test_a_newer_run_takes_the_place_of_the_older(tmp_path):
    old, new = (record(finished(tmp_path / name, "c/fno.toml", 0, e)) for name, e in (("old", 0.3), ("new", 0.2)))
    assert merge([old], [new]) == [new]
    assert len(merge([old], [{**new, "seed": 1}])) == 2


def test_pages_are_rewritten_between_the_marks(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "datasets/set").mkdir(parents=True)
    card, readme = tmp_path / "datasets/set/README.md", tmp_path / "README.md"
    card.write_text("# Set\n<!-- results of results.json -->\nold\n<!-- end of results -->\nend\n")
    readme.write_text("before\n<!-- results of datasets/set/results.json -->\n<!-- end of results -->\n")
    run = finished(tmp_path / "run", "c/fno.toml", 0, 0.25, data="datasets/set/set.h5")
    assert (
        main(["leaderboard", str(run), str(finished(tmp_path / "two", "c/fno.toml", 1, 0.25, data="datasets/set/set.h5"))]) == 0
    )
    assert "README.md has new tables" in capsys.readouterr().out
    made = table(read_records("datasets/set/results.json"))
    assert "0.2500 ± 0.0000 (0.2500 to 0.2500) | 0, 1" in made
    assert card.read_text() == f"# Set\n<!-- results of results.json -->\n{made}<!-- end of results -->\nend\n"
    assert made in readme.read_text() and readme.read_text().startswith("before\n")
    assert not rewrite(card)


def test_every_table_of_the_project_is_made_from_its_file():
    pages = [ROOT / "README.md", *sorted((ROOT / "datasets").glob("*/README.md"))]
    assert not [page for page in pages if rewrite(page, only_check=True)]


def test_what_is_no_finished_run_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = finished(tmp_path / "run", "c/fno.toml", 0, 0.25, data="nowhere/set.h5")
    assert main(["leaderboard", str(run)]) == 2
    assert "the folder nowhere of its data is not here" in capsys.readouterr().err
    with pytest.raises(RunDirError, match="names no configuration file"):
        record(finished(tmp_path / "python", "", 0, 0.25))
    (run / "DONE").unlink()
    with pytest.raises(RunDirError, match="is no finished run"):
        record(run)
    wrong = {"test": {"grid": [8], "count": 3, "relative_l2": "x", "relative_h1": 0.1}}
    parts = (("splits", ["test"]), ("splits", {"test": 0.1}), ("splits", wrong), ("command", None), ("versions", "0.1.0"))
    for number, (name, part) in enumerate(parts):
        bad = finished(tmp_path / f"bad{number}", "c/fno.toml", 0, 0.25)
        (bad / "results.json").write_text(json.dumps(json.loads((bad / "results.json").read_text()) | {name: part}))
        with pytest.raises(RunDirError, match=f"results.json is damaged: its table.{name}") as caught:
            record(bad)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("word", ["fno <!-- end of results -->", "fno\n\n# Title", "\ud800", "fno\x1b[2J"])
@pytest.mark.parametrize("key", ["model", "options", "commit"])
def test_words_that_would_change_a_page_beyond_its_table_are_refused(tmp_path, key, word):
    file = tmp_path / "results.json"
    file.write_text(json.dumps([{**record(finished(tmp_path / "a", "c/fno.toml", 0, 0.1)), key: word}]))
    with pytest.raises(DataError, match="entry 0 holds .*, wanted words on one line that open no comment") as caught:
        read_records(file)
    assert str(caught.value).isprintable()


def test_no_word_ends_a_cell_and_no_number_a_table(tmp_path):
    """Sums and squares that are too large are infinite, without a warning."""
    command, errors = "c/fno.toml --model.x 'a|b'", {"error": 1e308, "relative_h1": 1.0}
    runs = [record(finished(tmp_path / str(seed), command, seed, **errors)) for seed in (0, 1)]
    line = table([{**run, "seconds": 1e308} for run in runs]).splitlines()[2]
    assert r"a\|b" in line and line.count(" | ") == table(runs).splitlines()[0].count(" | ") and "| inf |" in line


@pytest.mark.parametrize(
    "text", ["{", "[" * 10_000, "{}", '"none"', "[1]", "[{}]", "null", '[{"configuration": "c", "options": "", "seed": 0}]']
)
def test_what_is_no_file_of_results_is_refused_and_kept(tmp_path, monkeypatch, capsys, text):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "results.json"
    file.write_text(text)
    with pytest.raises(DataError, match="is no file of results"):
        read_records(file)
    assert main(["leaderboard", str(finished(tmp_path / "run", "c/fno.toml", 0, 0.25, data="results.h5"))]) == 2
    assert capsys.readouterr().err.count("\n") == 1 and file.read_text() == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "a\n<!-- results of a.json -->\nprose\n<!-- results of b.json -->\n<!-- end of results -->\n",
            "line 2: .* a.json .* no end",
        ),
        (
            "<!-- results of a.json -->\n<!-- end of results -->\n<!-- results of b.json -->\nprose\n",
            "line 3: .* b.json .* no end",
        ),
        ("prose\n<!-- end of results -->\n", "line 2: .* no beginning"),
    ],
)
def test_a_mark_without_its_other_half_deletes_nothing(tmp_path, text, said):
    page = tmp_path / "README.md"
    page.write_text(text)
    with pytest.raises(DataError, match=said):
        rewrite(page)
    assert page.read_text() == text


def test_a_page_that_cannot_be_written_keeps_the_results_out(tmp_path, monkeypatch, capsys):
    """All or nothing: the run enters the file of results only if every page can have its table."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set").mkdir()
    (tmp_path / "README.md").write_text("<!-- results of set/results.json -->\n")
    assert main(["leaderboard", str(finished(tmp_path / "run", "c/fno.toml", 0, 0.25))]) == 2
    assert "has no end" in capsys.readouterr().err
    assert not (tmp_path / "set" / "results.json").exists()
