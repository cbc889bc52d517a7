"""A model and a strategy of one's own, found by `module:function` because they lie here."""

from flwr.serverapp.strategy import FedAvgM, Strategy
from torch import nn

from gptfl.spec.federation import StrategySpec
from gptfl.spec.task import ImageShape


def small_perceptron(shape: ImageShape, classes: int) -> nn.Module:
    """Takes float images [N, C, H, W] in 0..1, gives logits [N, classes]."""
    pixels = shape.channels * shape.height * shape.width
    return nn.Sequential(nn.Flatten(), nn.Linear(pixels, 64), nn.ReLU(), nn.Linear(64, classes))


def cautious_average(spec: StrategySpec) -> Strategy:
    """Any Flower strategy; clients are selected by gptfl, so it trains on all that it is shown."""
    return FedAvgM(
        fraction_train=1.0,
        fraction_evaluate=0.0,
        min_train_nodes=1,
        min_available_nodes=1,
        server_learning_rate=0.7,
        server_momentum=spec.server_momentum,
    )
