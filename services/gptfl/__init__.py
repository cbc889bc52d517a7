"""GPT-FL as one resource: synthetic data from label names, federated fine-tuning, an endpoint.

>>> import gptfl
>>> result = gptfl.run(gptfl.load_run("examples/digits.yaml"))
>>> result.accuracy
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gptfl.api import Result, load_run, parse_run, run, run_stage
    from gptfl.errors import GPTFLError, SpecError
    from gptfl.spec.run import GPTFLRun

__all__ = [
    "GPTFLError",
    "GPTFLRun",
    "Result",
    "SpecError",
    "load_run",
    "parse_run",
    "run",
    "run_stage",
]

_HOMES = {
    "GPTFLError": "gptfl.errors",
    "SpecError": "gptfl.errors",
    "GPTFLRun": "gptfl.spec.run",
}


def __getattr__(name: str) -> Any:
    """Names are looked up when they are used, so that `import gptfl` costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module 'gptfl' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES.get(name, "gptfl.api")), name)


def __dir__() -> list[str]:
    return __all__
