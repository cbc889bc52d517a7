"""The stage `generation`: from prompts to a filtered set of images, as many of each label."""

from collections.abc import Callable, Iterator, Mapping
from itertools import compress, islice

import torch

from gptfl.generation.agreement import AgreementScorer, make_scorer
from gptfl.generation.filters import FILTERS, Sieve, looks_of
from gptfl.generation.items import Shard, catalogue_of
from gptfl.generation.ledger import Ledger
from gptfl.generation.pipeline import PipelineKind, find_source, kind_of
from gptfl.generation.rawshards import Hands, RawShards, ShardFiles
from gptfl.generation.results import GenerationReport
from gptfl.generation.samples import Sample, to_parquet
from gptfl.generation.workers import open_studio
from gptfl.prompts.results import PromptSet
from gptfl.spec.sections import GenerationSection
from gptfl.store import Artifact, Workspace

OpenHands = Callable[[GenerationSection, PromptSet, Workspace], Hands]
"""Makes ready who draws."""


def with_threads(section: GenerationSection, prompts: PromptSet, workspace: Workspace) -> Hands:
    """Threads of this process, which loads the generator."""
    return open_studio(section.generation, workspace.folder, section.compute_threads)


def run(
    section: GenerationSection,
    inputs: Mapping[str, Artifact],
    workspace: Workspace,
    *,
    open_hands: OpenHands = with_threads,
) -> dict[str, float]:
    """Draws, filters and refills; writes `samples-*.parquet` and `generation.json`.

    Images stand in the order in which they were asked for: the first pass label by label, then
    each refill. Each shard is a checkpoint as soon as it is drawn. Raises StageError when a label
    stays short, and before anything is drawn SpecError or ModelError for what cannot be loaded.
    """
    spec = section.generation
    torch.set_num_threads(section.compute_threads)
    prompts = inputs["prompts"].read_model("prompts.json", PromptSet)
    scorer = _scorer(section, workspace)
    kind = kind_of(spec.generator, find_source(spec.generator, workspace.folder))
    catalogue = catalogue_of(section, prompts, even=kind.family.guidance_by_image)
    ledger = Ledger(section.labels, spec.samples_per_label, spec.filters)
    sieve = Sieve(spec.filters)
    hands = open_hands(section, prompts, workspace)
    raw = RawShards(ShardFiles(workspace, section.labels), hands)
    shards: list[Shard] = []
    belongs: list[bool] = []
    rounds = 0
    while wanted := ledger.wanted():
        fresh = catalogue.shards(rounds, wanted, spec.shard_size)
        raw.draw(fresh)
        belongs += _judge(raw.collect(fresh), sieve, scorer, ledger)
        shards += fresh
        rounds += 1
    first = _write(workspace, compress(raw.samples(shards), belongs), section)
    report = _report(section, kind, ledger, first, rounds)
    workspace.write_model("generation.json", report)
    return _metrics(report) | raw.metrics()


def _scorer(section: GenerationSection, workspace: Workspace) -> AgreementScorer | None:
    agreement = section.generation.filters.agreement
    if agreement is None:
        return None
    return make_scorer(
        agreement,
        section.labels,
        seed=workspace.derive_seed("generation"),
        folder=workspace.folder,
        device=section.generation.generator.device,
    )


def _judge(
    shards: Iterator[list[Sample]], sieve: Sieve, scorer: AgreementScorer | None, ledger: Ledger
) -> list[bool]:
    """For each image of a round, whether it belongs to the data set."""
    looks = []
    for samples in shards:
        looks += [looks_of(sample) for sample in samples]
        if scorer is not None:
            scorer.look(samples)
    scores = scorer.scores() if scorer is not None else None
    verdicts = sieve.judge(looks, scores)
    return [ledger.add(one.label, verdict) for one, verdict in zip(looks, verdicts, strict=True)]


def _write(workspace: Workspace, samples: Iterator[Sample], section: GenerationSection) -> Sample:
    """Writes the data set, a file for each `shardSize` images; returns its first image."""
    first: Sample | None = None
    files = 0
    while rows := list(islice(samples, section.generation.shard_size)):
        workspace.write(f"samples-{files:05d}.parquet", to_parquet(rows, section.labels))
        first = first or rows[0]
        files += 1
    assert first is not None, "a ledger is content only when there are images"
    return first


def _report(
    section: GenerationSection, kind: PipelineKind, ledger: Ledger, first: Sample, rounds: int
) -> GenerationReport:
    image = first.image()
    wanted = section.generation.samples_per_label
    kept = ledger.by_label(ledger.kept)
    return GenerationReport(
        labels=section.labels,
        pipeline=kind.name,
        width=image.width,
        height=image.height,
        mode=image.mode,
        drawn=ledger.by_label(ledger.drawn),
        kept=[min(count, wanted) for count in kept],
        surplus=[max(count - wanted, 0) for count in kept],
        dropped={
            verdict: [ledger.dropped[verdict, label] for label in range(len(section.labels))]
            for verdict in FILTERS
        },
        rounds=rounds,
    )


def _metrics(report: GenerationReport) -> dict[str, float]:
    metrics = {
        "drawn": sum(report.drawn),
        "kept": sum(report.kept),
        "dropped": sum(map(sum, report.dropped.values())),
        "rounds": report.rounds,
    }
    by_filter = {f"dropped/{name}": sum(counts) for name, counts in report.dropped.items()}
    return {name: float(value) for name, value in (metrics | by_filter).items()}
