"""Says what is wrong with the model that a run names before any long work; loads no torch."""

import difflib
from pathlib import Path

from gptfl.data.functions import check_function
from gptfl.errors import ModelError, SpecError
from gptfl.freshness import local_path
from gptfl.spec.pretraining import ModelSpec

FIELD = "spec.pretraining.model"

BUILTIN = ("small-cnn", "linear")
"""Names after `builtin://`."""

ALLOWED = (
    *(f"builtin://{name}" for name in BUILTIN),
    "transformers://OWNER/NAME",
    "timm://NAME",
    "python://module:function",
)


def check_model(model: ModelSpec, folder: Path) -> None:
    """Raises for a source that is not known and for a function or file that is not there.

    `folder` is where relative paths start. Hub ids and timm's names are not looked up.
    """
    scheme, separator, name = model.source.partition("://")
    known = scheme in ("transformers", "timm", "python") or (
        scheme == "builtin" and name in BUILTIN
    )
    if not separator or not name or not known:
        raise unknown_model(model.source)
    if scheme == "python":
        check_function(name, folder, f"{FIELD}.source")
    path = local_path(model.public_weights, folder) if model.public_weights else None
    if path is not None and not path.is_file():
        raise ModelError(f"{FIELD}.publicWeights: {path} is not a file; name a safetensors file")


def unknown_model(source: str) -> SpecError:
    """The error for a source that is none of those allowed."""
    near = difflib.get_close_matches(source, ALLOWED, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return SpecError.of(
        f"{FIELD}.source", f"{source!r} is not known; use one of {', '.join(ALLOWED)}{hint}"
    )
