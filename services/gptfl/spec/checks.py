"""What the types cannot say: fields that contradict each other, as a list of small pure checks.

Each check gives the problems that it finds; the same rules as far as an API server can hold them
stand as CEL beside the types.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from string import Formatter
from urllib.parse import urlsplit

from gptfl.errors import Problem, SpecError
from gptfl.spec.checks_federation import (
    clients_are_given_once,
    clients_have_names_of_their_own,
    partitioner_has_what_it_needs,
    rounds_have_enough_clients,
    strategy_has_what_it_needs,
)
from gptfl.spec.checks_pods import (
    labels_leave_the_operators_alone,
    mounts_have_volumes,
    outside_clients_bring_their_data,
)
from gptfl.spec.data import DatasetSpec
from gptfl.spec.evaluation import Baseline
from gptfl.spec.generation import Device, Precision, Scorer
from gptfl.spec.run import GPTFLRun, RunSpec

Check = Callable[[RunSpec], Iterable[Problem]]


def check(run: GPTFLRun) -> None:
    """Raises SpecError that names every contradiction in a run; looks at nothing but the run."""
    problems = [problem for one in CHECKS for problem in one(run.spec)]
    if problems:
        raise SpecError(problems)


def labels_differ(spec: RunSpec) -> Iterator[Problem]:
    """Labels that a person takes for one are one: case and spaces do not tell classes apart."""
    first: dict[str, int] = {}
    for index, label in enumerate(spec.task.labels):
        same = first.setdefault(" ".join(label.casefold().split()), index)
        if same != index:
            yield Problem(
                f"spec.task.labels[{index}]",
                f"{label!r} is the same as labels[{same}] {spec.task.labels[same]!r}; "
                "use each label once",
            )


def images_are_grey_or_coloured(spec: RunSpec) -> Iterator[Problem]:
    """Two channels are neither."""
    channels = spec.task.image.channels
    if channels not in (1, 3):
        yield Problem(
            "spec.task.image.channels", f"{channels} is no image; use 1 (grey) or 3 (RGB)"
        )


def templates_can_be_filled(spec: RunSpec) -> Iterator[Problem]:
    """Every brace in a template names the label or an attribute."""
    prompts = spec.prompts
    known = ["label", *(attribute.name for attribute in prompts.attributes)]
    if prompts.language_model is not None:
        path = "spec.prompts.languageModel.instruction"
        yield from _template(path, prompts.language_model.instruction, ["label"])
    elif not prompts.templates:
        yield Problem(
            "spec.prompts.templates", "is empty; give a template such as 'a photo of a {label}'"
        )
    for index, template in enumerate(prompts.templates):
        yield from _template(f"spec.prompts.templates[{index}]", template, known)


def attributes_have_names_of_their_own(spec: RunSpec) -> Iterator[Problem]:
    """An attribute is known by its name, and `label` is taken."""
    seen: set[str] = set()
    for index, attribute in enumerate(spec.prompts.attributes):
        path = f"spec.prompts.attributes[{index}].name"
        if attribute.name == "label":
            yield Problem(path, "'label' stands for the label itself; use another name")
        if attribute.name in seen:
            yield Problem(path, f"{attribute.name!r} is used twice; give each attribute its own")
        seen.add(attribute.name)


def guidance_is_a_range(spec: RunSpec) -> Iterator[Problem]:
    """The least guidance is not above the most."""
    guidance = spec.generation.guidance
    if guidance.minimum > guidance.maximum:
        yield Problem(
            "spec.generation.guidance.minimum",
            f"{guidance.minimum:g} is more than the maximum {guidance.maximum:g}; "
            "lower it or raise the maximum",
        )


def half_precision_has_a_device(spec: RunSpec) -> Iterator[Problem]:
    """A CPU has no arithmetic for Float16 worth the name."""
    generator, pretraining = spec.generation.generator, spec.pretraining
    places = (
        ("spec.generation.generator", generator.precision, generator.device),
        ("spec.pretraining", pretraining.precision, pretraining.device),
    )
    for path, precision, device in places:
        if precision is Precision.FLOAT16 and device is Device.CPU:
            yield Problem(
                f"{path}.precision", "Float16 does not run on Cpu; use Float32, BFloat16 or Cuda"
            )


def scorer_has_what_it_needs(spec: RunSpec) -> Iterator[Problem]:
    """`Clip` has a model, `Custom` a function, and no scorer has what another one needs."""
    agreement = spec.generation.filters.agreement
    if agreement is None:
        return
    path = "spec.generation.filters.agreement"
    wanted = {
        Scorer.CLIP: ("source", agreement.source),
        Scorer.CUSTOM: ("function", agreement.function),
    }
    for scorer, (field, value) in wanted.items():
        chosen = agreement.scorer is scorer
        if chosen and value is None:
            yield Problem(f"{path}.{field}", f"is missing; {scorer.value} needs it")
        if not chosen and value is not None:
            yield Problem(
                f"{path}.{field}",
                f"does nothing for {agreement.scorer.value}; drop it or set scorer: {scorer.value}",
            )


def baselines_can_be_made(spec: RunSpec) -> Iterator[Problem]:
    """Each control once, and only where there is what it is made of."""
    baselines = spec.evaluation.baselines
    path = "spec.evaluation.baselines"
    for baseline, times in Counter(baselines).items():
        if times > 1:
            yield Problem(path, f"{baseline.value} stands here {times} times; name it once")
    if Baseline.CENTRALISED in baselines and spec.federation.simulation is None:
        yield Problem(
            f"{path}[{baselines.index(Baseline.CENTRALISED)}]",
            "Centralised needs all data in one place, which only spec.federation.simulation has; "
            "drop it",
        )
    public = spec.pretraining.model.public_weights
    if Baseline.PUBLIC_CHECKPOINT in baselines and public is None:
        yield Problem(
            f"{path}[{baselines.index(Baseline.PUBLIC_CHECKPOINT)}]",
            "PublicCheckpoint needs weights; set spec.pretraining.model.publicWeights or drop it",
        )


def test_data_are_nobodys(spec: RunSpec) -> Iterator[Problem]:
    """A model is not judged on what a client trained on."""
    test = spec.evaluation.dataset
    for path, dataset in _training_data(spec):
        if (dataset.uri, dataset.split) == (test.uri, test.split):
            yield Problem(
                "spec.evaluation.dataset",
                f"is the same data as {path} ({test.uri}, {test.split}), so the accuracy would "
                "mean nothing; use another split or data set",
            )


def sources_have_known_schemes(spec: RunSpec) -> Iterator[Problem]:
    """Each URI begins with something that can be opened."""
    data, weights = ("sklearn", "hf", "file", ""), ("hf", "file", "")
    prompts, generation, model = spec.prompts, spec.generation, spec.pretraining.model
    written = prompts.language_model.source if prompts.language_model else None
    scored = generation.filters.agreement.source if generation.filters.agreement else None
    sources: list[tuple[str, str | None, tuple[str, ...]]] = [
        ("spec.artifacts.uri", spec.artifacts.uri, ("s3", "file", "")),
        ("spec.prompts.languageModel.source", written, weights),
        ("spec.generation.generator.source", generation.generator.source, ("builtin", *weights)),
        ("spec.generation.filters.agreement.source", scored, weights),
        ("spec.pretraining.model.source", model.source, MODEL_SCHEMES),
        ("spec.pretraining.model.publicWeights", model.public_weights, weights),
        ("spec.evaluation.dataset.uri", spec.evaluation.dataset.uri, data),
        *((f"{path}.uri", dataset.uri, data) for path, dataset in _training_data(spec)),
    ]
    for path, source, schemes in sources:
        if source is not None and _scheme(source) not in schemes:
            known = " or ".join(f"{scheme}://…" if scheme else "a path" for scheme in schemes)
            yield Problem(path, f"{source!r} is of no known kind; use {known}")


MODEL_SCHEMES = ("builtin", "transformers", "timm", "python")

CHECKS: tuple[Check, ...] = (
    labels_differ,
    images_are_grey_or_coloured,
    templates_can_be_filled,
    attributes_have_names_of_their_own,
    guidance_is_a_range,
    half_precision_has_a_device,
    scorer_has_what_it_needs,
    clients_are_given_once,
    clients_have_names_of_their_own,
    rounds_have_enough_clients,
    strategy_has_what_it_needs,
    partitioner_has_what_it_needs,
    baselines_can_be_made,
    test_data_are_nobodys,
    sources_have_known_schemes,
    mounts_have_volumes,
    labels_leave_the_operators_alone,
    outside_clients_bring_their_data,
)


def _template(path: str, template: str, known: list[str]) -> Iterator[Problem]:
    try:
        names = [
            (name, bool(form or conversion))
            for _, name, form, conversion in Formatter().parse(template)
            if name is not None
        ]
    except ValueError:
        yield Problem(
            path, f"{template!r} has a brace without its partner; write {{{{ for a brace itself"
        )
        return
    for name, formatted in names:
        if name not in known or formatted:
            braces = " or ".join(f"{{{one}}}" for one in known)
            yield Problem(path, f"{template!r} names {{{name}}}; use {braces}")
    if "label" not in {name for name, _ in names}:
        yield Problem(path, f"{template!r} lacks {{label}}; say where the label goes")


def _training_data(spec: RunSpec) -> Iterator[tuple[str, DatasetSpec]]:
    if spec.federation.simulation is not None:
        yield "spec.federation.simulation.dataset", spec.federation.simulation.dataset
    for index, client in enumerate(spec.federation.clients or ()):
        if client.data is not None:
            yield f"spec.federation.clients[{index}].data", client.data


def _scheme(source: str) -> str:
    return urlsplit(source).scheme if "://" in source or source.startswith("file:") else ""
