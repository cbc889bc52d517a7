"""Stage 6: exports the final model as a folder that a server loads, when it passed the gate."""

from collections.abc import Mapping

from gptfl.errors import StageError
from gptfl.evaluation.results import REPORT_NAME, EvaluationReport, GateResult
from gptfl.models.build import build_model
from gptfl.models.config import WEIGHTS_NAME
from gptfl.models.folder import model_config, model_files
from gptfl.models.weights import load_weights, weights_from_bytes
from gptfl.spec.sections import ServingSection
from gptfl.store import Artifact, Workspace


def run(
    section: ServingSection, inputs: Mapping[str, Artifact], workspace: Workspace
) -> dict[str, float]:
    """Writes `config.json` and `model.safetensors`, the folder that `gptfl serve` loads.

    Raises StageError when the model did not pass the gate of the evaluation.
    """
    gate = inputs["evaluation"].read_model(REPORT_NAME, EvaluationReport).gate
    if not gate.passed:
        raise StageError(_refusal(gate))
    # The weights must fit the model that the config describes, or the folder could not be loaded.
    module = build_model(
        section.model,
        section.task.image,
        len(section.task.labels),
        seed=0,
        folder=workspace.folder,
    )
    state = weights_from_bytes(inputs["federation"].read(WEIGHTS_NAME))
    load_weights(module, state, f"{inputs['federation'].uri}/{WEIGHTS_NAME}")
    config = model_config(section.task, section.model, module)
    for name, data in model_files(config, state).items():
        workspace.write(name, data)
    return {"parameters": float(sum(parameter.numel() for parameter in module.parameters()))}


def _refusal(gate: GateResult) -> str:
    return (
        f"spec.evaluation.gate: {gate.metric} is {gate.value:.4f}, "
        f"{gate.minimum - gate.value:.4f} less than the minimum of {gate.minimum:g}, so the model "
        "is not published; train it further (federation.rounds, generation.samplesPerLabel) or "
        "lower the minimum"
    )
