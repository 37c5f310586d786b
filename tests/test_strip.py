"""The strip at the top of a report: what moved, by layer."""

import numpy as np

from depthgauge.page.section import Grid, Picture, Section
from depthgauge.page.style import write_picture
from depthgauge.report.strip import strip_of


def section(values, moved="weights"):
    values = np.asarray(values, float)
    layers = [f"layer {i}" for i in range(len(values))]
    grid = Grid("t", layers, ["q", "k"], values, moved=moved)
    return Section("Weights", ["text", Picture("w.png", "alt", (1, 1), print, (), grids=[grid])])


def test_a_strip_has_the_largest_number_of_every_layer_and_names_the_layer_of_most(tmp_path):
    found = strip_of([section([[0.1, 0.2], [0.9, np.nan], [np.nan, np.nan]]), section([[0, 0]] * 3, "stream")])
    (picture,) = found.parts
    weights, stream = picture.grids

    np.testing.assert_array_equal(weights.values, [[0.2, 0.9, np.nan]])
    assert "most at layer 1 (0.9)" in picture.alt and "stream: nothing moved" in picture.alt
    assert list(stream.columns) == ["layer 0", "layer 1", "layer 2"]
    write_picture(tmp_path / "moved.png", picture)
    assert (tmp_path / "moved.png").read_bytes().startswith(b"\x89PNG")


def test_there_is_no_strip_where_nothing_says_what_moved():
    assert strip_of([section([[1, 2]], moved=""), Section("empty", [])]) is None
