"""What the stage `generation` leaves beside the images: how many were drawn, kept and dropped."""

from gptfl.spec.base import SpecModel


class GenerationReport(SpecModel):
    """`generation.json`: every list has an entry for each label, in the order of `labels`."""

    labels: list[str]
    pipeline: str
    """The class of the diffusers pipeline that drew."""
    width: int
    height: int
    mode: str
    """Pillow's name for the kind of pixels: `L` is grey, `RGB` is colour."""
    drawn: list[int]
    """Images drawn."""
    kept: list[int]
    """Images in the data set."""
    surplus: list[int]
    """Good images that came in the last refill and were one too many."""
    dropped: dict[str, list[int]]
    """By filter (`blank`, `duplicate`, `disagreement`): images it threw away. An image counts for
    the first filter that drops it."""
    rounds: int
    """Times that something was drawn: the first pass and each refill."""
