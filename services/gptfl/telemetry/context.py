"""What a log record is about: the run, stage, step, round and client that are at work."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

Word = str | int

_CONTEXT: ContextVar[Mapping[str, Word]] = ContextVar("gptfl_context", default={})  # noqa: B039


@contextmanager
def about(**words: Word) -> Iterator[None]:
    """Log records of this block, and of what it calls, are about these words too.

    A thread that the block starts knows nothing of it unless it runs in a copy of the context.
    """
    token = _CONTEXT.set({**_CONTEXT.get(), **words})
    try:
        yield
    finally:
        _CONTEXT.reset(token)


def current() -> Mapping[str, Word]:
    """What is at work here and now."""
    return _CONTEXT.get()
