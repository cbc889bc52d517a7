"""`gptfl status` and `gptfl report`: what they find of a run in the store."""

import json
from pathlib import Path

from cli_world import Gptfl, done_run

from gptfl.store import Phase, Store


def test_all_runs_are_a_table(store: Store, gptfl: Gptfl) -> None:
    done_run(store)
    done_run(store, name="birds")
    said = gptfl("status")
    lines = said.out.splitlines()

    assert said.code == 0
    assert lines[0].split() == ["RUN", "PHASE", "STEPS", "ACCURACY", "TOOK", "AGE"]
    assert sorted(line.split()[0] for line in lines[1:]) == ["birds", "pets"]
    assert lines[1].split()[1:4] == ["Succeeded", "7/7", "0.950"]


def test_one_run_is_shown_step_by_step(store: Store, gptfl: Gptfl) -> None:
    done_run(store)
    out = gptfl("status", "pets").out

    assert "pets  Succeeded" in out
    assert "prompts         Cached  -      -               same spec and inputs as before" in out
    assert "  from-scratch  Done    2.5 s  accuracy 0.900  not done before" in out


def test_a_finished_run_ends_with_its_gain_over_each_control(store: Store, gptfl: Gptfl) -> None:
    done_run(store)
    out = gptfl("status", "pets").out

    assert " GPT-FL          0.950" in out
    assert " from scratch    0.410  +0.540" in out
    assert " synthetic only  0.970  −0.020" in out
    assert "serve it gptfl serve pets" in out
    assert "report   .gptfl/runs/default/pets/0123456789ab/report.html" in out


def test_as_json_it_is_the_status(store: Store, gptfl: Gptfl) -> None:
    status = done_run(store)

    assert json.loads(gptfl("status", "pets", "--json").out) == json.loads(
        status.model_dump_json(by_alias=True)
    )
    assert len(json.loads(gptfl("status", "--json").out)) == 1


def test_a_killed_run_is_not_said_to_be_running(store: Store, gptfl: Gptfl) -> None:
    done_run(store, phase=Phase.RUNNING)

    assert "Stopped" in gptfl("status").out
    with store.run_folder("default", "pets", "0123456789ab").hold():
        assert "Running" in gptfl("status").out


def test_an_unknown_run_names_those_that_are_there(store: Store, gptfl: Gptfl) -> None:
    done_run(store)
    said = gptfl("status", "dogs")

    assert said.code == 1
    assert said.err.endswith("has no run 'dogs'; there are pets\n")


def test_a_namespace_narrows_the_search(store: Store, gptfl: Gptfl) -> None:
    done_run(store)

    assert gptfl("status", "default/pets").code == 0
    assert gptfl("status", "other/pets").code == 1


def test_without_runs_it_says_so(store: Store, gptfl: Gptfl) -> None:
    assert gptfl("status").out == ".gptfl: no runs yet\n"


def test_without_a_store_none_is_made(tmp_path: Path, gptfl: Gptfl) -> None:
    said = gptfl("status", "--store", str(tmp_path / "none"))

    assert said.code == 1
    assert "there is no store here" in said.err
    assert not (tmp_path / "none").exists()


def test_report_prints_where_it_is(store: Store, gptfl: Gptfl) -> None:
    done_run(store)
    said = gptfl("report", "pets")

    assert said.out == ".gptfl/runs/default/pets/0123456789ab/report.html\n"
    assert Path(said.out.strip()).is_file()


def test_the_report_of_a_run_that_has_not_ended_well_is_made_anew(
    store: Store, gptfl: Gptfl
) -> None:
    status = done_run(store, phase=Phase.FAILED).model_copy(update={"steps": ()})
    folder = store.run_folder("default", "pets", "0123456789ab")
    folder.write_status(status)
    said = gptfl("report", "pets")

    assert said.code == 0
    assert "pets" in Path(said.out.strip()).read_text()


def test_serve_wants_a_model(store: Store, gptfl: Gptfl) -> None:
    status = done_run(store)
    serving = status.step("serving")
    assert serving is not None
    assert serving.key is not None
    store.remove("serving", serving.key)
    said = gptfl("serve", "pets")

    assert (said.code, said.out) == (1, "")
    assert said.err == (
        "gptfl: run 'pets' has no model yet (Succeeded); finish it with gptfl run\n"
    )


def test_serve_checks_the_model_first(store: Store, gptfl: Gptfl) -> None:
    done_run(store)
    model = next(Path(".gptfl/artifacts/serving").glob("*/content.txt"))
    model.write_text("swapped")
    said = gptfl("serve", "pets")

    assert said.code == 1
    assert "content.txt: is damaged" in said.err
