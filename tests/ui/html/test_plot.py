"""Plots: what they draw is where it should be, and is well-formed."""

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from ui.html.plot import HEIGHT, WIDTH, Point, bar_plot, range_plot, share_plot

shares = st.floats(0, 1)


@given(
    st.lists(st.builds(Point, shares, shares, st.text(), st.sampled_from([0.0, 4.0])), min_size=1),
    st.text(),
    st.booleans(),
)
def test_points_stay_inside_and_nothing_breaks_out(points: list[Point], label: str, diagonal: bool) -> None:
    drawn = ElementTree.fromstring(share_plot(points, label, label, diagonal=diagonal))
    circles = [element for element in drawn.iter() if element.tag == "circle"]
    assert len(circles) == sum(point.size > 0 for point in points)
    for circle in circles:
        assert 0 <= float(circle.attrib["cx"]) <= WIDTH
        assert 0 <= float(circle.attrib["cy"]) <= HEIGHT
    assert {element.tag for element in drawn.iter()} <= {"svg", "path", "text", "circle", "title"}


def test_more_is_higher_and_further_right() -> None:
    low, high = ElementTree.fromstring(share_plot([Point(0.2, 0.3, "", 4), Point(0.8, 0.9, "", 4)], "x", "y")).iter(
        "circle"
    )
    assert float(low.attrib["cx"]) < float(high.attrib["cx"])
    assert float(low.attrib["cy"]) > float(high.attrib["cy"])


@given(st.lists(st.tuples(st.text(), shares), min_size=1, max_size=40))
def test_bars_are_as_high_as_their_share(bars: list[tuple[str, float]]) -> None:
    labels, heights = zip(*bars, strict=True)
    drawn = list(ElementTree.fromstring(bar_plot(labels, heights, "x", "y")).iter("rect"))
    assert len(drawn) == len(bars)
    by_share = [found for _, found in sorted(zip(heights, (float(bar.attrib["height"]) for bar in drawn), strict=True))]
    assert by_share == sorted(by_share)


def test_a_range_goes_from_end_to_end() -> None:
    assert "M30.0 6 H90.0" in range_plot(0.5, 0.25, 0.75)
