"""The one family of errors that gptfl raises on purpose, each with what to do about it.

GPTFLError                  anything a user may meet; exit code 1
├── SpecError               a field of a GPTFLRun is wrong; exit code 2
├── DataError               a data set is missing, unreadable or unfit
├── ModelError              a model or a pipeline cannot be built, loaded or used
├── StoreError              the artifact store cannot do what was asked
│   ├── StoreUnavailableError    it may be able to later: asking again can help
│   └── DamagedArtifactError     a file is not what its record says
├── NetworkError            a federation's connections cannot be set up as asked
├── StageError              a stage cannot reach its end with the spec it was given
└── MissingDependencyError       an optional package is wanted and not installed
"""

from collections.abc import Sequence
from dataclasses import dataclass


class GPTFLError(Exception):
    """Something that a user can act on: the message is one line and says how."""

    exit_code = 1


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with one field."""

    path: str
    """The field as it stands in the file: ``spec.federation.rounds``."""
    message: str
    """What it is, what it may be, and what to do."""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class SpecError(GPTFLError):
    """A GPTFLRun says something that cannot be; one line for each problem."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))

    @classmethod
    def of(cls, path: str, message: str) -> "SpecError":
        """A spec error with a single problem."""
        return cls([Problem(path, message)])


class DataError(GPTFLError):
    """A data set is missing, unreadable, or does not fit the task."""


class ModelError(GPTFLError):
    """A model, pipeline or user function cannot be built, loaded or used."""


class StoreError(GPTFLError):
    """The artifact store cannot be read or written."""


class StoreUnavailableError(StoreError):
    """The store does not answer, or not now."""

    def __init__(self, message: str, *, reason: str = "unavailable") -> None:
        super().__init__(message)
        self.reason = reason
        """A word or two of a few, for counting."""


class DamagedArtifactError(StoreError):
    """A file of an artifact is missing or differs from the digest in its record."""


class NetworkError(GPTFLError):
    """An address, a certificate or a token of a federation over the network cannot be used."""


class StageError(GPTFLError):
    """A stage cannot reach its end: too few good samples, diverged training, no replies."""


class MissingDependencyError(GPTFLError):
    """An optional package is needed for what the spec asks and is not installed."""
