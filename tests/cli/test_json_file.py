"""The file of `--json`: refused before anything is computed, and never in the place of something else."""

import json
import os
import stat

import pytest

from neuralop_jax.__main__ import main
from neuralop_jax.cli._json_file import json_file
from neuralop_jax.cli._run import write_json
from neuralop_jax.errors import ConfigError


@pytest.mark.parametrize("verb", [["plan", "run.toml"], ["uncertainty", "no_such_run"], ["benchmark", "fno"]], ids=" ".join)
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("smooth.h5", "holds something else than JSON, which is kept"),
        ("run.toml", "holds something else than JSON, which is kept"),
        ("", "--json . cannot be written: it is a directory, wanted a file"),
        ("nodir/x.json", "the folder nodir does not exist; create it first"),
        ("pipe", "it is a pipe or a device"),
        ("to_null", "it is a pipe or a device"),
        ("/proc/x.json", "--json /proc/x.json: "),
    ],
)
def test_what_is_no_json_file_stays_and_is_refused_first(place, capsys, verb, name, said):
    os.mkfifo("pipe")
    (place / "to_null").symlink_to(os.devnull)
    before = (place / "smooth.h5").read_bytes(), (place / "run.toml").read_bytes()
    assert main([*verb, "--json", name]) == 2
    line = capsys.readouterr().err
    assert said in line and line.count("\n") == 1
    assert ((place / "smooth.h5").read_bytes(), (place / "run.toml").read_bytes()) == before
    assert stat.S_ISFIFO(os.stat("pipe").st_mode) and stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_links_stay_and_what_they_lead_to_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "store").mkdir()
    (tmp_path / "link.json").symlink_to("store/rows.json")
    for content in (None, "", "[1]"):
        if content is not None:
            (tmp_path / "store/rows.json").write_text(content)
        write_json(json_file(tmp_path / "link.json"), {"a": 1})
        assert (tmp_path / "link.json").is_symlink() and json.loads((tmp_path / "store/rows.json").read_text()) == {"a": 1}
    (tmp_path / "store/rows.json").write_text("mine")
    with pytest.raises(ConfigError, match=r"link\.json holds something else than JSON"):
        json_file(tmp_path / "link.json")
    assert sorted(os.listdir("store")) == ["rows.json"] and json_file(None) is None
