"""Tables of results, made from the files of finished runs and written between two marks of a Markdown page."""

import math
import re
import shlex
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from neuralop_jax._checks import reason, shown
from neuralop_jax._json_schema import Count, Finite, check_json
from neuralop_jax._run_files import read_environment, read_json, read_results
from neuralop_jax._strict_json import numbers
from neuralop_jax._untrusted_files import parse_json, read_file
from neuralop_jax._whole_files import write_whole
from neuralop_jax.errors import DataError, RunDirError
from neuralop_jax.evaluation._confidence import student_interval

Record = dict[str, Any]
"""One finished run: what was trained, how, where, and the mean errors of every held-out split. JSON types."""

_MARK = re.compile(r"<!-- (?:results of (\S+)|end of results) -->")
_SAID = {"--seed", "--out", "--resume"}
"""Options that a line leaves out."""
_WATCHING = {"--training.log_every", "--training.save_every", "--training.evaluate_every"}
"""Others: they change nothing in the trained network, unless it stops early."""
_LARGEST = 1e100
_BAR = r"\|"
"""One that ends no cell of a table."""
_ALWAYS = ("relative_l2", "relative_h1")
_MEASURED = (*_ALWAYS, "accuracy", "num_evaluations")
_SHOWN = {"relative_l2": ("relative L2", 4), "accuracy": ("accuracy", 3), "num_evaluations": ("evaluations", 1)}
"""Columns: what the table calls them, and decimal places."""


class _Split(TypedDict):
    grid: Sequence[Count]
    count: Count
    relative_l2: float
    relative_h1: float
    accuracy: NotRequired[float]
    num_evaluations: NotRequired[float]
    interval: NotRequired[dict[str, tuple[float, float]]]


class _Versions(TypedDict):
    neuralop_jax: str
    jax: str


class _Record(TypedDict):
    configuration: str
    options: str
    model: str
    seed: Count
    parameters: Count
    steps: Count
    seconds: Finite
    splits: dict[str, _Split]
    versions: _Versions
    commit: str
    device: str
    cores: Count | None
    date: str


def record(run: str | Path) -> Record:
    """The record of a finished run.

    **Raises:** `RunDirError` if the run is not finished, or its files cannot be read.
    """
    run = Path(run)
    if not (run / "DONE").exists():
        raise RunDirError(
            f"{run} is no finished run of train: it has no file DONE. Let it finish with --resume, or train it again."
        )
    try:
        results, known, config = read_results(run), read_environment(run), numbers(read_json(run / "config.json"))
        left_out = _SAID if config.get("training", {}).get("early_stop_split") else _SAID | _WATCHING
        configuration, options = _trained(results["command"], left_out)
        entry = {
            "configuration": configuration,
            "options": options,
            "model": config["model"]["kind"],
            "seed": results["seed"],
            "parameters": int(results["parameters"]),
            "steps": int(results["steps"]),
            "seconds": round(results["train_seconds"], 1),
            "splits": {
                name: {
                    "grid": split["grid"],
                    "count": split["count"],
                    **{key: _honest(split, key) for key in _MEASURED if key in split or key in _ALWAYS},
                    **_interval_of(split),
                }
                for name, split in results["splits"].items()
                if "data" not in split  # of another file than that of the training
            },
            "versions": {name: results["versions"][name] for name in ("neuralop_jax", "jax")},
            "commit": (known["git"] or "unknown")[:10] + ("+" if known["git_changes"] else ""),
            "device": known["device"]["kind"] if known["device"]["platform"] != "cpu" else known["processor"],
            "cores": known["cores"],
            "date": known["started"][:10],
        }
        _check(entry, "it")
    except RunDirError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
        raise RunDirError(
            f"{run}: results.json, env.json or config.json is not what train wrote ({type(error).__name__} "
            f"{reason(error)}). Train again."
        ) from error
    return entry


def read_records(path: str | Path) -> list[Record]:
    """The records in a file of results, as `merge` orders them; none if there is no file.

    **Raises:** `DataError` if it cannot be read, or holds anything but a list of records.

    !!! example

        ```python
        from neuralop_jax.evaluation import read_records

        records = read_records("datasets/darcy_small/results.json")
        tested = {record["configuration"]: record["splits"]["test_16"]["relative_l2"] for record in records}
        assert tested["configs/darcy_small/fno.toml"] < tested["configs/darcy_small/deeponet.toml"]
        assert read_records("datasets/darcy_small/not_yet.json") == []
        ```
    """
    path = Path(path)
    if not path.exists():
        return []
    try:
        records = numbers(parse_json(read_file(path)))
        if not isinstance(records, list):
            raise TypeError(f"it holds a {type(records).__name__}, wanted a list")
        for number, entry in enumerate(records):
            _check(entry, f"entry {number}")
        return sorted(records, key=_identity)
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path} is no file of results: {reason(error)}. Restore it from version control.") from error


def merge(old: Iterable[Record], new: Iterable[Record]) -> list[Record]:
    """All records in a fixed order; a new one takes the place of the old one of the same configuration, options and seed."""
    return sorted({_identity(r): r for r in (*old, *new)}.values(), key=_identity)


def table(records: Sequence[Record]) -> str:
    r"""The records as a table in Markdown: a line for each configuration, its runs with other seeds together, best first.

    Errors are means over the samples of a split; with several seeds their mean $\pm$ their standard deviation (with $n - 1$). In
    parentheses stands the 95 % confidence interval: with several seeds `student_interval` over them, otherwise that of
    `bootstrap_intervals` over the samples, if the run has it.
    Where all runs predict classes, accuracies take their place; evaluations of a right-hand side are shown where there are some.
    """
    if not records:
        return "No results yet.\n"
    groups: dict[tuple[str, str], list[Record]] = {}
    for entry in records:
        groups.setdefault(_identity(entry)[:2], []).append(entry)
    splits = list(dict.fromkeys(name for entry in records for name in entry["splits"]))
    classes = bool(splits) and all("accuracy" in split for entry in records for split in entry["splits"].values())
    solved = any("num_evaluations" in split for entry in records for split in entry["splits"].values())
    measured = ["accuracy" if classes else "relative_l2", *["num_evaluations"] * solved]
    columns = [(key, name) for key in measured for name in splits]
    rows = sorted(groups.values(), key=lambda runs: _rank(_values(runs, measured[0], *splits[:1]), classes))
    head = [
        "model",
        "configuration",
        "parameters",
        *(f"{_SHOWN[key][0]}, {name}" for key, name in columns),
        "seeds",
        "steps",
        "training / s",
    ]
    lines = [head, ["---"] * len(head)]
    for runs in rows:
        first = runs[0]
        lines.append(
            [
                first["model"],
                " ".join([f"`{first['configuration']}`", *([f"`{first['options']}`"] if first["options"] else [])]),
                f"{first['parameters']:,}",
                *(_mean(_values(runs, key, name), _intervals(runs, name, key=key), _SHOWN[key][1]) for key, name in columns),
                ", ".join(str(entry["seed"]) for entry in runs),
                f"{first['steps']:,}",
                f"{sum(entry['seconds'] for entry in runs) / len(runs):.0f}",
            ]
        )
    body = "\n".join(f"| {' | '.join(cell.replace('|', _BAR) for cell in line)} |" for line in lines)
    return f"{body}\n\n{_circumstances(records)}\n"


def rewrite(page: str | Path, *, only_check: bool = False) -> bool:
    r"""Puts the tables of their files of results between the marks of a page; whether the page changed.

    A mark is `<!-- results of FILE -->`, with the path of the file from the page, and ends with `<!-- end of results -->`.
    Where there is no such file, the page says that there are no results yet. With `only_check` nothing is written: whether the
    page would change.

    **Raises:** `DataError` if a mark has no end, or an end no mark: what stands between them would be lost; or as of
    `read_records`. `OSError` if the page cannot be read or written.

    !!! example

        ```python
        import pathlib
        from neuralop_jax.evaluation import read_records, rewrite, table

        file, page = "datasets/darcy_small/results.json", pathlib.Path("page.md")
        page.write_text(f"# Darcy\n<!-- results of {file} -->\nan old table\n<!-- end of results -->\n")
        assert rewrite(page, only_check=True) and rewrite(page)
        assert page.read_text() == f"# Darcy\n<!-- results of {file} -->\n{table(read_records(file))}<!-- end of results -->\n"
        assert not rewrite(page)
        ```
    """
    page = Path(page)
    text = page.read_text(encoding="utf-8")
    pieces, kept, start = [], 0, None
    for mark in _MARK.finditer(text):
        if (start is None) != (mark[1] is not None):
            raise _unpaired(page, text, start or mark)
        if start is not None:
            pieces += [text[kept : start.end()], "\n", table(read_records(page.parent / start[1]))]
            kept = mark.start()
        start = mark if start is None else None
    if start is not None:
        raise _unpaired(page, text, start)
    new = "".join([*pieces, text[kept:]])
    if new != text and not only_check:
        write_whole(page, new)
    return new != text


def _unpaired(page: Path, text: str, mark: re.Match[str]) -> DataError:
    lacks = "no end" if mark[1] else "no beginning"
    line = text.count("\n", 0, mark.start()) + 1
    return DataError(
        f"{page}, line {line}: the mark {mark[0]} has {lacks}. Write <!-- results of FILE --> before each table and "
        "<!-- end of results --> behind it."
    )


def _check(entry: Any, name: str) -> None:
    """Raises `ValueError` unless it is a record whose words leave a page as it is, but for the table."""
    check_json(_Record, entry, name)
    plain = (entry[key] for key in ("configuration", "options", "model", "commit", "device", "date"))
    for word in (*plain, *entry["versions"].values(), *entry["splits"]):
        if not isinstance(word, str) or not word.isprintable() or "<!--" in word:
            raise ValueError(f"{name} holds {shown(word)}, wanted words on one line that open no comment")


def _identity(entry: Mapping[str, Any]) -> tuple[str, str, int]:
    return entry["configuration"], entry["options"], entry["seed"]


def _trained(command: Any, left_out: set[str]) -> tuple[str, str]:
    """The configuration file of a `train` command, and its options but for some."""
    if not isinstance(command, str):
        raise TypeError(f"the command is {command!r}, wanted text")
    words = shlex.split(command)
    start = next((i for i, word in enumerate(words) if word.endswith(".toml")), None)
    if start is None:
        raise ValueError(f"the command {command!r} names no configuration file")
    options, rest = [], words[start + 1 :]
    while rest:
        name, equals, _ = rest[0].partition("=")
        values = [] if equals else [word for word in rest[1:2] if not word.startswith("--")]
        if name.replace("-", "_") not in {each.replace("-", "_") for each in left_out}:
            options += [rest[0], *values]
        rest = rest[1 + len(values) :]
    return words[start], shlex.join(options)


def _honest(split: Mapping[str, Any], key: str) -> float:
    """A mean over all samples: infinite where some diverged, which are not in the one that a run has stored."""
    return math.inf if "diverged" in split else float(split[key])


def _values(runs: Iterable[Record], key: str, *splits: str) -> list[float]:
    """What runs have measured; beyond a bound no square is a number."""
    found = [entry["splits"][split][key] for entry in runs for split in splits if key in entry["splits"].get(split, {})]
    return [math.copysign(math.inf, value) if abs(value) > _LARGEST else value for value in found]


def _rank(values: Sequence[float], classes: bool) -> float:
    """The mean, the more the worse; what has none, or a NaN, comes last."""
    mean = statistics.fmean(values) if values else math.nan
    return math.inf if math.isnan(mean) else -mean if classes else mean


def _interval_of(split: Mapping[str, Any]) -> dict[str, Any]:
    """The intervals over samples of the errors that a record keeps; empty where there are none, or samples diverged."""
    found = {} if "diverged" in split else {key: split["interval"][key] for key in _ALWAYS if key in split.get("interval", {})}
    return {"interval": found} if found else {}


def _intervals(runs: Iterable[Record], *splits: str, key: str = "") -> list[Any]:
    """The intervals over samples that runs have for some splits: of one error, or of all."""
    known = [entry["splits"].get(split, {}).get("interval", {}) for entry in runs for split in splits]
    return [ends for each in known for name, ends in each.items() if key in ("", name)]


def _mean(values: Sequence[float], over_samples: Sequence[Sequence[float]], places: int) -> str:
    """Mean, deviation and interval with so many decimal places, or more where the mean has not three digits yet."""
    if not values:
        return "–"
    mean = statistics.fmean(values)
    if not math.isfinite(mean):
        return str(mean)
    if mean:
        places = max(places, 2 - math.floor(math.log10(abs(mean))))
    said = f"{mean:.{places}f}" if len(values) == 1 else f"{mean:.{places}f} ± {statistics.stdev(values):.{places}f}"
    ends = student_interval(values) if len(values) > 1 else next(iter(over_samples), ())
    return f"{said} ({' to '.join(f'{end:.{places}f}' for end in ends)})" if ends else said


def _circumstances(records: Sequence[Record]) -> str:
    """How to repeat the runs, and what they ran on."""
    once = lambda values: ", ".join(sorted(set(values)))
    return (
        "Mean over the samples of each split, ± the standard deviation between seeds. In parentheses the 95 % confidence "
        "interval: by Student's t over several seeds; of a single one over the samples, by the bootstrap, where its run has it. "
        "`python -m neuralop_jax train "
        f"CONFIGURATION --seed N`; neuralop_jax {once(r['versions']['neuralop_jax'] for r in records)}, jax "
        f"{once(r['versions']['jax'] for r in records)}, {once(_place(r) for r in records)}; commits "
        f"{once(r['commit'] for r in records)}; {once(r['date'] for r in records)}."
    )


def _place(entry: Record) -> str:
    return f"{entry['cores']} cores of {entry['device']}" if entry["cores"] else entry["device"]
