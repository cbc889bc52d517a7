"""The stage `generation` with workers on a queue in place of this process's threads.

Imports neither torch nor Celery until there is something to draw.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from gptfl.spec.run import GPTFLRun, run_uid
from gptfl.spec.sections import GenerationSection
from gptfl.store import Artifact, Workspace


def queue_name(run: GPTFLRun) -> str:
    """The queue of a run: whoever has the run's file knows it before anybody is at work."""
    return f"gptfl.{run.metadata.namespace}.{run.metadata.name}.{run_uid(run)}"


@dataclass(frozen=True)
class QueuedGeneration:
    """A stage function: same section, inputs and workspace, same artifact, other hands."""

    broker: str
    queue: str
    how_to_help: str
    """The command that starts a worker."""

    def __call__(
        self, section: GenerationSection, inputs: Mapping[str, Artifact], workspace: Workspace
    ) -> dict[str, float]:
        from gptfl.generation.queue.broker import Broker
        from gptfl.generation.queue.coordinator import Coordinator
        from gptfl.generation.stage import run

        return run(
            section,
            inputs,
            workspace,
            open_hands=lambda section, prompts, workspace: Coordinator(
                Broker(self.broker, self.queue),
                section,
                prompts,
                workspace,
                how_to_help=self.how_to_help,
            ),
        )
