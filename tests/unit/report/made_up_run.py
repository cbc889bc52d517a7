"""A run whose artifacts are written by hand, in a real store, with numbers that a test can know."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw
from pydantic import BaseModel

from gptfl.evaluation.results import REPORT_NAME, EvaluationReport, GateResult, ModelScores
from gptfl.federation.results import (
    HISTORY,
    ClientSummary,
    FederationHistory,
    Refusal,
    RoundRecord,
)
from gptfl.generation.results import GenerationReport
from gptfl.pretraining.results import HISTORY_NAME, EpochRecord, PretrainingHistory
from gptfl.prompts.results import LabelPrompts, PromptSet
from gptfl.spec.base import canonical
from gptfl.spec.evaluation import GateMetric
from gptfl.spec.run import GPTFLRun
from gptfl.stages import Step, plan
from gptfl.store import Artifact, Store, Workspace, open_store, stage_key

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NOW = datetime(2026, 11, 24, 7, 30, tzinfo=UTC)
FINAL = {
    "gpt-fl": 0.964,
    "synthetic-only": 0.822,
    "from-scratch": 0.366,
    "public-checkpoint": 0.91,
    "centralised": 0.976,
}
SECONDS = {"prompts": 0.02, "generation": 62.4, "pretraining": 11.8, "federation": 3.1}


@dataclass
class MadeUpRun:
    """What the run is made of; tests change what they are about."""

    labels: Sequence[str] = DIGITS
    clients: int = 10
    rounds: int = 30
    per_round: int = 3
    samples: int = 200
    side: int = 32
    baselines: Sequence[str] = ("FromScratch", "SyntheticOnly", "Centralised")
    gate: float = 0.9
    final: dict[str, float] = field(default_factory=lambda: dict(FINAL))
    dropped: dict[str, list[int]] | None = None
    refused: dict[int, dict[Refusal, int]] = field(default_factory=dict)
    prompt: str = "a thin slanted handwritten digit {label}"
    name: str = "digits"

    def run(self) -> GPTFLRun:
        data = {"uri": "sklearn://digits"}
        return GPTFLRun.model_validate(
            {
                "metadata": {"name": self.name},
                "spec": {
                    "task": {
                        "labels": list(self.labels),
                        "image": {"channels": 1, "height": 16, "width": 16},
                    },
                    "generation": {"samplesPerLabel": self.samples},
                    "federation": {
                        "rounds": self.rounds,
                        "clientsPerRound": self.per_round,
                        "simulation": {"dataset": data, "clients": self.clients},
                    },
                    "evaluation": {
                        "dataset": data,
                        "baselines": list(self.baselines),
                        "gate": {"minimum": self.gate},
                    },
                },
            }
        )

    def make(
        self, folder: Path, *, until: str | None = None
    ) -> tuple[GPTFLRun, dict[str, Artifact]]:
        """The run and its artifacts, up to but without the step `until`."""
        run, store, made = self.run(), open_store(None, folder=folder), dict[str, Artifact]()
        for step in plan(run):
            if step.name == until:
                break
            made[step.name] = self._commit(store, step, {name: made[name] for name in step.inputs})
        return run, made

    def _commit(self, store: Store, step: Step, inputs: dict[str, Artifact]) -> Artifact:
        digests = {name: artifact.digest for name, artifact in inputs.items()}
        key = stage_key(step.stage, step.version, step.section, digests, {})
        workspace = Workspace(store.blobs, step.stage, key, seed=0, folder=Path())
        for name, value in self._files(step).items():
            if isinstance(value, BaseModel):
                workspace.write_model(name, value)
            else:
                workspace.write(name, value)
        seconds = SECONDS.get(step.name, 2.5)
        workspace.device_seconds = seconds * 1.9
        if step.stage == "federation":
            workspace.bytes_sent = workspace.bytes_received = 90 * 372_000
        return store.commit(
            workspace,
            stage=step.stage,
            version=step.version,
            key=key,
            section=canonical(step.section),
            inputs=inputs,
            metrics={},
            seconds=seconds,
            software={"gptfl": "0.1.0", "torch": "2.14.0"},
            now=NOW,
        )

    def _files(self, step: Step) -> dict[str, BaseModel | bytes]:
        match step.stage:
            case "prompts":
                prompts = [
                    LabelPrompts(label=name, prompts=[self._prompt(name)]) for name in self.labels
                ]
                return {"prompts.json": PromptSet(prompts=prompts)}
            case "generation":
                return {
                    "generation.json": self.generation(),
                    "samples-00000.parquet": self.images(),
                }
            case "pretraining":
                epochs = [EpochRecord(epoch=1, loss=0.4, accuracy=0.88)]
                history = PretrainingHistory(
                    labels=list(self.labels), samples=sum(self.generation().kept),
                    parameters=93_322, epochs=epochs,
                )  # fmt: skip
                return {HISTORY_NAME: history, "model.safetensors": b"weights"}
            case "federation":
                return {HISTORY: self.history(step.name), "model.safetensors": b"weights"}
            case "evaluation":
                return {REPORT_NAME: self.evaluation()}
        return {"config.json": b"{}", "model.safetensors": b"weights"}

    def _prompt(self, label: str) -> str:
        return self.prompt.replace("{label}", label)

    def generation(self) -> GenerationReport:
        count = len(self.labels)
        dropped = self.dropped or {"blank": [0] * count, "duplicate": [3] * count}
        lost = [sum(column) for column in zip(*dropped.values(), strict=True)]
        return GenerationReport(
            labels=list(self.labels), pipeline="StableDiffusionPipeline", width=self.side,
            height=self.side, mode="L", drawn=[self.samples + n for n in lost],
            kept=[self.samples] * count, surplus=[0] * count, dropped=dropped, rounds=2,
        )  # fmt: skip

    def images(self) -> bytes:
        rng = np.random.default_rng(0)
        rows = []
        for label, name in enumerate(self.labels):
            for item in range(min(self.samples, 12)):
                rows.append(
                    {
                        "image": {"bytes": self._image(name, rng), "path": None},
                        "label": label,
                        "prompt": self._prompt(name),
                        "guidance": float(rng.uniform(1, 5)),
                        "seed": item,
                        "item": item,
                    }
                )
        buffer = io.BytesIO()
        image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        table = pa.Table.from_pylist(rows).set_column(
            0, "image", pa.array([row["image"] for row in rows], image)
        )
        pq.write_table(table, buffer, row_group_size=64)
        return buffer.getvalue()

    def _image(self, name: str, rng: np.random.Generator) -> bytes:
        image = Image.new("L", (self.side, self.side))
        draw = ImageDraw.Draw(image)
        a, b = rng.integers(2, self.side - 2, size=(2, 2)).tolist()
        draw.line([*a, *b], fill=255, width=max(2, self.side // 12))
        draw.text((self.side // 3, self.side // 4), name[:1], fill=200)
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        return buffer.getvalue()

    def history(self, step: str) -> FederationHistory:
        arm = step.partition("/")[2] or "gpt-fl"
        start = self.final["synthetic-only"] if arm == "gpt-fl" else 1 / len(self.labels)
        rng = np.random.default_rng(1)
        names = ["pooled"] if arm == "centralised" else self.client_names()
        counts = self.label_counts(len(names))
        clients = [
            ClientSummary(name=name, samples=sum(row), label_counts=row)
            for name, row in zip(names, counts, strict=True)
        ]
        end = self.final[arm]
        rounds = []
        for number in range(self.rounds + 1):
            share = 1 - np.exp(-5 * number / self.rounds)
            noise = rng.normal(0, 0.012) * (0 < number < self.rounds)
            accuracy = end if number == self.rounds else start + (end - start) * share + noise
            chosen = (
                sorted(rng.permutation(len(names))[: self.per_round].tolist()) if number else []
            )
            refused = self.refused.get(number, {}) if arm == "gpt-fl" else {}
            rounds.append(
                RoundRecord(
                    round=number,
                    selected=[names[i] for i in chosen],
                    replied=len(chosen) - sum(refused.values()),
                    refused=refused,
                    aggregated=number > 0,
                    accuracy=float(np.clip(accuracy, 0, 1)),
                    loss=0.5,
                    gradient_diversity=float(
                        (1.1 if arm == "gpt-fl" else 1.6) + rng.normal(0, 0.08)
                    )
                    if number and arm != "centralised"
                    else None,
                )
            )
        return FederationHistory(clients=clients, rounds=rounds)

    def client_names(self) -> list[str]:
        return [f"client-{index:0{len(str(self.clients - 1))}}" for index in range(self.clients)]

    def label_counts(self, clients: int) -> list[list[int]]:
        rng = np.random.default_rng(2)
        shares = rng.dirichlet([0.1 if clients > 1 else 100] * len(self.labels), size=clients)
        return rng.poisson(shares * 1437 / clients).tolist()

    def evaluation(self) -> EvaluationReport:
        names = ["gpt-fl", *(_model_name(baseline) for baseline in self.baselines)]
        models = [
            ModelScores(
                name=name, accuracy=self.final[name], balanced_accuracy=self.final[name] - 0.001,
                macro_f1=self.final[name] - 0.002, loss=0.18,
                confusion=self.confusion(self.final[name]),
            )
            for name in names
        ]  # fmt: skip
        value = self.final["gpt-fl"]
        return EvaluationReport(
            labels=list(self.labels), samples=360, absent_labels=[], models=models,
            gate=GateResult(
                metric=GateMetric.ACCURACY, minimum=self.gate, value=value,
                passed=value >= self.gate,
            ),
        )  # fmt: skip

    def confusion(self, accuracy: float) -> list[list[int]]:
        rng = np.random.default_rng(3)
        matrix = []
        for label in range(len(self.labels)):
            right = round(36 * accuracy)
            row = [0] * len(self.labels)
            for _ in range(36 - right):
                row[int(rng.integers(len(self.labels)))] += 1
            row[label] += right
            matrix.append(row)
        return matrix


def _model_name(baseline: str) -> str:
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in baseline).lstrip("-")
