"""A language model is asked until each label has its prompts, or is given up with a reason."""

from pathlib import Path
from typing import Any

import pytest
import torch

from gptfl.errors import ModelError, SpecError, StageError
from gptfl.prompts.language_model import Writer, first_sentence, mentions, write_prompts
from gptfl.prompts.results import PromptSet
from gptfl.prompts.stage import run
from gptfl.spec.prompts import LanguageModel, PromptsSpec
from gptfl.spec.sections import PromptsSection
from gptfl.store import Store, Workspace, open_store

WORDS = ["cat", "dog", "a", "the", "on", "in", "snow", "red"]


def save_model(folder: Path, *, chat: bool = False) -> Path:
    """A GPT-2 of random weights that speaks eight words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    vocabulary = {word: i for i, word in enumerate(["<end>", "<unknown>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unknown>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<end>", unk_token="<unknown>"
    )
    if chat:
        fast.chat_template = (
            "{% for message in messages %}red {{ message['content'] }}{% endfor %}"
            "{% if add_generation_prompt %} snow{% endif %}"
        )
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(vocabulary),
        n_positions=64,
        n_embd=16,
        n_layer=1,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("language-model"))


def language_model(model: Path, **changes: Any) -> LanguageModel:
    return LanguageModel.model_validate(
        {"source": model.as_uri(), "instruction": "a {label}", "maxNewTokens": 6} | changes
    )


@pytest.fixture(scope="module")
def writer(model: Path) -> Writer:
    return Writer.load(language_model(model), model)


def test_prompts_differ_and_mention_the_label(writer: Writer) -> None:
    prompts = write_prompts(writer, "cat", 20, seed=1)
    assert len({prompt.casefold() for prompt in prompts}) == 20
    assert all("cat" in prompt.split() for prompt in prompts)


def test_the_same_seed_gives_the_same_prompts(writer: Writer) -> None:
    first = write_prompts(writer, "dog", 8, seed=1)
    torch.manual_seed(99)  # torch's global state plays no part
    assert write_prompts(writer, "dog", 8, seed=1) == first
    assert write_prompts(writer, "dog", 8, seed=2) != first


def test_fewer_prompts_are_the_first_of_more(writer: Writer) -> None:
    assert write_prompts(writer, "cat", 20, seed=1)[:5] == write_prompts(writer, "cat", 5, seed=1)


def test_the_global_random_state_is_left_as_it_was(writer: Writer) -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    write_prompts(writer, "cat", 2, seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_chat_model_is_asked_through_its_template(tmp_path: Path) -> None:
    save_model(tmp_path, chat=True)
    writer = Writer.load(language_model(tmp_path), tmp_path)
    tokens = writer._encode("a cat")["input_ids"][0]
    assert writer.tokenizer.decode(tokens) == "red a cat snow"
    assert len(write_prompts(writer, "cat", 4, seed=1)) == 4


def test_a_model_that_never_names_the_label_is_given_up(writer: Writer) -> None:
    with pytest.raises(StageError) as caught:
        write_prompts(writer, "zebra", 2, seed=1)
    said = str(caught.value)
    assert "wrote 0 of 2 prompts for 'zebra' in 320 answers (320 without the label" in said
    assert "ask for the label in the instruction" in said
    assert "\n" not in said


def test_a_model_that_repeats_itself_is_given_up(model: Path) -> None:
    cold = Writer.load(language_model(model, temperature=0.01, maxNewTokens=4), model)
    label = first_sentence(cold.answers("a", 0)[0]).split()[0]
    with pytest.raises(StageError, match=r"repeated\); raise the temperature"):
        write_prompts(cold, label, 50, seed=1)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('\n 1. "A cat in the snow."\n2. A dog.', "A cat in the snow."),
        ("- a  cat", "a cat"),
        ("“A cat”", "A cat"),
        ("3 cats", "3 cats"),
        ("\n\n", ""),
    ],
)
def test_an_answer_is_its_first_sentence(text: str, sentence: str) -> None:
    assert first_sentence(text) == sentence


@pytest.mark.parametrize(
    ("prompt", "label", "found"),
    [
        ("A Cat in snow", "cat", True),
        ("two cats", "cat", True),
        ("a category", "cat", False),
        ("a polar  bear", "Polar bear", True),
        ("c++ code", "C++", True),
        ("", "cat", False),
    ],
)
def test_a_label_is_mentioned_as_a_word(prompt: str, label: str, found: bool) -> None:
    assert mentions(prompt, label) is found


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"^spec\.prompts\.languageModel\.source: .*not a folder"):
        Writer.load(language_model(tmp_path / "nothing"), tmp_path)


def test_a_folder_without_a_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"has no config\.json"):
        Writer.load(language_model(tmp_path), tmp_path)


def test_damaged_weights_are_one_line(tmp_path: Path) -> None:
    save_model(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError, match=r"^spec\.prompts\.languageModel\.source: .*cannot be lo"):
        Writer.load(language_model(tmp_path), tmp_path)


class Stage:
    """Runs the stage in a store."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store, self.folder = store, folder

    def run(self, spec: PromptsSpec, **hooks: Any) -> tuple[bytes, PromptSet]:
        section = PromptsSection(
            seed=3,
            compute_threads=1,
            modality="ImageClassification",
            labels=["cat", "dog"],
            prompts=spec,
        )
        workspace = Workspace(
            self.store.blobs, "prompts", "k" * 64, seed=3, folder=self.folder, **hooks
        )
        run(section, {}, workspace)
        data = self.store.blobs.read(f"artifacts/prompts/{'k' * 64}/prompts.json")
        assert data is not None
        return data, PromptSet.model_validate_json(data)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(open_store(str(tmp_path / "store")), tmp_path)


def test_the_stage_writes_the_prompts_of_every_label(stage: Stage) -> None:
    _, written = stage.run(PromptsSpec(per_label=3, templates=["a {label}", "one {label}"]))
    assert [(one.label, len(one.prompts)) for one in written.prompts] == [("cat", 3), ("dog", 3)]


def test_an_interrupted_stage_asks_only_about_the_labels_left(
    stage: Stage, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = PromptsSpec(per_label=3, language_model=language_model(model))

    def interrupt(done: int, total: int, unit: str, metrics: dict[str, float]) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stage.run(spec, report_progress=interrupt)
    asked: list[str] = []
    answers = Writer.answers
    monkeypatch.setattr(
        Writer,
        "answers",
        lambda self, text, seed: asked.append(text) or answers(self, text, seed),
    )
    resumed, _ = stage.run(spec)
    assert set(asked) == {"a dog"}
    stage.store.blobs.remove(f"artifacts/prompts/{'k' * 64}")
    undisturbed, _ = stage.run(spec)
    assert resumed == undisturbed
