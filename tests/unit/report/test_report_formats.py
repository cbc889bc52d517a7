import pytest

from gptfl.report.formats import count, counted, duration, percent, points, signed_points, size


def plain(text: str) -> str:
    return text.replace("\u00a0", " ").replace("\u202f", " ")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "< 0.1 s"),
        (0.34, "0.3 s"),
        (9.96, "10 s"),
        (42, "42 s"),
        (59.7, "1 min"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (18_720, "5 h 12 min"),
        (183_600, "2 d 3 h"),
    ],
)
def test_durations_have_at_most_two_units(seconds: float, text: str) -> None:
    assert plain(duration(seconds)) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0 B"),
        (812, "812 B"),
        (4_096, "4.1 kB"),
        (999_600, "1.0 MB"),
        (123_456_789, "123 MB"),
        (2.5e12, "2.5 TB"),
    ],
)
def test_bytes_are_in_decimal_units(amount: float, text: str) -> None:
    assert plain(size(amount)) == text


def test_shares_have_one_digit_and_a_space_that_does_not_break() -> None:
    assert percent(0.964) == "96.4\u202f%"
    assert percent(0.8, 0) == "80\u202f%"


def test_differences_are_in_points_with_a_real_minus() -> None:
    assert [signed_points(value) for value in (0.142, -0.012, 0.0004)] == ["+14.2", "−1.2", "±0.0"]
    assert points(-0.598) == "59.8"


def test_counts_agree_with_their_noun() -> None:
    assert count(2000) == "2,000"
    assert plain(counted(1, "round")) == "1 round"
    assert plain(counted(3, "reply", "replies")) == "3 replies"
