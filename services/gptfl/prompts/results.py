"""What the stage `prompts` leaves: the sentences for each label."""

from gptfl.spec.base import SpecModel


class LabelPrompts(SpecModel):
    """The prompts of one label."""

    label: str
    prompts: list[str]
    """In the order in which images use them, over and over."""


class PromptSet(SpecModel):
    """`prompts.json`: the prompts of every label, in the order of the task's labels."""

    prompts: list[LabelPrompts]
