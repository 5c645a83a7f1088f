"""F18: files that are cut, overwritten or made to crash their readers give an error; the process that asked for them goes on."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("mutated_files.py")
LONG = {
    "own": 700, "foreign": 1200, "newest": 900, "any": 500, "matlab_7": 500, "stored": 500, "compressed": 500, "matlab_5": 200,
}  # fmt: skip
SHORT = {"own": 30, "foreign": 50, "newest": 40, "any": 20, "matlab_7": 20, "stored": 20, "compressed": 20, "matlab_5": 3}


def test_f18_mutated_files_never_end_or_stop_the_process(tmp_path, count):
    numbers = {kind: count(SHORT[kind], LONG[kind]) for kind in LONG}
    command = [sys.executable, str(SCRIPT), str(tmp_path), *(f"{kind}={number}" for kind, number in numbers.items())]
    result = subprocess.run(command, capture_output=True, text=True, timeout=count(280, 3500))
    print(result.stdout)
    assert result.returncode == 0, result.stderr[-2000:]
    told = {line["kind"]: line for line in map(json.loads, result.stdout.splitlines())}
    assert {kind: line["files"] for kind, line in told.items()} == numbers
    assert all(line["refused"] > line["files"] / 3 for kind, line in told.items() if kind != "matlab_5"), told
