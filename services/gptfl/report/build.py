"""The report of a run: one HTML file that needs nothing beside it.

Equal artifacts and an equal status give an equal file: nothing here looks at a clock.
"""

from collections.abc import Mapping

from jinja2 import Environment, PackageLoader, StrictUndefined

from gptfl.report.clients import clients
from gptfl.report.confusion import confusion
from gptfl.report.costs import costs, lineage, software
from gptfl.report.curves import accuracy_figure, diversity_figure, training_words
from gptfl.report.drawing import drawing
from gptfl.report.facts import Facts
from gptfl.report.standing import standing
from gptfl.report.verdict import key_figures, verdict
from gptfl.spec.load import dump_run
from gptfl.spec.run import GPTFLRun
from gptfl.store import Artifact, RunStatus


def render(
    run: GPTFLRun, artifacts: Mapping[str, Artifact], status: RunStatus | None = None
) -> str:
    """The report as HTML text.

    `artifacts` are those of the run's steps that are done, by the step's name; what is missing is
    said and left out. Raises DamagedArtifactError when a file is not what its record says.
    """
    facts = Facts(run, artifacts, status)
    return _environment().get_template("report.html.j2").render(
        run=run,
        standing=standing(facts),
        verdict=verdict(facts),
        figures=key_figures(facts),
        accuracy=accuracy_figure(facts),
        training=training_words(facts),
        diversity=diversity_figure(facts),
        drawing=drawing(facts),
        clients=clients(facts),
        confusion=confusion(facts),
        costs=costs(facts),
        lineage=lineage(facts),
        software=software(facts),
        spec=dump_run(run),
    )  # fmt: skip


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("gptfl.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
