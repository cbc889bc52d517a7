"""Images as tensors: what is special to pictures on their way from a file to a model.

Every image, drawn or private, comes to the shape of the task by the same two rules, so that a
classifier trained on one kind sees the other kind through the same eyes: shrinking averages over
areas (as scikit-learn's digits were made, by counting the pixels of 4 x 4 blocks), growing
interpolates linearly. The sides are scaled apart; nothing is cut off.
"""

import io
import warnings
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from gptfl.errors import DataError
from gptfl.spec.task import ImageShape

ImageSource = bytes | Image.Image | NDArray[np.uint8]


@dataclass(frozen=True)
class ImageSet:
    """Images of one shape with their labels."""

    images: torch.Tensor
    """uint8 [N, C, H, W]"""
    labels: torch.Tensor
    """int64 [N], positions in the task's labels"""

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: torch.Tensor | NDArray[np.int64]) -> "ImageSet":
        """The samples at `indices`, in that order."""
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        return ImageSet(self.images[chosen], self.labels[chosen])

    def to(self, device: torch.device) -> "ImageSet":
        """The same on another device."""
        return ImageSet(self.images.to(device), self.labels.to(device))


def as_float(images: torch.Tensor) -> torch.Tensor:
    """uint8 images as float32 in 0..1, which is what models and augmentation take."""
    return images.to(torch.float32).div_(255)


def decode_image(source: ImageSource, shape: ImageShape) -> torch.Tensor:
    """One image as uint8 [C, H, W] of `shape`.

    Takes the bytes of an image file, a Pillow image, or uint8 pixels [H, W] or [H, W, 1, 3 or 4].
    Transparent parts become white, sixteen bits become eight, a camera's rotation is applied.
    Raises DataError for what is not an image, for a damaged one, and for one of more pixels than
    Pillow takes for an attack.
    """
    pixels = torch.from_numpy(_pixels(_opened(source), shape.channels))
    return resample(pixels, shape.height, shape.width)


def resample(images: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """uint8 [..., H, W] brought to `height` x `width`: area means down, linear interpolation up."""
    rows, columns = images.shape[-2:]
    if (rows, columns) == (height, width):
        return images
    down, across = _weights(rows, height), _weights(columns, width)
    scaled = down @ images.to(torch.float32) @ across.T
    return scaled.round_().clamp_(0, 255).to(torch.uint8)


@lru_cache(maxsize=64)
def _weights(source: int, target: int) -> torch.Tensor:
    """What each of `source` pixels gives to each of `target` pixels: float32 [target, source]."""
    if target < source:
        edges = np.arange(target + 1) * (source / target)
        first, last = edges[:-1, None], edges[1:, None]
        pixel = np.arange(source)[None]
        overlap = np.minimum(last, pixel + 1) - np.maximum(first, pixel)
        weights = np.clip(overlap, 0, None)
    else:
        centres = np.clip((np.arange(target) + 0.5) * (source / target) - 0.5, 0, source - 1)
        weights = np.clip(1 - np.abs(centres[:, None] - np.arange(source)[None]), 0, None)
    return torch.from_numpy(weights / weights.sum(1, keepdims=True)).to(torch.float32)


def _opened(source: ImageSource) -> Image.Image:
    """A Pillow image whose pixels have been read."""
    if isinstance(source, np.ndarray):
        return _from_pixels(source)
    try:
        with warnings.catch_warnings():
            # Pillow only warns up to twice its limit; an image that large is refused here.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(source)) if isinstance(source, bytes) else source
            image.load()
            return ImageOps.exif_transpose(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(
            f"the image has more than {Image.MAX_IMAGE_PIXELS} pixels; make it smaller"
        ) from error
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise DataError(f"cannot be read as an image ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    """Pillow's words in one line, without the address of an object in memory."""
    text = " ".join(str(error).split())
    return "unknown format" if "cannot identify image file" in text else text


def _from_pixels(pixels: NDArray[np.uint8]) -> Image.Image:
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or channels not in (1, 3, 4):
        raise DataError(
            f"pixels of shape {list(pixels.shape)} and type {pixels.dtype} are not an image; "
            "give uint8 [H, W] or [H, W, 1, 3 or 4]"
        )
    return Image.fromarray(pixels[..., 0] if channels == 1 and pixels.ndim == 3 else pixels)


def _pixels(image: Image.Image, channels: int) -> NDArray[np.uint8]:
    """uint8 [C, H, W] of a Pillow image of any mode."""
    if image.mode in ("I", "I;16", "I;16B", "I;16L", "I;16N"):
        deep = np.asarray(image).astype(np.int64)
        image = Image.fromarray(((deep.clip(0, 65535) + 128) // 257).astype(np.uint8))
    elif image.mode == "F":
        raise DataError("holds floating-point pixels, whose range is not known; use 8 or 16 bits")
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    flat = np.array(image.convert("L" if channels == 1 else "RGB"), dtype=np.uint8)
    return flat[None] if channels == 1 else np.ascontiguousarray(flat.transpose(2, 0, 1))
