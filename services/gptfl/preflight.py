"""What a run names outside of its file, looked at before any long work: data, modules, folders."""

from pathlib import Path

from gptfl.data.check import check_run, datasets
from gptfl.models.check import check_model
from gptfl.spec.run import GPTFLRun


def check_references(run: GPTFLRun, folder: Path) -> None:
    """Raises for a file, folder or function that is not there; opens nothing, so it is cheap."""
    check_run(run, folder)
    check_model(run.spec.pretraining.model, folder)


def open_all_data(run: GPTFLRun, folder: Path) -> None:
    """Reads and decodes every data set once, so that a bad sample shows before hours of drawing.

    Raises DataError for an unknown label, an unreadable sample or an empty data set.
    """
    from gptfl.data.load import open_dataset

    task = run.spec.task
    for field, dataset in datasets(run.spec):
        open_dataset(dataset, task.labels, folder, field=field).images(task.image)
