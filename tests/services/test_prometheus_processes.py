"""One run in several processes on real services, and one Prometheus that has seen them all."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from s3_buckets import new_place
from servers import Minio, Process, Prometheus, Redis, free_port, gptfl_command
from watched_run import CLIENTS, NAMES, ROUNDS, ask, last, write_run

AGGREGATOR, WORKER, CLIENT = "aggregator", "worker", "client"
IMAGES, SHARDS = len(NAMES), 2


@pytest.fixture(scope="module")
def prometheus(
    tmp_path_factory: pytest.TempPathFactory, minio_server: Minio
) -> Iterator[Prometheus]:
    """Has scraped the three processes of a run to their ends."""
    folder = tmp_path_factory.mktemp("processes")
    file = write_run(folder, evaluation={"baselines": []})
    store = new_place(minio_server)
    ports = {job: free_port() for job in (AGGREGATOR, WORKER, CLIENT)}
    targets = {job: f"127.0.0.1:{port}" for job, port in ports.items()}
    with ExitStack() as running:
        redis = running.enter_context(Redis(folder / "redis"))
        seen = running.enter_context(Prometheus(folder / "prometheus", targets, every="500ms"))
        address = f"127.0.0.1:{free_port()}"
        shared = ("--broker", redis.url, "--store", store)
        commands = {
            AGGREGATOR: ("aggregate", str(file), "--listen", address, "--insecure", *shared),
            WORKER: ("worker", str(file), *shared),
            CLIENT: ("client", "simulate", str(file), "--server", address),
        }
        processes = [
            running.enter_context(
                Process(
                    gptfl_command(
                        *command,
                        *("--metrics-port", str(ports[job]), "--metrics-linger", "60"),
                    ),
                    folder / f"{job}.log",
                    environment={**minio_server.environment, "GPTFL_LOG_FORMAT": "json"},
                )
            )
            for job, command in commands.items()
        ]
        for process in processes:
            assert process.wait(240) == 0, process.output[-3000:]
        yield seen


def test_each_process_says_which_command_it_is(prometheus: Prometheus) -> None:
    found = ask(prometheus, "last_over_time(gptfl_build_info[15m])")

    assert {labels["job"]: labels["command"] for labels, _ in found} == {
        AGGREGATOR: "gptfl aggregate",
        WORKER: "gptfl worker",
        CLIENT: "gptfl client simulate",
    }


def test_the_workers_shards_are_the_generations_images(prometheus: Prometheus) -> None:
    assert last(prometheus, "gptfl_worker_images_total") == IMAGES
    assert last(prometheus, 'gptfl_worker_shards_total{end="drawn"}') == SHARDS
    assert last(prometheus, 'gptfl_worker_shards_total{end="failed"}') == 0
    assert last(prometheus, "gptfl_worker_shard_seconds_count") == SHARDS
    assert last(prometheus, 'gptfl_generation_kept_images{step="generation"}') == IMAGES
    assert last(prometheus, 'gptfl_step_items{step="generation"}') == IMAGES


def test_rounds_clients_and_bytes_are_the_federations(prometheus: Prometheus) -> None:
    def of_rounds(name: str) -> float:
        return last(prometheus, f'gptfl_federation_{name}{{step="federation"}}')

    assert of_rounds("round_seconds_count") == ROUNDS
    assert of_rounds("clients_selected_total") == ROUNDS * CLIENTS
    assert of_rounds("clients_replied_total") == ROUNDS * CLIENTS
    ((_, most),) = ask(prometheus, "max_over_time(gptfl_aggregator_clients_connected[15m])")
    assert most == CLIENTS
    assert last(prometheus, "gptfl_aggregator_late_replies_total") == 0
    turned_away = ask(prometheus, "last_over_time(gptfl_aggregator_turned_away_total[15m])")
    assert {value for _, value in turned_away} == {0}
    # What the clients say has left them is what has come, roll call and frames included.
    received = last(prometheus, "gptfl_aggregator_received_bytes_total")
    assert last(prometheus, "gptfl_client_sent_bytes_total") == received
    assert received > of_rounds("received_bytes_total") > 0
    assert last(prometheus, "gptfl_client_connections_total") == CLIENTS
    assert last(prometheus, "gptfl_client_tasks_total") > ROUNDS * CLIENTS


def test_requests_to_the_store_are_counted_where_they_are_made(prometheus: Prometheus) -> None:
    requests = ask(
        prometheus, "sum by (job) (last_over_time(gptfl_store_request_seconds_count[15m]))"
    )
    assert {labels["job"] for labels, _ in requests} == {AGGREGATOR, WORKER}
    assert all(value > 0 for _, value in requests)
    for job in (AGGREGATOR, WORKER):
        assert last(prometheus, f'gptfl_store_sent_bytes_total{{job="{job}"}}') > 0
        assert last(prometheus, f'gptfl_store_received_bytes_total{{job="{job}"}}') > 0


def test_the_run_is_seen_to_its_end(prometheus: Prometheus) -> None:
    assert last(prometheus, 'gptfl_step_state{step="serving",state="done"}') == 1
    assert 0 <= last(prometheus, 'gptfl_run_accuracy{model="gpt-fl"}') <= 1
