"""The stage `prompts`: from label names to sentences for the generator."""

from collections.abc import Callable, Mapping
from pathlib import Path

from gptfl.prompts.results import LabelPrompts, PromptSet
from gptfl.prompts.templates import fill_templates
from gptfl.spec.prompts import PromptsSpec
from gptfl.spec.sections import PromptsSection
from gptfl.store import Artifact, Workspace

Write = Callable[[str, int], list[str]]
"""From a label and a seed to its prompts."""


def run(
    section: PromptsSection, inputs: Mapping[str, Artifact], workspace: Workspace
) -> dict[str, float]:
    """Writes `prompts.json`, a PromptSet. A label that is done is not asked about again."""
    del inputs
    spec, labels = section.prompts, section.labels
    write: Write | None = None
    written = []
    for index, label in enumerate(labels):
        name = f"label-{index:05d}.json"
        saved = workspace.load_checkpoint(name) if spec.language_model else None
        if saved is not None:
            prompts = LabelPrompts.model_validate_json(saved)
        else:
            write = write or _writer(spec, section.compute_threads, workspace.folder)
            seed = workspace.derive_seed("prompts", label)
            prompts = LabelPrompts(label=label, prompts=write(label, seed))
            if spec.language_model:
                workspace.save_checkpoint(name, prompts.model_dump_json().encode())
        written.append(prompts)
        workspace.progress(index + 1, len(labels), "labels")
    workspace.write_model("prompts.json", PromptSet(prompts=written))
    return {
        "prompts": float(sum(len(one.prompts) for one in written)),
        "distinct": float(sum(len(set(one.prompts)) for one in written)),
    }


def _writer(spec: PromptsSpec, compute_threads: int, folder: Path) -> Write:
    """Templates, or the language model, which is loaded only when there is something to ask."""
    if spec.language_model is None:
        return lambda label, seed: fill_templates(label, spec, seed)
    # Templates need no torch, and its import is the most of a small run.
    import torch

    from gptfl.prompts.language_model import Writer, write_prompts

    torch.set_num_threads(compute_threads)
    writer = Writer.load(spec.language_model, folder)
    return lambda label, seed: write_prompts(writer, label, spec.per_label, seed)
