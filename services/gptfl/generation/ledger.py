"""Counts what was drawn of each label and says what to draw next, or that it is hopeless."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil

from gptfl.errors import StageError
from gptfl.generation.filters import FILTERS, Verdict
from gptfl.spec.generation import FiltersSpec

REMEDIES = {
    Verdict.BLANK: "look at the prompts, lower filters.blank.minimumContrast",
    Verdict.DUPLICATE: "use more prompts, lower filters.duplicates.maximumDistance",
    Verdict.DISAGREEMENT: "look at the prompts, lower filters.agreement.minimumScore",
}


@dataclass
class Ledger:
    """The verdicts so far, by label."""

    labels: Sequence[str]
    per_label: int
    """Images wanted of each label."""
    filters: FiltersSpec
    drawn: Counter[int] = field(default_factory=Counter)
    kept: Counter[int] = field(default_factory=Counter)
    dropped: Counter[tuple[Verdict, int]] = field(default_factory=Counter)

    def add(self, label: int, verdict: Verdict) -> bool:
        """Counts an image; True when it belongs to the data set and is not one too many."""
        self.drawn[label] += 1
        if verdict is not Verdict.KEPT:
            self.dropped[verdict, label] += 1
            return False
        self.kept[label] += 1
        return self.kept[label] <= self.per_label

    def wanted(self) -> Mapping[int, range]:
        """Which images to draw next, by label: empty when every label is full.

        As many as are missing, and more by the part that was dropped so far. Raises StageError
        when a label has used up its draws.
        """
        most = int(self.per_label * self.filters.maximum_draws)
        wanted = {}
        for label in range(len(self.labels)):
            missing = self.per_label - self.kept[label]
            if missing <= 0:
                continue
            drawn = self.drawn[label]
            if drawn >= most:
                raise self._hopeless(label)
            more = ceil(missing * drawn / max(self.kept[label], 1)) if drawn else missing
            wanted[label] = range(drawn, min(drawn + min(more, self.per_label), most))
        return wanted

    def by_label(self, counts: Mapping[int, int]) -> list[int]:
        """A list in the order of the labels."""
        return [counts[label] for label in range(len(self.labels))]

    def _hopeless(self, label: int) -> StageError:
        dropped = {verdict: self.dropped[verdict, label] for verdict in FILTERS}
        worst = max(FILTERS, key=lambda verdict: dropped[verdict])
        counts = ", ".join(f"{count} {verdict}" for verdict, count in dropped.items() if count)
        return StageError(
            f"spec.generation: {self.labels[label]!r} has {self.kept[label]} good images of the "
            f"{self.per_label} wanted after {self.drawn[label]} draws (dropped: {counts}); "
            f"{REMEDIES[worst]} or raise filters.maximumDraws"
        )
