"""A process serves its metrics, and does not end before Prometheus has the last ones."""

import http.client
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.parser import text_string_to_metric_families

from gptfl.errors import SpecError
from gptfl.telemetry.exposition import PATIENCE, Exposition, exposed

LONG = 60.0
"""Seconds; only a broken promise takes so long."""
PROMETHEUS = {"X-Prometheus-Scrape-Timeout-Seconds": "10"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def done() -> Counter:
    return Counter("done", "Things done.", registry=None)


@pytest.fixture
def metrics(port: int, done: Counter) -> Iterator[Exposition]:
    registry = CollectorRegistry()
    registry.register(done)
    with exposed(registry, port, "127.0.0.1") as exposition:
        yield exposition


def get(port: int, headers: dict[str, str], address: str = "127.0.0.1") -> str:
    connection = http.client.HTTPConnection(
        "127.0.0.1", port, timeout=LONG, source_address=(address, 0)
    )
    connection.request("GET", "/metrics", headers=headers)
    answer = connection.getresponse()
    assert answer.status == 200
    assert int(answer.headers["Content-Length"]) > 0, "a scraper must see when it is cut short"
    text = answer.read().decode()
    connection.close()
    return text


def scrape(port: int, address: str = "127.0.0.1") -> float:
    families = text_string_to_metric_families(get(port, PROMETHEUS, address))
    return next(one.samples[0].value for one in families if one.name == "done")


def test_values_are_those_of_the_moment(metrics: Exposition, port: int, done: Counter) -> None:
    assert scrape(port) == 0
    done.inc()
    assert scrape(port) == 1


def test_the_port_is_free_again_afterwards(port: int) -> None:
    for _ in range(2):
        with exposed(CollectorRegistry(), port, "127.0.0.1"):
            pass


def test_a_port_in_use_is_one_line(port: int) -> None:
    with (
        exposed(CollectorRegistry(), port, "127.0.0.1"),
        pytest.raises(SpecError, match=r"^--metrics-port: \d+ of 127.0.0.1 cannot be used"),
        exposed(CollectorRegistry(), port, "127.0.0.1"),
    ):
        pass


def test_an_address_of_another_machine_is_one_line(port: int) -> None:
    with (
        pytest.raises(SpecError, match=r"^--metrics-port: \d+ of 192.0.2.1 cannot be used"),
        exposed(CollectorRegistry(), port, "192.0.2.1"),
    ):
        pass


def test_who_never_scraped_is_not_waited_for(metrics: Exposition, port: int) -> None:
    get(port, headers={})  # a person with curl

    assert metrics.patience(None) == 0


def test_who_has_scraped_is_waited_for_and_has_the_last_values(
    metrics: Exposition, port: int, done: Counter
) -> None:
    scrape(port)
    done.inc()
    assert metrics.patience(None) == PATIENCE

    assert metrics.await_scrapes(0) is False
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(metrics.await_scrapes, LONG)
        value = scrape(port)
        assert waiting.result() is True

    assert value == 1


def test_with_a_time_given_also_one_who_has_not_come_yet(
    metrics: Exposition, port: int, done: Counter
) -> None:
    assert metrics.patience(LONG) == LONG

    assert metrics.await_scrapes(0) is False
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(metrics.await_scrapes, LONG)
        scrape(port)
        assert waiting.result() is True


def test_each_of_two_prometheus_gets_the_last_values(metrics: Exposition, port: int) -> None:
    scrape(port, "127.0.0.1")
    scrape(port, "127.0.0.2")

    assert metrics.await_scrapes(0) is False
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(metrics.await_scrapes, LONG)
        scrape(port, "127.0.0.1")
        get(port, headers={}, address="127.0.0.2")
        assert not waiting.done()
        scrape(port, "127.0.0.2")
        assert waiting.result() is True


def test_a_scrape_that_began_before_the_end_does_not_count() -> None:
    metrics = Exposition()
    collecting, may_answer = threading.Event(), threading.Event()

    def app(environ: object, start_response: object) -> list[bytes]:
        collecting.set()
        may_answer.wait(LONG)
        return [b"old values"]

    def ask() -> list[bytes]:
        environ = {"HTTP_X_PROMETHEUS_SCRAPE_TIMEOUT_SECONDS": "1", "REMOTE_ADDR": "192.0.2.7"}
        return list(metrics.counted(app)(environ, lambda *_: None))

    with ThreadPoolExecutor() as pool:
        early = pool.submit(ask)
        collecting.wait(LONG)
        assert metrics.await_scrapes(0) is False
        may_answer.set()
        assert early.result() == [b"old values"]

        assert metrics.await_scrapes(0) is False, "it has not seen the last change"
        ask()
        assert metrics.await_scrapes(0) is True


def test_an_answer_that_is_not_read_to_its_end_does_not_count() -> None:
    metrics = Exposition()
    environ = {"HTTP_X_PROMETHEUS_SCRAPE_TIMEOUT_SECONDS": "1", "REMOTE_ADDR": "192.0.2.7"}
    app = metrics.counted(lambda *_: [b"one", b"two"])
    metrics.await_scrapes(0)

    next(iter(app(environ, lambda *_: None)))
    assert metrics.await_scrapes(0) is False

    list(app(environ, lambda *_: None))
    assert metrics.await_scrapes(0) is True
