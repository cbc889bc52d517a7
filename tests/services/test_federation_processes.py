"""Clients elsewhere: the model is that of one process, whoever is killed on the way."""

import random
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from federation_sites import CLIENTS, Sites, digests, document, rounds_in, sites, trains

import gptfl
from gptfl.federation.selection import select
from gptfl.seeds import derive_seed


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The store of a `gptfl run` of the same file, and what it made."""
    store = tmp_path_factory.mktemp("laptop") / "store"
    return store, digests(gptfl.run(gptfl.parse_run(document()), store=str(store)).status)


@pytest.fixture
def world(tmp_path: Path, laptop: tuple[Path, dict[str, str]]) -> Iterator[Sites]:
    with sites(tmp_path, laptop[0], document()) as made:
        yield made


def test_over_mutual_tls_every_step_has_the_digest_of_a_run_in_one_process(
    world: Sites, laptop: tuple[Path, dict[str, str]]
) -> None:
    clients = [world.simulate(*CLIENTS[:2]), world.simulate(*CLIENTS[2:])]
    aggregator = world.aggregate()
    assert aggregator.wait() == 0, aggregator.output
    assert [client.wait() for client in clients] == [0, 0], "the end of the run is their end"
    assert digests(world.status()) == laptop[1]
    assert "federation/from-scratch" in laptop[1], "the control went over the same connections"


def test_a_clients_log_says_what_left_the_machine_and_what_it_did(world: Sites) -> None:
    client = world.simulate()
    assert world.aggregate().wait() == 0
    assert client.wait() == 0
    said = client.output
    assert "/roll-call-1/client-3 has left this machine: " in said
    assert re.search(r"to task \w{16}/6-\w{8}/client-\d has left this machine: \d+ bytes", said)
    assert set(rounds_in(said)) == {1, 2, 3, 4, 5, 6}
    sent = sum(record.bytes_received for record in world.history().rounds)
    assert sent > 0


@pytest.mark.parametrize("seed", range(2))
def test_an_aggregator_killed_again_and_again_ends_with_the_same_model(
    world: Sites, laptop: tuple[Path, dict[str, str]], seed: int
) -> None:
    chance = random.Random(seed)
    clients = [world.simulate(*CLIENTS[:2]), world.simulate(*CLIENTS[2:])]
    aggregator = world.aggregate()
    for number in sorted(chance.sample(range(1, 6), 3)):
        trains(clients[chance.randrange(2)], number)
        aggregator.kill()
        aggregator = world.aggregate()
    assert aggregator.wait() == 0, aggregator.output
    assert digests(world.status()) == laptop[1]
    assert all("not connected" in client.output for client in clients)


def test_clients_killed_again_and_again_and_the_same_model(
    world: Sites, laptop: tuple[Path, dict[str, str]]
) -> None:
    aggregator = world.aggregate()
    steady, killed = world.simulate(*CLIENTS[:2]), world.simulate(*CLIENTS[2:])
    for number in (1, 3, 4):
        trains(killed, number)
        killed.kill()
        killed = world.simulate(*CLIENTS[2:])
    assert aggregator.wait() == 0, aggregator.output
    assert killed.wait() == steady.wait() == 0
    assert digests(world.status()) == laptop[1]
    assert {record.replied for record in world.history().rounds} == {0, 3}


def test_a_restarted_aggregator_needs_not_everybody_at_once_again(world: Sites) -> None:
    clients = {name: world.simulate(name) for name in CLIENTS}
    aggregator = world.aggregate()
    asked = {number: set(_selected(world, number)) for number in range(1, 7)}
    trains(clients[min(asked[1])], 1)
    aggregator.kill()
    # Who is not drawn for the next rounds may be away while they are done.
    number = 2 if len(rounds_in(clients[min(asked[1])].output)) < 2 else 3
    away = next(iter(set(CLIENTS) - asked[number]))
    clients[away].kill()
    aggregator = world.aggregate()
    trains(clients[min(asked[number])], number)
    world.simulate(away)
    assert aggregator.wait() == 0, aggregator.output


def _selected(world: Sites, number: int) -> list[str]:
    seed = derive_seed(world.run.spec.seed, "federation")
    return [CLIENTS[index] for index in select(range(4), 3, seed, number)]


def test_a_client_is_ended_politely_and_taken_back(
    world: Sites, laptop: tuple[Path, dict[str, str]]
) -> None:
    aggregator = world.aggregate()
    world.simulate(*CLIENTS[:2])
    leaving = world.simulate(*CLIENTS[2:])
    trains(leaving, 2)
    leaving.signal(signal.SIGTERM)
    assert leaving.wait() == 130
    assert leaving.output.splitlines()[-1] == "gptfl: interrupted; run the same command to go on"
    assert "Traceback" not in leaving.output
    world.simulate(*CLIENTS[2:])
    assert aggregator.wait() == 0, aggregator.output
    assert digests(world.status()) == laptop[1]


def changed(world: Sites, **federation: Any) -> None:
    """Other deadlines: what a round makes does not depend on them, so neither does its key."""
    world.file.write_text(yaml.safe_dump(document(**federation)))


def test_a_straggler_is_counted_the_round_goes_on_and_its_late_reply_is_not_used(
    world: Sites,
) -> None:
    changed(world, roundTimeoutSeconds=3, clientsPerRound=4)
    aggregator = world.aggregate()
    world.simulate(*CLIENTS[:3])
    slow = world.simulate(CLIENTS[3])
    trains(slow, 2)
    slow.signal(signal.SIGSTOP)
    aggregator.says("no use of client client-3: Straggler")
    slow.signal(signal.SIGCONT)
    assert aggregator.wait() == 0, aggregator.output
    assert slow.wait() == 0
    rounds = world.history().rounds
    missed = [record for record in rounds if record.refused]
    assert missed
    assert all(record.refused == {"Straggler": 1} for record in missed)
    assert all((record.replied, record.aggregated) == (3, True) for record in missed)
    assert rounds[-1].refused == {}, "it is taken back"


def test_a_client_that_has_dropped_out_is_counted_and_the_round_goes_on(world: Sites) -> None:
    changed(world, roundTimeoutSeconds=1, clientsPerRound=4, rounds=4)
    aggregator = world.aggregate()
    world.simulate(*CLIENTS[:3])
    leaving = world.simulate(CLIENTS[3])
    trains(leaving, 2)
    leaving.kill()
    aggregator.says("no use of client client-3: Disconnected")
    world.simulate(CLIENTS[3])
    assert aggregator.wait() == 0, aggregator.output
    counts = [record.refused.get("Disconnected", 0) for record in world.history().rounds]
    assert sum(counts) >= 1
    assert max(counts) == 1


def test_it_begins_without_those_that_do_not_come_in_time(world: Sites) -> None:
    changed(world, joinTimeoutSeconds=3, minimumReplies=2)
    aggregator = world.aggregate()
    world.simulate(*CLIENTS[:3])
    assert aggregator.wait() == 0, aggregator.output
    clients = world.history().clients
    assert [client.joined for client in clients] == [True, True, True, False]
    assert clients[3].samples == 0
    assert all(CLIENTS[3] not in record.selected for record in world.history().rounds)


def test_with_too_few_it_does_not_begin_and_says_who_is_away(world: Sites) -> None:
    changed(world, joinTimeoutSeconds=2, minimumReplies=2)
    aggregator = world.aggregate()
    world.simulate(CLIENTS[0])
    assert aggregator.wait() == 1
    assert aggregator.output.splitlines()[-1] == (
        "gptfl: 1 clients with samples have come within spec.federation.joinTimeoutSeconds, and 2 "
        "are needed; away: client-1, client-2, client-3"
    )


def test_simulated_clients_with_another_file_are_told_so(world: Sites, tmp_path: Path) -> None:
    world.aggregate()
    other = document()
    other["spec"]["federation"]["simulation"]["partitioner"]["alpha"] = 5
    with sites(tmp_path / "other", None, other) as elsewhere:
        elsewhere.pki, elsewhere.address = world.pki, world.address
        client = elsewhere.simulate()
        assert client.wait() == 1
        assert "gptfl: run sites deals out other data than this file" in client.output
