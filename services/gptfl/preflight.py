"""What a run names outside of its file, looked at before any long work: data, modules, folders."""

from collections.abc import Iterator
from pathlib import Path

from gptfl.data.check import check_dataset
from gptfl.data.functions import check_function
from gptfl.spec.data import DatasetSpec
from gptfl.spec.run import GPTFLRun, RunSpec


def datasets(spec: RunSpec) -> Iterator[tuple[str, DatasetSpec]]:
    """Every data set of a run with its path in the file."""
    federation = spec.federation
    if federation.simulation is not None:
        yield "spec.federation.simulation.dataset", federation.simulation.dataset
    for index, client in enumerate(federation.clients or []):
        yield f"spec.federation.clients[{index}].data", client.data
    yield "spec.evaluation.dataset", spec.evaluation.dataset


def check_references(run: GPTFLRun, folder: Path) -> None:
    """Raises SpecError or DataError for a file, folder or function that is not there; cheap."""
    spec = run.spec
    for field, dataset in datasets(spec):
        check_dataset(dataset, spec.task.labels, folder, field)
    for field, function in _functions(spec):
        check_function(function, folder, field)


def open_all_data(run: GPTFLRun, folder: Path) -> None:
    """Reads and decodes every data set once, so that a bad sample shows before hours of drawing.

    Raises DataError for an unknown label, an unreadable sample or an empty data set.
    """
    from gptfl.data.load import open_dataset

    spec = run.spec
    for field, dataset in datasets(spec):
        open_dataset(dataset, spec.task.labels, folder, field=field).images(spec.task.image)


def _functions(spec: RunSpec) -> Iterator[tuple[str, str]]:
    source = spec.pretraining.model.source
    if source.startswith("python://"):
        yield "spec.pretraining.model.source", source.removeprefix("python://")
    agreement = spec.generation.filters.agreement
    if agreement is not None and agreement.function is not None:
        yield "spec.generation.filters.agreement.function", agreement.function
    if spec.federation.strategy.function is not None:
        yield "spec.federation.strategy.function", spec.federation.strategy.function
