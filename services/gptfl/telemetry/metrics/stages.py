"""What the numbers are called that a stage gives with its progress."""

from collections.abc import Mapping

from prometheus_client import Counter, Gauge

from gptfl.telemetry.metrics.base import Metric

REFUSALS = (
    "NoReply",
    "Straggler",
    "Disconnected",
    "Error",
    "TooLarge",
    "Malformed",
    "Names",
    "Shape",
    "Dtype",
    "NotFinite",
    "Examples",
)
"""Why a client's reply is not used; `gptfl.federation.results.Refusal` says what each means."""
FILTERS = ("blank", "duplicate", "disagreement")
"""What drops an image."""

_BY_STEP = ("run", "step")

STAGE_METRICS: Mapping[tuple[str, str], Metric] = {
    ("generation", "images_per_second"): Metric(
        "gptfl_generation_images_per_second", Gauge, _BY_STEP, "Images drawn in a second."
    ),
    ("generation", "kept"): Metric(
        "gptfl_generation_kept_images", Gauge, _BY_STEP, "Images that passed the filters."
    ),
    ("generation", "dropped"): Metric(
        "gptfl_generation_dropped_images",
        Gauge,
        (*_BY_STEP, "filter"),
        "Images that a filter dropped; an image counts for the first that drops it.",
        values=FILTERS,
    ),
    ("pretraining", "accuracy"): Metric(
        "gptfl_pretraining_accuracy",
        Gauge,
        _BY_STEP,
        "Accuracy on the synthetic data in the last epoch, 0 to 1.",
    ),
    ("pretraining", "loss"): Metric(
        "gptfl_pretraining_loss", Gauge, _BY_STEP, "Mean loss of the last epoch."
    ),
    ("federation", "accuracy"): Metric(
        "gptfl_federation_accuracy",
        Gauge,
        _BY_STEP,
        "Accuracy of the global model on the test data after the last round, 0 to 1.",
    ),
    ("federation", "loss"): Metric(
        "gptfl_federation_loss",
        Gauge,
        _BY_STEP,
        "Loss of the global model on the test data after the last round.",
    ),
    ("federation", "train_loss"): Metric(
        "gptfl_federation_train_loss", Gauge, _BY_STEP, "Mean loss of the last round's clients."
    ),
    ("federation", "gradient_diversity"): Metric(
        "gptfl_federation_gradient_diversity",
        Gauge,
        _BY_STEP,
        "Gradient diversity of the last round (Yin et al. 2018, arXiv 1706.05699).",
    ),
    ("federation", "selected"): Metric(
        "gptfl_federation_clients_selected_total", Counter, _BY_STEP, "Clients that were asked."
    ),
    ("federation", "replied"): Metric(
        "gptfl_federation_clients_replied_total", Counter, _BY_STEP, "Replies that were used."
    ),
    ("federation", "refused"): Metric(
        "gptfl_federation_clients_refused_total",
        Counter,
        (*_BY_STEP, "reason"),
        "Replies that were not used, with the reason that the history has too.",
        values=REFUSALS,
    ),
    ("federation", "bytes_sent"): Metric(
        "gptfl_federation_sent_bytes_total", Counter, _BY_STEP, "Payload sent to clients."
    ),
    ("federation", "bytes_received"): Metric(
        "gptfl_federation_received_bytes_total", Counter, _BY_STEP, "Payload received from clients."
    ),
}
"""By stage and the number's name. A number `refused/NotFinite` is the metric of `refused`, with
what stands behind the stroke as its last label."""


def metric_of(stage: str, number: str) -> tuple[Metric, tuple[str, ...]] | None:
    """The metric that a stage's number goes to, and its labels behind run and step.

    None for one that is not shown: a sum whose parts are, or one that only the record keeps.
    """
    name, _, detail = number.partition("/")
    metric = STAGE_METRICS.get((stage, name))
    if metric is None or (len(metric.labels) > len(_BY_STEP)) != bool(detail):
        return None
    return metric, (detail,) if detail else ()
