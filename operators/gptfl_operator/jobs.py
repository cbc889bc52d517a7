"""Which Jobs there are to be at this moment, and which of those that are there stay."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gptfl_operator.manifests import config
from gptfl_operator.manifests.parts import Work
from gptfl_operator.manifests.scope import Scope
from gptfl_operator.model import Object, Observed
from gptfl_operator.objects import by_name, spec_of
from gptfl_operator.standing import Stand, Standing, is_finished


@dataclass(frozen=True)
class WantedJobs:
    """Jobs, and the files that their pods read."""

    apply: tuple[Object, ...] = ()
    keep: frozenset[str] = frozenset()
    """Names of Jobs that stay as they are, beside those applied."""
    run_files: frozenset[str] = frozenset()
    """Names of ConfigMaps that are read."""


def wanted_jobs(
    scope: Scope, found: Sequence[Standing], observed: Observed, *, barred: frozenset[str]
) -> WantedJobs:
    """The Jobs of the stage at work, and of the others what has ended: for its log, and as the
    evidence that it has. Clients in `barred` get none."""
    there = by_name(observed.jobs)
    names = (work.name for one in found for work in (one.work.main, *one.work.helpers))
    keep = frozenset(name for name in names if is_finished(there.get(name)))
    apply, files = [], set()
    for work in _at_work(scope, found, there, barred):
        file = _run_file(there.get(work.name)) or scope.run_file
        files.add(file)
        apply.append(work.manifest(scope, file))
    if scope.run_file in files - by_name(observed.config_maps).keys():
        apply.insert(0, config.run_file(scope))
    return WantedJobs(tuple(apply), keep, frozenset(files))


def _at_work(
    scope: Scope,
    found: Sequence[Standing],
    there: Mapping[str, Object],
    barred: frozenset[str],
) -> Iterator[Work]:
    """A suspended run makes no new Jobs, and those that Kueue looks after give their place up."""
    spec = scope.run.spec
    for one in found:
        if one.stand is not Stand.WORKING:
            continue
        for work in (one.work.main, *one.work.helpers):
            job = there.get(work.name)
            rests = spec.suspend and (job is None or spec.queue_name is not None)
            if not (is_finished(job) or rests or work.part.client in barred):
                yield work


def _run_file(job: Object | None) -> str | None:
    """The file that a Job's pods read already: its stage may have begun under an older spec, of
    which it reads the same part."""
    volumes: list[dict[str, Any]] = []
    if job is not None:
        volumes = (spec_of(job).get("template") or {}).get("spec", {}).get("volumes") or []
    for volume in volumes:
        if volume.get("name") == "run":
            name = (volume.get("configMap") or {}).get("name")
            return name if isinstance(name, str) else None
    return None
