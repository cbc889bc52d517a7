"""Charts are read back as XML: what is drawn where, exactly."""

from xml.etree import ElementTree

from markupsafe import Markup

from gptfl.report.bars import Bar, Dots, Segment, bar_chart, dot_chart
from gptfl.report.charts import Cell, heat_map, heat_map_box, short
from gptfl.report.formats import percent
from gptfl.report.lines import MOST_COLUMNS, MOST_POINTS, Level, LineChart, Series


def parse(svg: Markup) -> ElementTree.Element:
    return ElementTree.fromstring(str(svg).replace(" data-tip>", ">"))


def chart(
    series: list[Series], levels: tuple[Level, ...] = (), height: int = 100
) -> ElementTree.Element:
    return parse(
        LineChart(
            tuple(series), levels, label="Accuracy", x_name="Round", y_format=percent,
            tick_format=lambda share, digits: percent(share, max(digits - 2, 0)), height=height,
        ).svg()
    )  # fmt: skip


OWN = Series("GPT-FL", "own", ((0, 0.8), (1, 0.9), (2, 1.0)))
SCRATCH = Series("From scratch", "scratch", ((0, 0.0), (1, 0.1), (2, 0.5)))


def test_a_line_runs_through_its_points_in_thousandths_of_the_plot() -> None:
    lines = chart([OWN, SCRATCH]).findall("svg/polyline")
    points = {line.get("class"): line.get("points") for line in lines}
    assert points == {
        "line own": "0.0,200.0 500.0,100.0 1000.0,0.0",
        "line scratch": "0.0,1000.0 500.0,900.0 1000.0,500.0",
    }


def test_the_first_line_is_painted_over_the_others() -> None:
    lines = chart([OWN, SCRATCH]).findall("svg/polyline")
    assert [line.get("class") for line in lines] == ["line scratch", "line own"]


def test_a_level_is_a_horizontal_line_at_its_value() -> None:
    root = chart([OWN, SCRATCH], (Level("Synthetic only", "synthetic", 0.75),))
    level = root.find("line[@class='line synthetic']")
    assert level is not None
    assert (level.get("y1"), level.get("y2"), level.get("x2")) == ("25.0", "25.0", "100%")


def test_every_round_says_what_all_lines_are_there() -> None:
    root = chart([OWN, SCRATCH], (Level("Synthetic only", "synthetic", 0.75),))
    titles = [title.text for title in root.findall("g[@class='at']/title")]
    space = "\u202f"
    assert titles[1] == (
        f"Round 1\nGPT-FL\t90.0{space}%\nFrom scratch\t10.0{space}%\nSynthetic only\t75.0{space}%"
    )


def test_axes_are_named_in_round_numbers() -> None:
    texts = [text.text for text in chart([OWN, SCRATCH]).findall("text[@class='tick']")]
    assert texts == [f"{n}\u202f%" for n in (0, 20, 40, 60, 80, 100)] + ["0", "1", "2"]


def test_values_at_the_end_do_not_overlap() -> None:
    near = Series("Centralised", "central", ((0, 0.0), (2, 0.99)))
    ends = chart([OWN, near]).findall("text[@dx='12']")
    places = sorted(float(end.get("y", "")) for end in ends)
    assert places[1] - places[0] >= 16


def test_one_round_is_a_chart_too() -> None:
    root = chart([Series("GPT-FL", "own", ((3, 0.5),))])
    assert root.find("g[@class='at']/circle").get("cx") == "50.00%"  # type: ignore[union-attr]


def test_a_hundred_thousand_rounds_are_thinned() -> None:
    long = Series("GPT-FL", "own", tuple((n, n / 1e5) for n in range(100_001)))
    root = chart([long])
    assert len(root.findall("g[@class='at']")) == MOST_COLUMNS
    assert len(root.find("svg/polyline").get("points").split()) == MOST_POINTS  # type: ignore[union-attr]


def test_cells_stand_in_their_row_and_column_with_their_shade() -> None:
    cells = [[Cell(1, "9", "right"), Cell(0.25, "1", "wrong")], [None, Cell(1, "4", "")]]
    root = parse(heat_map(cells, ["a", "b"], ["a", "b"], label="Confusion", row_height=30))
    boxes = [
        (box.get("x"), box.get("y"), box.get("width"), box.get("fill-opacity"))
        for box in root.findall("g[@class='cell']/rect")
    ]
    assert boxes == [
        ("0.000%", "0", "50.000%", "1.000"),
        ("50.000%", "0", "50.000%", "0.250"),
        ("50.000%", "30", "50.000%", "1.000"),
    ]
    assert root.get("height") == "60"


def test_numbers_can_be_read_on_their_shade() -> None:
    cells = [[Cell(0.9, "9", ""), Cell(0.6, "6", ""), Cell(0.2, "2", "")]]
    root = parse(heat_map(cells, ["a"], ["a", "b", "c"], label="Confusion", row_height=30))
    assert [text.get("class") for text in root.findall("g/text")] == ["on", "between", "off"]


def test_names_of_columns_are_turned_only_when_they_are_long_or_many() -> None:
    def turns(names: list[str]) -> set[str | None]:
        row = [[Cell(1, "", "") for _ in names]]
        root = parse(heat_map(row, ["a"], names, label="", row_height=20))
        return {text.get("transform") for text in root.findall("svg/text")}

    assert turns(["0", "1", "2"]) == set()
    assert turns(["zero", "one"]) == {"rotate(-45)"}
    assert turns([f"label {n}" for n in range(77)]) == {"rotate(-90)"}


def test_a_heat_map_has_room_for_its_longest_name() -> None:
    assert "padding: 26px 8px 4px 27px" in heat_map_box(["ab"], ["a"], 20)
    assert short("a label with more than eighteen letters") == "a label with more…"


def test_parts_of_a_bar_follow_each_other_on_the_scale_of_the_longest() -> None:
    bars = [
        Bar("one", (Segment("Blank", "blank", 10), Segment("Duplicate", "duplicate", 30)), "40"),
        Bar("two", (Segment("Blank", "blank", 0), Segment("Duplicate", "duplicate", 20)), "20"),
    ]
    root = parse(bar_chart(bars, label="Dropped"))
    parts = [(box.get("x"), box.get("width")) for box in root.findall("g/rect")]
    assert parts == [("0.000%", "25.000%"), ("25.000%", "75.000%"), ("0.000%", "50.000%")]


def test_bars_of_nothing_are_empty() -> None:
    assert (
        parse(bar_chart([Bar("one", (Segment("Blank", "blank", 0),))], label="")).find("g") is None
    )


def test_dots_of_a_row_are_joined() -> None:
    rows = [
        Dots("seven", (Segment("Synthetic only", "synthetic", 0.5), Segment("GPT-FL", "own", 1)))
    ]
    group = parse(dot_chart(rows, label="Recall")).find("g")
    assert group is not None
    assert [dot.get("cx") for dot in group.findall("circle")] == ["50.00%", "100.00%"]
    link = group.find("line")
    assert link is not None
    assert (link.get("x1"), link.get("x2")) == ("50.00%", "100.00%")


def test_names_cannot_break_out_of_a_chart() -> None:
    name = """</title><script>alert("1")</script>'&"""
    series = Series(name, "own", ((0, 0.1), (1, 0.2)))
    cells = [[Cell(1, name, name)]]
    for root in (
        chart([series], (Level(name, "synthetic", 0.5),)),
        parse(heat_map(cells, [name], [name], label=name, row_height=20)),
        parse(bar_chart([Bar(name, (Segment(name, "blank", 1),), name)], label=name)),
        parse(dot_chart([Dots(name, (Segment(name, "own", 1),))], label=name)),
    ):
        assert root.find(".//script") is None
