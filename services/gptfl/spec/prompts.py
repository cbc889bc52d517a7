"""How label names become the sentences that a generative model draws."""

from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from gptfl.spec.base import NOT_IN_KEY, SpecModel, cel
from gptfl.spec.pods import PodTemplate


class Attribute(SpecModel):
    """A word to vary in the templates: `{name}` is replaced by one of `values`."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-zA-Z0-9]*$", max_length=40)]
    """The name between braces in a template; `label` is taken."""
    values: Annotated[list[str], Field(min_length=1, max_length=200)]
    """What it may be; an empty string leaves the word out."""


class LanguageModel(SpecModel):
    """A causal language model of transformers that writes the prompts."""

    source: Annotated[str, StringConstraints(min_length=1)]
    """Where the weights are: `hf://OWNER/NAME`, `file://FOLDER` or a URI of the artifact store."""
    revision: str | None = None
    """The hub's branch, tag or commit."""
    instruction: Annotated[str, StringConstraints(min_length=1, max_length=10_000)] = (
        "Write one short sentence that describes a photo of {label}."
    )
    """What the model is told; `{label}` is replaced by the label."""
    temperature: Annotated[float, Field(gt=0, le=5)] = 1.0
    """Sampling temperature."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Nucleus of the sampling distribution."""
    max_new_tokens: Annotated[int, Field(ge=4, le=512)] = 48
    """The longest prompt, in tokens."""


Template = Annotated[str, StringConstraints(min_length=1, max_length=1000)]


class PromptsSpec(SpecModel):
    """Sentences for the generator, from the label names alone: by templates or a language model."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "has(self.languageModel) || size(self.templates) > 0",
                "set templates or languageModel",
            ),
            (
                "self.templates.all(template, template.contains('{label}'))",
                "each template must hold {label}",
            ),
        )
    )

    per_label: Annotated[int, Field(ge=1, le=100_000)] = 50
    """Prompts written for each label; samples use them in turn."""
    templates: Annotated[list[Template], Field(max_length=200)] = ["a photo of a {label}"]
    """Sentences with `{label}` and the names of `attributes` in braces. Not used when
    `languageModel` is set."""
    attributes: Annotated[list[Attribute], Field(max_length=50)] = []
    """Words to vary in the templates."""
    language_model: LanguageModel | None = None
    """Writes the prompts in place of the templates."""
    template: Annotated[PodTemplate | None, NOT_IN_KEY] = None
    """The stage's pod."""
