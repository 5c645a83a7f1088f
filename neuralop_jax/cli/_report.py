"""The report of a run: one HTML file that opens anywhere."""

import base64
import html
import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from neuralop_jax import checkpoint, metrics, models, viz
from neuralop_jax.cli._run import read_config
from neuralop_jax.training._setup import open_split
from neuralop_jax.evaluation import sample_errors

_STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:1100px;margin:2rem auto;padding:0 1rem;color:#222}
h1{font-size:1.6rem}h2{font-size:1.15rem;margin-top:2.2rem;border-bottom:1px solid #ddd}h3{font-size:1rem;margin-bottom:.2rem}
table{border-collapse:collapse}td,th{padding:.25rem .8rem;border-bottom:1px solid #ddd;text-align:right}
th:first-child,td:first-child{text-align:left}img{max-width:100%;height:auto}p.note{color:#555}
pre{background:#f5f5f5;padding:.8rem;overflow-x:auto;font-size:.85rem}div.wide{overflow-x:auto}"""


def write_report(run_dir: str | Path) -> Path:
    """Writes `report.html` into a run directory from its files and its newest checkpoint, also if the run was interrupted."""
    run = Path(run_dir)
    config = read_config(run)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    results, environment = _read(run / "results.json"), _read(run / "env.json")
    operator = checkpoint.load(run)
    train = open_split(config.data, config.data.train_split)
    info = train.info
    held_out = {name: open_split(config.data, name) for name in info.splits if name != config.data.train_split}
    measured = {name: sample_errors(operator, d, batch_size=config.data.batch_size) for name, d in held_out.items()}
    errors = {name: values["relative_l2"] for name, values in measured.items()}
    grids = {name: d.grid.shape for name, d in held_out.items()}

    parts = [f"<h1>{html.escape(info.title or info.name)}</h1>"]
    state = "" if results else " The training was not finished: these are the figures of its newest checkpoint."
    trained_on = " × ".join(map(str, train.grid.shape))
    given, wanted = _labels(config, info)
    parts.append(f"<p>{given} → {wanted}, trained on {len(train)} samples of {trained_on}.{state}</p>")
    parts += ["<h2>Errors on held-out data</h2>", _error_table(measured, held_out, train.grid.shape)]
    parts += [_image(viz.plot_errors(errors, grids), "error by resolution and by sample")]
    parts += ["<h2>Training</h2>", _image(viz.plot_training(lines), "training curves")]
    parts += ["<h2>Samples</h2>"]
    for name, dataset in held_out.items():
        order = np.argsort(errors[name])
        for word, index in (("median", int(order[len(order) // 2])), ("worst", int(order[-1]))):
            if dataset.grid.num_dims <= 2:
                heading = f"{name}, {word} sample (number {index}), relative L2 {errors[name][index]:.4f}"
                figure = _sample_figure(operator, dataset, index, config, info)
                parts += [f"<h3>{html.escape(heading)}</h3>", _image(figure, heading)]
    extension = "Mean energy over the samples, of the even extension where an axis is not periodic."
    parts += ["<h2>Spectra</h2>", f"<p class=note>{extension}</p>"]
    n_modes = getattr(operator.model, "n_modes", None)
    for name, dataset in held_out.items():
        spectra = _mean_spectra(operator, dataset)
        figure = viz.plot_spectra(spectra, title=name, kept=max(n_modes) / 2 if n_modes else None)
        parts.append(_image(figure, f"spectra of {name}"))
    parts += ["<h2>Model</h2>", f"<p>{models.count_parameters(operator):,} trained parameters.</p>"]
    parts.append(_json(models.spec_of(operator)))
    parts += ["<h2>Run</h2>", _run_table(results, lines)]
    parts += ["<h3>Configuration</h3>", _json(_read(run / "config.json")), "<h3>Environment</h3>", _json(environment)]
    parts += [f"<p class=note>Data: {html.escape(info.citation)} {html.escape(info.license)}</p>"]
    page = (
        "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{html.escape(run.name)}</title><style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>"
    )
    path = run / "report.html"
    unfinished = path.with_suffix(".partial")
    unfinished.write_text(page, encoding="utf-8")
    unfinished.replace(path)
    return path


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {}


def _labels(config: Any, info: Any) -> tuple[str, str]:
    def label(names: tuple[str, ...]) -> str:
        known = {field.name: field.unit for field in info.fields}
        return ", ".join(f"{n} ({known[n]})" if known.get(n, "1") != "1" else n for n in names)

    return label(config.data.input), label(config.data.target)


def _sample_figure(operator: Any, dataset: Any, index: int, config: Any, info: Any) -> Any:
    sample = dataset[index]
    u = np.asarray(sample.inputs["u"])
    prediction = np.asarray(operator(_on_device(u)))
    first, second = _labels(config, info)
    return viz.plot_sample(u, np.asarray(sample.target), prediction, dataset.grid, input_label=first, output_label=second)


def _mean_spectra(operator: Any, dataset: Any) -> dict[str, np.ndarray]:
    import jax

    whole = dataset.read_all()
    prediction = jax.jit(lambda u: models.apply_batched(operator, u))(_on_device(whole.inputs["u"]))
    spectrum = jax.vmap(lambda u: metrics.energy_spectrum(u, dataset.grid).sum(0))
    target = _on_device(whole.target)
    fields = {"target": target, "prediction": prediction, "error": prediction - target}
    return {name: np.asarray(spectrum(field)).mean(0) for name, field in fields.items()}


def _on_device(array: Any) -> Any:
    import jax.numpy as jnp

    return jnp.asarray(array)


def _error_table(measured: Any, held_out: Any, trained: tuple[int, ...]) -> str:
    rows = []
    for name, values in measured.items():
        shape = held_out[name].grid.shape
        note = "" if shape == trained else " (no field of this grid was trained on)"
        cells = "".join(f"<td>{np.mean(v):.4f} ± {np.std(v):.4f}</td>" for v in values.values())
        grid = " × ".join(map(str, shape))
        rows.append(f"<tr><td>{html.escape(name)}</td><td>{grid}{note}</td><td>{len(held_out[name])}</td>{cells}</tr>")
    head = "".join(f"<th>{name.replace('_', ' ')}</th>" for name in next(iter(measured.values()), {}))
    return (
        f"<div class=wide><table><tr><th>split</th><th>grid</th><th>samples</th>{head}</tr>{''.join(rows)}</table></div>"
        "<p class=note>Mean ± standard deviation over the samples.</p>"
    )


def _run_table(results: dict[str, Any], lines: list[dict[str, Any]]) -> str:
    known = results or {"steps": lines[-1]["step"] if lines else 0, "train_seconds": lines[-1]["seconds"] if lines else 0.0}
    rows = [(name, known[name]) for name in ("steps", "train_seconds", "compile_seconds", "seed", "command") if name in known]
    text = "".join(f"<tr><td>{n.replace('_', ' ')}</td><td>{html.escape(str(v))}</td></tr>" for n, v in rows)
    return f"<div class=wide><table>{text}</table></div>"


def _json(value: Any) -> str:
    return f"<pre>{html.escape(json.dumps(value, indent=1))}</pre>"


def _image(figure: Any, description: str) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f"<img alt='{html.escape(description, quote=True)}' src='data:image/png;base64,{data}'>"
