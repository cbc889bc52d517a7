"""How the synthetic data set is drawn: the generator, how much of it, and what is thrown away."""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from gptfl.spec.base import NOT_IN_KEY, SpecModel, cel
from gptfl.spec.pods import PodTemplate


class Precision(StrEnum):
    """The floating-point type of weights and activations."""

    FLOAT32 = "Float32"
    FLOAT16 = "Float16"
    BFLOAT16 = "BFloat16"


class Device(StrEnum):
    """Where tensors live; `Auto` is the first accelerator, or else the CPU."""

    AUTO = "Auto"
    CPU = "Cpu"
    CUDA = "Cuda"


class Compilation(StrEnum):
    """Whether a model goes through `torch.compile` first."""

    NEVER = "Never"
    ALWAYS = "Always"


class Scheduler(StrEnum):
    """The sampler of a diffusion model; `Default` is the one its weights came with."""

    DEFAULT = "Default"
    DPM_SOLVER_MULTISTEP = "DpmSolverMultistep"
    DDIM = "Ddim"
    EULER = "Euler"
    EULER_ANCESTRAL = "EulerAncestral"
    UNI_PC = "UniPc"


class GeneratorSpec(SpecModel):
    """A text-to-image pipeline of diffusers and how it runs."""

    source: Annotated[str, StringConstraints(min_length=1)] = "builtin://glyphs"
    """Where the weights are: `builtin://glyphs`, `hf://OWNER/NAME`, `file://FOLDER` or a URI of
    the artifact store."""
    revision: str | None = None
    """The hub's branch, tag or commit."""
    variant: str | None = None
    """The weight files' variant, such as `fp16`."""
    scheduler: Scheduler = Scheduler.DEFAULT
    """The sampler."""
    precision: Precision = Precision.FLOAT32
    """The floating-point type; 16 bits need an accelerator to be fast."""
    compilation: Compilation = Compilation.NEVER
    """`Always` compiles the denoiser: slower to start, faster a batch."""
    device: Device = Device.AUTO
    """Where it runs."""


class Range(SpecModel):
    """Numbers from `minimum` to `maximum`, drawn evenly."""

    model_config = ConfigDict(
        json_schema_extra=cel(("self.minimum <= self.maximum", "minimum is more than maximum"))
    )

    minimum: Annotated[float, Field(ge=0, le=100)] = 1.0
    """The least."""
    maximum: Annotated[float, Field(ge=0, le=100)] = 5.0
    """The most."""


class BlankFilter(SpecModel):
    """Drops images on which there is next to nothing."""

    minimum_contrast: Annotated[float, Field(ge=0, le=1)] = 0.05
    """The least standard deviation of the pixels, where black is 0 and white is 1."""


class DuplicateFilter(SpecModel):
    """Drops images that look like an earlier one of the same label."""

    maximum_distance: Annotated[int, Field(ge=0, le=32)] = 0
    """Images whose 64-bit perceptual hashes differ in at most this many bits are the same."""


class Scorer(StrEnum):
    """Who says whether an image shows its label."""

    CROSS_FIT = "CrossFit"
    CLIP = "Clip"
    CUSTOM = "Custom"


class AgreementFilter(SpecModel):
    """Drops images that a scorer does not take for their label."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            ("self.scorer != 'Clip' || has(self.source)", "Clip needs source"),
            ("self.scorer != 'Custom' || has(self.function)", "Custom needs function"),
        )
    )

    scorer: Scorer = Scorer.CROSS_FIT
    """`CrossFit` trains small classifiers on parts of the set and asks each about the other parts;
    `Clip` asks a zero-shot model of transformers; `Custom` calls `function`."""
    minimum_score: Annotated[float, Field(ge=0, le=1)] = 0.1
    """The least probability of the label."""
    source: str | None = None
    """The zero-shot model for `Clip`: `hf://OWNER/NAME` or `file://FOLDER`."""
    function: Annotated[str, StringConstraints(pattern=r"^[\w.]+:\w+$")] | None = None
    """`module:function` for `Custom`: (images, label indices, labels) to probabilities."""


class FiltersSpec(SpecModel):
    """What is thrown away, counted, and drawn again."""

    blank: BlankFilter | None = BlankFilter()
    """Nothing on the image."""
    duplicates: DuplicateFilter | None = DuplicateFilter()
    """Seen before."""
    agreement: AgreementFilter | None = None
    """Not what the prompt asked for."""
    maximum_draws: Annotated[float, Field(ge=1, le=100)] = 3.0
    """A label is drawn again until it is full, up to this many times `samplesPerLabel`."""


class GenerationSpec(SpecModel):
    """The synthetic data set."""

    generator: GeneratorSpec = GeneratorSpec()
    """What draws."""
    samples_per_label: Annotated[int, Field(ge=1, le=1_000_000)] = 200
    """Images kept of each label."""
    guidance: Range = Range()
    """Classifier-free guidance, drawn for each image from this range, as the paper does."""
    steps: Annotated[int, Field(ge=1, le=1000)] = 25
    """Denoising steps."""
    height: Annotated[int, Field(ge=8, le=4096)] | None = None
    """Rows of pixels drawn; the generator's own when unset."""
    width: Annotated[int, Field(ge=8, le=4096)] | None = None
    """Columns of pixels drawn; the generator's own when unset."""
    negative_prompt: str | None = None
    """What an image must not show."""
    batch_size: Annotated[int, Field(ge=1, le=4096)] = 16
    """Images drawn at once; halved when memory runs out."""
    shard_size: Annotated[int, Field(ge=1, le=100_000)] = 256
    """Images in one unit of work, which is what a killed worker loses at most."""
    filters: FiltersSpec = FiltersSpec()
    """What is thrown away."""
    workers: Annotated[int, Field(ge=0, le=1024), NOT_IN_KEY] = 0
    """Shards drawn at the same time; 0 is one for each accelerator or core."""
    template: Annotated[PodTemplate | None, NOT_IN_KEY] = None
    """The pod that hands out shards and filters what comes back."""
    worker_template: Annotated[PodTemplate | None, NOT_IN_KEY] = None
    """The pods that draw: `workers` of them, or one."""
