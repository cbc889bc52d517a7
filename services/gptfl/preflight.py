"""What a run names outside of its file, looked at before any long work: data, modules, folders."""

from pathlib import Path

from gptfl.data.check import check_run, datasets
from gptfl.models.check import check_model
from gptfl.spec.run import GPTFLRun


def check_references(run: GPTFLRun, folder: Path, *, clients_are_here: bool = True) -> None:
    """Raises for a file, folder or function that is not there; opens nothing, so it is cheap."""
    check_run(run, folder, clients_are_here=clients_are_here)
    check_model(run.spec.pretraining.model, folder)


def open_all_data(run: GPTFLRun, folder: Path, *, clients_are_here: bool = True) -> None:
    """Reads and decodes every data set once, so that a bad sample shows before hours of drawing.

    Raises DataError for an unknown label, an unreadable sample or an empty data set.
    """
    from gptfl.data.load import open_dataset

    task = run.spec.task
    for field, dataset in datasets(run.spec, clients_are_here=clients_are_here):
        open_dataset(dataset, task.labels, folder, field=field).images(task.image)
