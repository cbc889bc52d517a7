"""Says what is wrong with a data set before any long work, without torch and `datasets`."""

import difflib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from gptfl.data.functions import check_function
from gptfl.errors import DataError, SpecError
from gptfl.freshness import local_path
from gptfl.spec.data import DataFormat, DatasetSpec
from gptfl.spec.evaluation import Baseline
from gptfl.spec.federation import ClientSpec
from gptfl.spec.run import GPTFLRun, RunSpec

BUILTIN = ("sklearn://digits",)
"""Data sets that come with an installed package."""

SUFFIXES = {
    DataFormat.IMAGE_FOLDER: frozenset(
        (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
    ),
    DataFormat.AUDIO_FOLDER: frozenset((".wav", ".flac", ".mp3", ".ogg", ".opus", ".aiff")),
    DataFormat.TEXT_FOLDER: frozenset((".txt",)),
    DataFormat.PARQUET: frozenset((".parquet",)),
    DataFormat.CSV: frozenset((".csv",)),
}
"""What the files of each format are called; also the order in which `Auto` looks for them."""

_SPLIT = re.compile(r"\w+(\.\w+)*(\[(-?[\d_]+%?)?:(-?[\d_]+%?)?\])?")
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


def check_run(run: GPTFLRun, folder: Path, *, clients_are_here: bool = True) -> None:
    """Raises for what a run names and what can be seen to be wrong or missing before it starts.

    Looks at the data sets and at the functions named as `module:function`; opens and runs none.
    `folder` is where relative paths start. The data of clients that are elsewhere are theirs to
    look at.
    """
    for field, dataset in datasets(run.spec, clients_are_here=clients_are_here):
        check_dataset(dataset, run.spec.task.labels, folder, field)
    agreement = run.spec.generation.filters.agreement
    functions = {
        "spec.federation.strategy.function": run.spec.federation.strategy.function,
        "spec.generation.filters.agreement.function": agreement.function if agreement else None,
    }
    for field, function in functions.items():
        if function is not None:
            check_function(function, folder, field)


def datasets(spec: RunSpec, *, clients_are_here: bool = True) -> Iterator[tuple[str, DatasetSpec]]:
    """Every data set that a run opens in this process, behind its path in the file."""
    federation = spec.federation
    is_pooled = Baseline.CENTRALISED in spec.evaluation.baselines
    if federation.simulation is not None and (clients_are_here or is_pooled):
        yield "spec.federation.simulation.dataset", federation.simulation.dataset
    if clients_are_here:
        for index, client in enumerate(federation.clients or ()):
            field = f"spec.federation.clients[{index}].data"
            yield field, data_of(client, field)
    yield "spec.evaluation.dataset", spec.evaluation.dataset


def data_of(client: ClientSpec, field: str) -> DatasetSpec:
    """What a client holds, for a process that has to open it.

    Raises SpecError when the client brings its own.
    """
    if client.data is None:
        raise SpecError.of(
            field,
            f"is not set, so {client.name} joins over the network with data of its own; use "
            "'gptfl aggregate' in place of 'gptfl run'",
        )
    return client.data


def check_dataset(spec: DatasetSpec, labels: Sequence[str], folder: Path, field: str) -> None:
    """Raises DataError or SpecError for what can be seen without opening the data set.

    `folder` is where relative paths start; `field` is the path of `spec` in the run's file.
    """
    _check_split(spec, field)
    _check_label_map(spec, labels, field)
    if spec.uri in BUILTIN:
        return
    path = local_path(spec.uri, folder)
    if path is not None:
        layout(spec, path, field)
    elif spec.uri.startswith("hf://"):
        _check_hub_id(spec.uri, field)
    else:
        raise SpecError.of(
            f"{field}.uri",
            f"{spec.uri!r} is none of {', '.join(BUILTIN)}, hf://OWNER/NAME, file://PATH or a path",
        )


def layout(spec: DatasetSpec, path: Path, field: str) -> DataFormat:
    """How the file or folder at `path` is laid out: as `spec` says, or as its files are called."""
    if not path.exists():
        raise DataError(
            f"{field}.uri: {path} does not exist; relative paths start at the folder of the "
            "run's file"
        )
    found = _suffixes(path)
    if not found:
        raise DataError(f"{field}.uri: {path} has no files; put the data there")
    if spec.format is not DataFormat.AUTO:
        _check_format(spec.format, path, found, field)
        return spec.format
    for form, suffixes in SUFFIXES.items():
        if found & suffixes and _fits(form, path):
            return form
    raise DataError(
        f"{field}.uri: {path} has only {', '.join(sorted(found)[:5])} files, of which no format "
        f"is known; give a folder a class of images, audio or .txt files, or Parquet or CSV"
    )


def _check_split(spec: DatasetSpec, field: str) -> None:
    if not all(_SPLIT.fullmatch(part.strip()) for part in spec.split.split("+")):
        raise SpecError.of(
            f"{field}.split",
            f"{spec.split!r} is not a split; write a name with or without a range, such as "
            "test, train[:80%] or train[100:200]",
        )


def _check_label_map(spec: DatasetSpec, labels: Sequence[str], field: str) -> None:
    for name, label in (spec.label_map or {}).items():
        if label not in labels:
            near = difflib.get_close_matches(label, labels, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "use one of them"
            raise SpecError.of(
                f"{field}.labelMap.{name}", f"{label!r} is not one of spec.task.labels; {hint}"
            )


def _check_hub_id(uri: str, field: str) -> None:
    parts = urlsplit(uri)
    if not _HUB_ID.fullmatch(f"{parts.netloc}{parts.path}") or parts.query or parts.fragment:
        raise SpecError.of(f"{field}.uri", f"{uri!r} is not a hub id; write hf://OWNER/NAME")


def _suffixes(path: Path) -> set[str]:
    """The suffixes of the file, or of all files below the folder, in small letters."""
    files = [path] if path.is_file() else (file for file in path.rglob("*") if file.is_file())
    return {file.suffix.lower() for file in files if not file.name.startswith(".")}


def _fits(form: DataFormat, path: Path) -> bool:
    """Media lie in folders; tables may be a file or a folder of files."""
    return path.is_dir() or form in (DataFormat.PARQUET, DataFormat.CSV)


def _check_format(form: DataFormat, path: Path, found: set[str], field: str) -> None:
    suffixes = SUFFIXES[form]
    if not _fits(form, path):
        raise DataError(
            f"{field}.format: {form} wants a folder with a folder for each class, and {path} is "
            "a file"
        )
    if not found & suffixes:
        raise DataError(
            f"{field}.format: {form} wants {', '.join(sorted(suffixes))} files, and {path} has "
            f"only {', '.join(sorted(found)[:5])}"
        )
