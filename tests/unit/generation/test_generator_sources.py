"""A generator is found, checked and loaded, or one line says why not."""

import hashlib
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import diffusers
import huggingface_hub
import pytest
import torch
from tiny_pipelines import stable_diffusion, stable_diffusion_3, stable_diffusion_xl

from gptfl.errors import DamagedArtifactError, ModelError, SpecError
from gptfl.generation import pipeline as pipelines
from gptfl.generation.families import family_of
from gptfl.generation.pipeline import drawing_devices, find_source, kind_of, load_pipeline
from gptfl.spec.generation import GeneratorSpec
from gptfl.store.record import FileEntry, Record

CPU = torch.device("cpu")


def spec(source: Path | str, **changes: Any) -> GeneratorSpec:
    uri = source.as_uri() if isinstance(source, Path) else source
    return GeneratorSpec.model_validate({"source": uri, "device": "Cpu"} | changes)


def load(one: GeneratorSpec, folder: Path) -> Any:
    return load_pipeline(one, find_source(one, folder), CPU)


@pytest.fixture
def copy(generator: Path, tmp_path: Path) -> Path:
    """A generator's folder to damage."""
    return Path(shutil.copytree(generator, tmp_path / "copy"))


def test_a_folder_is_loaded_by_uri_and_by_relative_path(copy: Path) -> None:
    for one in (spec(copy), spec("./copy")):
        assert type(load(one, copy.parent)).__name__ == "StableDiffusionPipeline"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("ftp://x/y", "'ftp://x/y' is of no known kind; use hf://OWNER/NAME or file://PATH"),
        ("./nothing", "nothing is not a folder"),
        ("./empty", "empty has no model_index.json"),
        ("builtin://nothing", "is not built in; use builtin://glyphs"),
    ],
)
def test_a_source_that_cannot_be_is_told(source: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SpecError, match=r"^spec\.generation\.generator\.source: ") as caught:
        find_source(spec(source), tmp_path)
    assert said in str(caught.value)


def test_a_hub_that_is_out_of_reach_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        ModelError, match=r"hf://no/such-model cannot be loaded .*file://FOLDER$"
    ) as c:
        load(spec("hf://no/such-model"), tmp_path)
    assert "\n" not in str(c.value)


def index(folder: Path, **changes: Any) -> None:
    file = folder / "model_index.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize(
    "name", ["StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline", "DDPMPipeline"]
)
def test_a_pipeline_that_does_not_draw_from_text_is_told(copy: Path, name: str) -> None:
    index(copy, _class_name=name)
    with pytest.raises(ModelError, match=f"is a {name}, which is not a text-to-image pipeline"):
        load(spec(copy), copy)


def test_a_class_that_diffusers_does_not_have_is_told(copy: Path) -> None:
    index(copy, _class_name="MyOwnPipeline")
    with pytest.raises(ModelError, match=r"is a MyOwnPipeline, which diffusers .* does not have"):
        load(spec(copy), copy)


def test_damaged_weights_are_one_line(copy: Path) -> None:
    (copy / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError, match=r"cannot be loaded .*check the folder's files$") as caught:
        load(spec(copy), copy)
    assert "\n" not in str(caught.value)


def test_pickles_are_not_opened(copy: Path) -> None:
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(ModelError, match="safetensors"):
        load(spec(copy), copy)


def test_an_accelerator_that_is_not_there_is_told() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(SpecError, match=r"^spec\.generation\.generator\.device: .*Cpu"):
        drawing_devices(spec("x", device="Cuda"), 0, 1)


def test_no_number_of_workers_is_one_for_each_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    assert drawing_devices(spec("x"), 0, 1) == [CPU] * 8
    assert drawing_devices(spec("x"), 0, 3) == [CPU] * 2
    assert drawing_devices(spec("x"), 5, 16) == [CPU] * 5


def test_the_scheduler_is_the_one_asked_for(generator: Path) -> None:
    assert type(load(spec(generator), generator).scheduler).__name__ == "DDIMScheduler"
    made = load(spec(generator, scheduler="DpmSolverMultistep"), generator).scheduler
    assert type(made).__name__ == "DPMSolverMultistepScheduler"


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_scheduler_that_does_not_fit_is_told(copy: Path) -> None:
    diffusers.FlowMatchEulerDiscreteScheduler().save_pretrained(copy / "scheduler")
    index(copy, scheduler=["diffusers", "FlowMatchEulerDiscreteScheduler"])
    with pytest.raises(SpecError, match=r"scheduler: Ddim does not fit .* use Default"):
        load(spec(copy, scheduler="Ddim"), copy)


def test_precision_is_that_of_the_weights(generator: Path) -> None:
    assert load(spec(generator, precision="BFloat16"), generator).unet.dtype is torch.bfloat16


def test_a_safety_checker_is_left_out(copy: Path) -> None:
    index(
        copy,
        safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"],
        requires_safety_checker=True,
    )
    made = load(spec(copy), copy)
    assert made.safety_checker is None
    assert not made.config.requires_safety_checker


def test_a_compiled_denoiser_draws_the_same_pipeline(generator: Path) -> None:
    made = load(spec(generator, compilation="Always"), generator)
    assert made.unet._compiled_call_impl is not None


def test_files_that_came_with_gptfl_are_checked(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(pipelines.BUILTIN, "builtin://glyphs", copy)
    with pytest.raises(ModelError, match="has no SHA256SUMS; install gptfl again"):
        find_source(spec("builtin://glyphs"), copy)
    files = [file for file in copy.rglob("*") if file.is_file()]
    lines = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(copy).as_posix()}"
        for file in files
    ]
    (copy / "SHA256SUMS").write_text("\n".join(lines) + "\n")
    assert find_source(spec("builtin://glyphs"), copy).where == str(copy)
    index(copy, changed=True)
    with pytest.raises(DamagedArtifactError, match=r"model_index\.json: is damaged"):
        find_source(spec("builtin://glyphs"), copy)
    (copy / "model_index.json").unlink()
    with pytest.raises(DamagedArtifactError, match=r"model_index\.json: is missing"):
        find_source(spec("builtin://glyphs"), copy)


def test_an_artifact_of_the_store_is_checked_against_its_record(copy: Path) -> None:
    data = (copy / "model_index.json").read_bytes()
    entry = FileEntry(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
    record = Record.model_validate(
        {
            "stage": "serving",
            "version": 1,
            "key": "k",
            "section": {},
            "inputs": {},
            "files": {"model_index.json": entry},
            "metrics": {},
            "cost": {},
            "software": {},
            "created": datetime.now(UTC),
        }
    )
    (copy / "record.json").write_text(record.model_dump_json(by_alias=True))
    find_source(spec(copy), copy)
    index(copy, changed=True)
    with pytest.raises(DamagedArtifactError, match="is damaged"):
        find_source(spec(copy), copy)
    (copy / "record.json").write_text("{}")
    with pytest.raises(DamagedArtifactError, match="is not a record"):
        find_source(spec(copy), copy)


@pytest.mark.parametrize("build", [stable_diffusion, stable_diffusion_xl, stable_diffusion_3])
def test_its_kind_is_known_without_its_weights(build: Any, tmp_path: Path) -> None:
    pipeline = build(tmp_path)
    pipeline.save_pretrained(tmp_path / "saved")
    for weights in (tmp_path / "saved").rglob("*.safetensors"):
        weights.unlink()
    one = spec(tmp_path / "saved")
    kind = kind_of(one, find_source(one, tmp_path))
    assert (kind.name, kind.family) == (type(pipeline).__name__, family_of(pipeline))
