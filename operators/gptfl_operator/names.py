"""How objects of a run are called and labelled: the same each time, and short enough to be legal.

A name carries a digest of what the object is for, so a changed spec makes new objects and an
unchanged one finds its own.
"""

from collections.abc import Mapping
from typing import Any

from gptfl.spec.base import canonical_json, sha256
from gptfl.spec.run import GROUP

LONGEST = 63
"""A DNS label, which the names of Jobs, Services and InferenceServices have to be."""
LONGEST_MODEL = 40
"""KServe appends to the name of an InferenceService, which appends a digest to this."""

RUN = f"{GROUP}/run"
STAGE = f"{GROUP}/stage"
CLIENT = f"{GROUP}/client"
MODEL = f"{GROUP}/model"
REVISION = f"{GROUP}/revision"
REVOKED = f"{GROUP}/revoked"
"""On a client's Secret, set to "true" by `gptfl client revoke`: it is no longer let in."""
PINNED = f"{GROUP}/pinned"
"""On the Service of a model, set by `gptfl rollback`: the revision that answers, come what may."""
COMPONENT = "app.kubernetes.io/component"
QUEUE = "kueue.x-k8s.io/queue-name"
KSERVE_REVISION = "serving.kserve.io/inferenceservice"
"""KServe's label on the pods of an InferenceService."""


def digest8(*parts: Any) -> str:
    """Eight hexadecimal digits for anything JSON."""
    return sha256(canonical_json(list(parts)))[:8]


def object_name(run: str, part: str, digest: str = "", *, longest: int = LONGEST) -> str:
    """`<run>-<part>-<digest>`; the run's name is cut where it would be too long.

    The digest must then tell runs apart.
    """
    end = f"-{part}-{digest}" if digest else f"-{part}"
    end = end if len(end) < longest else f"-{part[: longest - len(digest) - 3]}-{digest}"
    return run[: max(1, longest - len(end))].rstrip("-") + end


def labels(run: str, component: str, **more: str) -> dict[str, str]:
    """The labels of an object; `more` are those of gptfl: `stage`, `client`, `model`."""
    own = {f"{GROUP}/{name}": value for name, value in more.items()}
    return {
        "app.kubernetes.io/name": "gptfl",
        "app.kubernetes.io/instance": run,
        COMPONENT: component,
        "app.kubernetes.io/part-of": "gptfl",
        "app.kubernetes.io/managed-by": "gptfl-operator",
        RUN: run,
        **own,
    }


def selector(run: str, component: str) -> Mapping[str, Any]:
    """Selects the pods of one component of one run."""
    return {"matchLabels": {RUN: run, COMPONENT: component}}
