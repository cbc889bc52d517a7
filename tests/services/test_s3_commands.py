"""The commands on a store in a bucket: the same as on a folder, from any machine."""

import os
import shutil
import subprocess
from pathlib import Path

import yaml
from faulty_proxy import FaultyProxy
from s3_buckets import new_place
from servers import S3Server, gptfl_command
from small import small_document

MOST_REQUESTS_OF_A_CACHED_RUN = 40
"""Of eight steps: two looks at each record, a status for each, and a dozen for the run itself."""


def gptfl(folder: Path, environment: dict[str, str], *arguments: str) -> str:
    """What a command prints; it must end well."""
    done = subprocess.run(
        gptfl_command(*arguments),
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_run_in_a_bucket_is_known_on_another_machine(s3_server: S3Server, tmp_path: Path) -> None:
    place = new_place(s3_server)
    document = small_document()
    document["spec"]["artifacts"] = {"uri": place, "endpoint": s3_server.endpoint}
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
        (folder / "run.yaml").write_text(yaml.safe_dump(document))
    environment = {**s3_server.environment, "GPTFL_CACHE": str(here / "cache")}
    without_endpoint = {**environment, "AWS_ENDPOINT_URL": "http://not-used.invalid"}
    said = gptfl(here, without_endpoint, "run", "run.yaml", "--quiet")

    assert f"report   {place}/runs/default/small/" in said
    assert f"model    {place}/artifacts/serving/" in said
    assert not (here / ".gptfl").exists()

    environment["GPTFL_CACHE"] = str(there / "cache")
    status = gptfl(there, environment, "status", "small", "--store", place)
    assert f"open it  gptfl report --open small --store {place}" in status
    assert "Succeeded" in gptfl(there, environment, "status", "--store", place)
    report = Path(gptfl(there, environment, "report", "small", "--store", place).strip())
    assert (there / report).read_text().startswith("<!doctype html>")
    assert "0 damaged" in gptfl(there, environment, "artifacts", "verify", "--store", place)
    listed = gptfl(there, environment, "artifacts", "list", "--store", place)
    key = listed.partition("evaluation ")[2].split()[0]
    gptfl(there, environment, "artifacts", "remove", key, "--store", place)
    assert key not in gptfl(there, environment, "artifacts", "list", "--store", place)


def test_a_run_that_is_done_makes_few_requests(s3_server: S3Server, tmp_path: Path) -> None:
    place = new_place(s3_server)
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(small_document()))
    environment = {**s3_server.environment, "GPTFL_CACHE": str(tmp_path / "cache")}
    gptfl(tmp_path, environment, "run", "run.yaml", "--quiet", "--store", place)
    shutil.rmtree(tmp_path / "cache")
    with FaultyProxy(s3_server.port, percent=0) as proxy:
        environment["AWS_ENDPOINT_URL"] = proxy.endpoint
        gptfl(tmp_path, environment, "run", "run.yaml", "--quiet", "--store", place)

    assert proxy.calls <= MOST_REQUESTS_OF_A_CACHED_RUN, "\n".join(proxy.seen)
