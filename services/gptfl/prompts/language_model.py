"""Prompts from a causal language model of transformers, asked until each label has enough."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers

from gptfl.errors import StageError
from gptfl.prompts.pretrained import Source, loading, resolve
from gptfl.prompts.templates import fill_instruction
from gptfl.seeds import derive_seed
from gptfl.spec.prompts import LanguageModel

FIELD = "spec.prompts.languageModel"

ANSWERS_AT_ONCE = 16
"""Sequences sampled together. Fixed, since another batch has other low bits."""

ASKED_AT_MOST = 20
"""Answers asked for, for each prompt that is wanted, before the model is given up."""


@dataclass(frozen=True)
class Writer:
    """A loaded language model."""

    model: Any
    tokenizer: Any
    spec: LanguageModel
    source: Source

    @classmethod
    def load(cls, spec: LanguageModel, folder: Path) -> "Writer":
        """The model of the spec, on the accelerator if there is one.

        Raises SpecError for a source that cannot be and ModelError for one that cannot be loaded.
        """
        source = resolve(spec.source, folder, field=f"{FIELD}.source", needs="config.json")
        device = "cuda" if torch.cuda.is_available() else "cpu"
        with loading(source):
            # Answers follow the instruction, so what fills up a batch must stand before it.
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                source.where, revision=spec.revision or "main", padding_side="left"
            )
            model = transformers.AutoModelForCausalLM.from_pretrained(
                source.where, revision=spec.revision or "main", use_safetensors=True, dtype="auto"
            )
            if tokenizer.pad_token_id is None:
                tokenizer.pad_token = tokenizer.eos_token
        return cls(model.eval().to(device), tokenizer, spec, source)

    def answers(self, instruction: str, seed: int) -> list[str]:
        """What the model says to `instruction`, sampled `ANSWERS_AT_ONCE` times with `seed`.

        torch's global random state is used, since `generate` takes no generator, and put back.
        """
        encoded = self._encode(instruction).to(self.model.device)
        devices = [self.model.device] if self.model.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), torch.inference_mode():
            torch.manual_seed(seed)
            tokens = self.model.generate(
                **encoded,
                do_sample=True,
                temperature=self.spec.temperature,
                top_p=self.spec.top_p,
                top_k=0,
                max_new_tokens=self.spec.max_new_tokens,
                num_return_sequences=ANSWERS_AT_ONCE,
                pad_token_id=self.tokenizer.pad_token_id,
            )
        said = tokens[:, encoded["input_ids"].shape[1] :]
        decoded: list[str] = self.tokenizer.batch_decode(said, skip_special_tokens=True)
        return decoded

    def _encode(self, instruction: str) -> Any:
        """Token ids [1, T]: through the chat template where the tokenizer has one."""
        if not self.tokenizer.chat_template:
            return self.tokenizer([instruction], return_tensors="pt", return_token_type_ids=False)
        return self.tokenizer.apply_chat_template(
            [[{"role": "user", "content": instruction}]],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )


@dataclass
class _Answers:
    """What has been said about one label."""

    label: str
    prompts: dict[str, str] = field(default_factory=dict)
    """By the prompt without case, so that the same one is not taken twice."""
    asked: int = 0
    without_label: int = 0
    repeated: int = 0

    def add(self, text: str) -> None:
        prompt = first_sentence(text)
        self.asked += 1
        if not mentions(prompt, self.label):
            self.without_label += 1
        elif prompt.casefold() in self.prompts:
            self.repeated += 1
        else:
            self.prompts[prompt.casefold()] = prompt


def write_prompts(writer: Writer, label: str, count: int, seed: int) -> list[str]:
    """`count` different prompts that mention `label`; the same for the same seed.

    Raises StageError when the model has not written them after 20 times as many answers.
    """
    instruction = fill_instruction(writer.spec.instruction, label)
    answers = _Answers(label)
    while len(answers.prompts) < count:
        if answers.asked >= ASKED_AT_MOST * max(count, ANSWERS_AT_ONCE):
            raise _gave_up(answers, count, writer.source.uri)
        for text in writer.answers(instruction, derive_seed(seed, "answers", answers.asked)):
            answers.add(text)
    return list(answers.prompts.values())[:count]


def first_sentence(text: str) -> str:
    """The first line that says something, without numbering, bullets and quotation marks."""
    for line in text.splitlines():
        bare = re.sub(r"^\s*(?:\d+[.)]|[-*•])\s+", "", line)
        bare = " ".join(bare.split()).strip("\"'“”‘’`* ")
        if bare:
            return bare
    return ""


def mentions(prompt: str, label: str) -> bool:
    """Whether the label stands in the prompt as words of its own, whatever the case."""
    words = r"\s+".join(map(re.escape, label.casefold().split()))
    return re.search(rf"(?<!\w){words}(?:s|es)?(?!\w)", prompt.casefold()) is not None


def _gave_up(answers: _Answers, count: int, uri: str) -> StageError:
    remedy = (
        "ask for the label in the instruction, or use another model or templates"
        if answers.without_label >= answers.repeated
        else "raise the temperature or lower spec.prompts.perLabel"
    )
    return StageError(
        f"{FIELD}: {uri} wrote {len(answers.prompts)} of {count} prompts for {answers.label!r} in "
        f"{answers.asked} answers ({answers.without_label} without the label, {answers.repeated} "
        f"repeated); {remedy}"
    )
