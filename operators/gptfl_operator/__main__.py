"""`python -m gptfl_operator`: the operator as the chart starts it."""

from pathlib import Path

from gptfl_operator.api import KubernetesApi
from gptfl_operator.cli import main
from gptfl_operator.controller import Brain
from gptfl_operator.progress import StoreProgress
from gptfl_operator.reconcile import reads, reconcile
from gptfl_operator.settings_file import load_settings


def make_brain(api: KubernetesApi, settings_file: Path) -> Brain:
    """The real decision, with the settings of whoever installed the operator."""
    settings = load_settings(settings_file)
    return Brain(
        decide=lambda run, observed, now: reconcile(run, observed, settings, now),
        reads=reads(settings),
        progress=StoreProgress(api, settings),
    )


if __name__ == "__main__":
    main(make_brain)
