"""Keeps other packages from talking over the progress, and from calling home."""

import os
import warnings

SETTINGS = {
    "DIFFUSERS_VERBOSITY": "error",
    "FLWR_TELEMETRY_ENABLED": "0",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}


def quieten() -> None:
    """What the user has set stays; `python -W` and PYTHONWARNINGS bring the warnings back.

    A log in JSON has them as records.
    """
    import sys

    from gptfl.telemetry.logs import are_json

    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    if not sys.warnoptions and not are_json():
        warnings.simplefilter("ignore")
