"""Where tensors live, in which type, and what makes sums come out the same each time."""

import contextlib
from contextlib import AbstractContextManager

import torch

from gptfl.errors import SpecError
from gptfl.spec.generation import Device, Precision

DTYPES = {
    Precision.FLOAT32: torch.float32,
    Precision.FLOAT16: torch.float16,
    Precision.BFLOAT16: torch.bfloat16,
}


def torch_device(device: Device, field: str) -> torch.device:
    """The device that is meant; `field` is the path in the spec, for the error.

    Raises SpecError when an accelerator is asked for and there is none.
    """
    if device is Device.CPU:
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")
    if device is Device.CUDA:
        raise SpecError.of(field, "is Cuda, and no CUDA device is visible; use Auto or Cpu")
    return torch.device("cpu")


def compute_alike(threads: int) -> None:
    """For this process: `threads` threads an operation, and the same bits from each repetition."""
    torch.set_num_threads(threads)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Computes in `precision` where that is safe; weights stay float32."""
    if precision is Precision.FLOAT32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, DTYPES[precision])
