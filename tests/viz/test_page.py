import base64
import re

import pytest

from neuralop_jax import viz


def test_texts_are_escaped():
    nasty = "<script>alert('&')</script>"
    parts = [
        viz.section(nasty, viz.note(nasty), viz.code(nasty), viz.folded(nasty, "")),
        viz.table((nasty, f">{nasty}"), [(nasty, nasty)]),
        viz.facts([(nasty, nasty)]),
        viz.figures({nasty: viz.plot_curves({"a": ([1], [1.0])}, "a")}, least="1rem", captions=True),
    ]
    page = viz.page(nasty, nasty, parts)
    assert "<script" not in page and page.count("&lt;script&gt;alert(&#x27;&amp;&#x27;)") == 15


def test_numbers_are_aligned_under_their_heads():
    table = viz.table(("split", ">error"), [("a", 0.5)])
    assert "<th>split</th><th class=number>error</th>" in table and "<td>a</td><td class=number>0.5</td>" in table


def test_facts_leave_out_what_is_not_known():
    assert re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", viz.facts([("a", 0), ("b", None), ("c", ""), ("d", False)])) == [
        ("a", "0"),
        ("d", "False"),
    ]


@pytest.mark.parametrize(("format", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG")])
def test_figures_are_inside_the_page_and_the_same_each_time(format, start):
    draw = lambda: viz.figures({"a curve": viz.plot_curves({"a": ([1, 2], [1.0, 2.0])}, "a")}, least="20rem", format=format)
    (source,) = re.findall('<img src="data:image/[a-z+]*;base64,([^"]*)" alt="a curve">', draw())
    assert base64.b64decode(source).startswith(start)
    assert draw() == draw()
