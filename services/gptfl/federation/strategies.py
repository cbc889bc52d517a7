"""From the spec to a Flower strategy: its own, with means that fold replies in as they come."""

import importlib
from collections.abc import Callable, Iterable
from typing import Any, cast

import numpy as np
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import (
    FedAdam,
    FedAvg,
    FedAvgM,
    FedMedian,
    FedProx,
    FedTrimmedAvg,
    FedYogi,
    Krum,
    Strategy,
)
from numpy.typing import NDArray

from gptfl.errors import SpecError
from gptfl.federation.arrays import as_dtype, decode, encode
from gptfl.federation.flower import leave_log_to_logging
from gptfl.spec.federation import StrategyName, StrategySpec, Weighting


class StreamingFedAvg(FedAvg):
    """FedAvg (McMahan et al., arXiv 1602.05629) that holds one sum instead of all replies.

    Sums are kept in float64, so a thousand clients cost no precision, and a mean goes back to the
    type that was sent: integer buffers, such as a batch counter, stay integers. Strategies that
    work on the mean of the replies inherit this by `class X(FedAdam, StreamingFedAvg)`.
    """

    weighting = Weighting.EXAMPLES

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """The weighted mean of the replies, each dropped once it is added; None for no reply."""
        mean = _WeightedMean()
        metrics = []
        for reply in replies:
            record = next(iter(reply.content.metric_records.values()))
            mean.add(decode(next(iter(reply.content.array_records.values()))), self._weight(record))
            metrics.append(RecordDict({"metrics": record}))
        if not metrics:
            return None, None
        return mean.record(), self.train_metrics_aggr_fn(metrics, self.weighted_by_key)

    def _weight(self, metrics: MetricRecord) -> float:
        if self.weighting is Weighting.UNIFORM:
            return 1.0
        return float(cast("float", metrics[self.weighted_by_key]))


class _WeightedMean:
    """A running weighted mean of named arrays."""

    def __init__(self) -> None:
        self._sums: dict[str, NDArray[np.float64]] = {}
        self._dtypes: dict[str, np.dtype[np.generic]] = {}
        self._weight = 0.0

    def add(self, weights: dict[str, NDArray[Any]], weight: float) -> None:
        self._weight += weight
        for name, values in weights.items():
            term = np.multiply(values, weight, dtype=np.float64)
            if name in self._sums:
                self._sums[name] += term
            else:
                self._sums[name], self._dtypes[name] = term, values.dtype

    def record(self) -> ArrayRecord:
        return encode(
            {
                name: as_dtype(np.asarray(total / self._weight), self._dtypes[name])
                for name, total in self._sums.items()
            }
        )


class StreamingFedProx(FedProx, StreamingFedAvg):
    """FedProx (arXiv 1812.06127); its proximal term is the clients' part."""


class StreamingFedAvgM(FedAvgM, StreamingFedAvg):
    """FedAvg with momentum at the server (arXiv 1909.06335)."""


class StreamingFedAdam(FedAdam, StreamingFedAvg):
    """Adam at the server (arXiv 2003.00295)."""


class StreamingFedYogi(FedYogi, StreamingFedAvg):
    """Yogi at the server (arXiv 2003.00295)."""


_EVERYONE = {"fraction_train": 1.0, "min_train_nodes": 1, "min_available_nodes": 1}
"""A strategy is shown only the clients of its round, and trains on all of them."""

_FIELD = "spec.federation.strategy.function"


def make_strategy(spec: StrategySpec) -> Strategy:
    """A new strategy with no history. Raises SpecError for a custom one that cannot be had."""
    leave_log_to_logging()
    if spec.name is StrategyName.CUSTOM:
        return _custom(spec)
    rate = spec.server_learning_rate
    eta = {} if rate is None else {"eta": rate}
    moments = eta | {"beta_1": spec.beta1, "beta_2": spec.beta2, "tau": spec.tau}
    momentum = {"server_momentum": spec.server_momentum}
    if rate is not None:
        momentum |= {"server_learning_rate": rate}
    kinds: dict[StrategyName, tuple[Callable[..., FedAvg], dict[str, Any]]] = {
        StrategyName.FED_AVG: (StreamingFedAvg, {}),
        StrategyName.FED_PROX: (StreamingFedProx, {"proximal_mu": spec.proximal_mu}),
        StrategyName.FED_AVG_M: (StreamingFedAvgM, momentum),
        StrategyName.FED_ADAM: (StreamingFedAdam, moments),
        StrategyName.FED_YOGI: (StreamingFedYogi, moments),
        StrategyName.FED_MEDIAN: (FedMedian, {}),
        StrategyName.FED_TRIMMED_AVG: (FedTrimmedAvg, {"beta": spec.trim_fraction}),
        StrategyName.KRUM: (Krum, {"num_malicious_nodes": spec.malicious_clients}),
    }
    kind, options = kinds[spec.name]
    strategy = kind(**_EVERYONE, **options)
    if isinstance(strategy, StreamingFedAvg):
        strategy.weighting = spec.weighting
    return strategy


def _custom(spec: StrategySpec) -> Strategy:
    """The user's own, from `module:function`."""
    if spec.function is None:
        raise SpecError.of(_FIELD, "is not set; Custom needs it: 'module:function'")
    module, name = spec.function.split(":")
    try:
        make = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise SpecError.of(
            _FIELD,
            f"{spec.function!r} cannot be imported ({error}); "
            "put the module beside the run's file or install it",
        ) from error
    except AttributeError as error:
        raise SpecError.of(_FIELD, f"module {module!r} has no function {name!r}") from error
    try:
        strategy = make(spec)
    except Exception as error:
        raise SpecError.of(
            _FIELD, f"{spec.function!r} raised {type(error).__name__}: {error}"
        ) from error
    if not isinstance(strategy, Strategy):
        raise SpecError.of(
            _FIELD,
            f"{spec.function!r} returned a {type(strategy).__name__}; "
            "it must return a flwr.serverapp.strategy.Strategy",
        )
    return strategy
