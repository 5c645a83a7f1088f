import base64
import io
import os

import matplotlib
import numpy as np
import pytest
from PIL import Image, ImageSequence

from neuralop_jax.errors import ConfigError
from neuralop_jax.grids import Grid
from neuralop_jax.viz import Animation, Label, animate


def decoded(picture):
    return [np.asarray(frame.convert("RGB"), int) for frame in ImageSequence.Iterator(Image.open(io.BytesIO(picture.gif)))]


def close_to(frame, color):
    return np.abs(frame - np.round(255 * np.asarray(matplotlib.colors.to_rgb(color)))).max(axis=-1) < 24


def test_images_have_the_colors_of_their_values_in_every_frame():
    grid, times = Grid((4, 4), boundary=("periodic", "periodic")), (0.0, 0.5, 1.0)
    level = lambda *values: np.broadcast_to(np.reshape(values, (3, 1, 1)), (3, 4, 4))
    target, prediction = level(0.0, 0.5, 1.0), level(0.0, 0.5, 3.0)
    picture = animate({"target": target, "prediction": prediction}, grid, times, label=Label("w"), errors={"error": target})
    assert base64.b64decode(picture._repr_mimebundle_()["image/gif"]) == picture.gif
    with Image.open(io.BytesIO(picture.gif)) as image:
        assert (image.n_frames, image.info["duration"], image.info["loop"]) == (3, 100, 0)
    viridis, red_blue = matplotlib.colormaps["viridis"], matplotlib.colormaps["RdBu_r"]
    frames = decoded(picture)
    width = frames[0].shape[1] // 3
    for frame, value in zip(frames, (0.0, 0.5, 1.0), strict=True):
        shown = [frame[:, panel * width : (panel + 1) * width] for panel in range(3)]
        for panel, color in zip(shown, (viridis(value), viridis(value), red_blue(0.5 + value / 2)), strict=True):
            assert close_to(panel, color).sum() > 5000  # the prediction's 3 keeps the last color of the target's range


def test_curves_move_and_one_that_leaves_does_not_change_the_scale():
    grid, times = Grid((8,), boundary=("periodic",)), (0.0, 1.0)
    level = lambda *values: np.broadcast_to(np.reshape(values, (2, 1)), (2, 8))
    first, last = decoded(animate({"a": level(0.0, 1.0), "b": level(0.5, np.inf)}, grid, times, label=Label("u")))
    rows = lambda pixels: np.flatnonzero(pixels.sum(axis=1) > 200)
    bluish = lambda frame: frame[..., 2] - frame[..., 0] > 60
    low, high, middle = rows(close_to(first, "#b5b5b5")), rows(close_to(last, "#b5b5b5")), rows(bluish(first))
    assert abs(low.mean() + high.mean() - 2 * middle.mean()) < 3 and low.mean() - high.mean() > 100
    assert len(rows(bluish(last))) == 0


def test_a_field_that_blows_up_keeps_the_scale_of_its_finite_values():
    level = lambda size, *values: np.broadcast_to(np.reshape(values, (3, *(1 for _ in size))), (3, *size))
    line = Grid((8,), boundary=("periodic",))
    grey = lambda frame: np.flatnonzero(close_to(frame, "#b5b5b5").sum(axis=1) > 200)
    usual, blown = (
        decoded(animate({"a": level((8,), 0.0, 1.0, last)}, line, (0.0, 1.0, 2.0), label=Label("u"))) for last in (0.5, np.nan)
    )
    assert [list(grey(frame)) for frame in blown] == [*(list(grey(frame)) for frame in usual[:2]), []]
    square = Grid((4, 4), boundary=("periodic", "periodic"))
    for last in (np.inf, np.nan):
        first, second, _ = decoded(animate({"w": level((4, 4), 0.0, 1.0, last)}, square, (0.0, 1.0, 2.0), label=Label("w")))
        for frame, color in ((first, 0.0), (second, 1.0)):
            assert close_to(frame, matplotlib.colormaps["viridis"](color)).sum() > 5000
    assert len(decoded(animate({"a": level((8,), np.nan, np.inf, -np.inf)}, line, (0.0, 1.0, 2.0), label=Label("u")))) > 0


def test_a_picture_is_saved_whole(tmp_path, monkeypatch):
    picture = Animation(b"GIF89a")
    (tmp_path / "link.gif").symlink_to("real.gif")
    picture.save(str(tmp_path / "link.gif"))
    assert (tmp_path / "real.gif").read_bytes() == b"GIF89a" and (tmp_path / "link.gif").is_symlink()
    monkeypatch.setattr(os, "fsync", lambda number: exec("raise OSError"))
    with pytest.raises(OSError):
        Animation(b"other").save(tmp_path / "real.gif")
    assert (tmp_path / "real.gif").read_bytes() == b"GIF89a" and len(list(tmp_path.iterdir())) == 2


def test_the_clock_says_what_it_counts():
    fields, grid = {"u": np.zeros((1, 8))}, Grid((8,), boundary=("periodic",))
    (time,), (iteration,) = (
        decoded(animate(fields, grid, (3.0,), label=Label("u"), **over)) for over in ({}, {"over": "iteration"})
    )
    widths = [np.ptp(np.flatnonzero((frame[:10] < 128).all(axis=2).any(axis=0))) for frame in (time, iteration)]
    assert 2 * widths[0] < widths[1] < 5 * widths[0]


def test_what_cannot_be_shown_is_refused():
    with pytest.raises(ConfigError, match=r"'u' as \(time, \*space\) = \(2, 8\), got \(2, 1, 8\)"):
        animate({"u": np.zeros((2, 1, 8))}, Grid((8,)), (0.0, 1.0), label=Label("u"))
    with pytest.raises(ConfigError, match="1 or 2 dimensions, got 3"):
        animate({"u": np.zeros((1, 2, 2, 2))}, Grid((2, 2, 2)), (0.0,), label=Label("u"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fields": {}}, "at least one field, got none"),
        ({"fields": {"u": np.zeros((0, 8))}, "times": ()}, r"time of every frame, a list of numbers, got shape \(0,\)"),
        ({"times": np.ones(())}, r"got shape \(\)"),
        ({"times": "a"}, "animate needs times as an array of real numbers: could not convert string"),
        ({"fields": {"u": np.zeros((1, 8), complex)}}, "'u' as an array of real numbers: got complex128"),
        *(({"frames_per_second": value}, "between 0.01 and 100, got") for value in (0.0, np.nan, -5.0, np.inf, 1e-9)),
    ],
)
def test_what_is_no_film_is_refused(changes, said):
    given = {"fields": {"u": np.zeros((1, 8))}, "times": (0.0,)} | changes
    with pytest.raises(ConfigError, match=said):
        animate(grid=Grid((8,)), label=Label("u"), **given)
