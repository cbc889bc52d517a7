"""`gptfl artifacts`: what was made, from what, is it whole, and what may go."""

from pathlib import Path

import pytest
from cli_world import Gptfl, done_run, put

from gptfl.store import Store, Workspace


@pytest.fixture(autouse=True)
def run(store: Store) -> None:
    done_run(store)


def key_of(store: Store, stage: str) -> str:
    return next(key for one, key in store.all_keys() if one == stage)


def test_list_shows_each_artifact_and_who_uses_it(store: Store, gptfl: Gptfl) -> None:
    put(store, "generation", {})
    lines = gptfl("artifacts", "list").out.splitlines()

    assert lines[0].split()[:3] == ["STEP", "KEY", "SIZE"]
    assert len(lines) == 9
    unused = [line for line in lines[1:] if "pets" not in line]
    assert [line.split()[0] for line in unused] == ["generation"]
    assert any(line.startswith("federation/from-scratch ") for line in lines)


def test_list_shows_the_unfinished_and_the_damaged(store: Store, gptfl: Gptfl) -> None:
    Workspace(store.blobs, "generation", "f" * 64, seed=0, folder=Path()).save_checkpoint("a", b"")
    prompts = key_of(store, "prompts")
    Path(f".gptfl/artifacts/prompts/{prompts}/record.json").write_text("{")
    out = gptfl("artifacts", "list").out

    assert "unfinished" in next(line for line in out.splitlines() if "ffffffffffff" in line)
    assert "damaged" in next(line for line in out.splitlines() if prompts[:12] in line)


def test_show_takes_the_first_characters_of_a_key(store: Store, gptfl: Gptfl) -> None:
    key = key_of(store, "pretraining")
    out = gptfl("artifacts", "show", key[:10]).out

    assert out.startswith(f"pretraining  {key}\n")
    assert "content.txt  11 B" in out
    assert f"generation  {key_of(store, 'generation')[:12]}" in out
    assert '"name": "pretraining"' in out


def test_lineage_goes_down_to_the_prompts(store: Store, gptfl: Gptfl) -> None:
    out = gptfl("artifacts", "lineage", key_of(store, "pretraining")).out
    lines = [line.strip("│├└─ ").split()[0] for line in out.splitlines()]

    assert lines == ["pretraining", "generation", "prompts"]


def test_lineage_says_what_was_removed(store: Store, gptfl: Gptfl) -> None:
    store.remove("prompts", key_of(store, "prompts"))

    assert "removed" in gptfl("artifacts", "lineage", key_of(store, "generation")).out


def test_verify_reads_everything(store: Store, gptfl: Gptfl) -> None:
    assert gptfl("artifacts", "verify").out == "7 artifacts whole, 0 damaged\n"
    key = key_of(store, "generation")
    Path(f".gptfl/artifacts/generation/{key}/content.txt").write_text("other")
    said = gptfl("artifacts", "verify")

    assert said.code == 1
    assert said.out == "6 artifacts whole, 1 damaged\n"
    assert f"gptfl artifacts remove {key[:12]}" in said.err
    assert len(said.err.splitlines()) == 1


def test_remove_takes_one_key_and_no_other(store: Store, gptfl: Gptfl) -> None:
    key = key_of(store, "generation")

    assert gptfl("artifacts", "remove", key[:12]).out == f"removed generation {key[:12]}\n"
    assert store.find("generation", key) is None
    assert gptfl("artifacts", "remove", key[:12]).code == 1


@pytest.mark.parametrize("prefix", ["", "serving/"])
def test_a_key_must_be_begun(prefix: str, gptfl: Gptfl) -> None:
    said = gptfl("artifacts", "show", prefix)

    assert said.code == 1
    assert "give more of it" in said.err


def test_an_unknown_key_is_one_line(gptfl: Gptfl) -> None:
    said = gptfl("artifacts", "show", "xyz")

    assert said.err == "gptfl: no key begins with 'xyz'; 'gptfl artifacts list' names them\n"


def test_prune_wants_to_know_what(gptfl: Gptfl) -> None:
    said = gptfl("artifacts", "prune")

    assert said.code == 2
    assert "add --unreachable or --older-than 30d" in said.err


def test_prune_removes_what_no_run_reaches(store: Store, gptfl: Gptfl) -> None:
    stray = put(store, "generation", {})
    dry = gptfl("artifacts", "prune", "--unreachable", "--dry-run").out

    assert f"would remove generation {stray.key[:12]}" in dry
    assert store.find("generation", stray.key) is not None
    gptfl("artifacts", "prune", "--unreachable")
    assert store.find("generation", stray.key) is None
    assert len(list(store.artifacts())) == 7


def test_prune_by_age_leaves_what_is_young(store: Store, gptfl: Gptfl) -> None:
    assert "7 stay" in gptfl("artifacts", "prune", "--older-than", "5000w").out
    gptfl("artifacts", "prune", "--older-than", "1m")
    assert all(artifact.record.created.year >= 2026 for artifact in store.artifacts())
