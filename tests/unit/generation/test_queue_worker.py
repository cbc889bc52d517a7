"""What becomes of a shard whose worker cannot reach the store, or is refused by it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gptfl.errors import StoreError, StoreUnavailableError
from gptfl.generation.items import Catalogue, catalogue_of
from gptfl.generation.queue.messages import PLAN, Plan, task_of
from gptfl.generation.queue.notes import Trouble, sort_names
from gptfl.generation.queue.verdict import LOSSES
from gptfl.generation.queue.worker import GiveBackError, ShardWorker, UnfitWorkerError
from gptfl.generation.rawshards import ShardFiles
from gptfl.prompts.results import LabelPrompts, PromptSet
from gptfl.store import Store, Workspace
from gptfl.store.folder import FolderBlobs

KEY = "a" * 64


class Unwatched:
    """Nobody counts."""

    def begin(self, *, redelivered: bool) -> None: ...
    def drawn(self, images: int, seconds: float) -> None: ...
    def found(self) -> None: ...
    def failed(self) -> None: ...


class TroubledBlobs(FolderBlobs):
    """A folder that fails with an error of one's choice, once a shard is to be kept or always."""

    when_kept: StoreError | None = None
    always: StoreError | None = None

    def write(self, name: str, data: bytes) -> None:
        if name.endswith(".parquet") and self.when_kept is not None:
            # What keeps a shard out keeps the notes from being ended as well.
            self.always = self.when_kept
        self._fail()
        super().write(name, data)

    def read(self, name: str) -> bytes | None:
        self._fail()
        return super().read(name)

    def remove(self, prefix: str) -> None:
        self._fail()
        super().remove(prefix)

    def _fail(self) -> None:
        if self.always is not None:
            raise self.always


class Site:
    """A plan in a store, and a worker."""

    def __init__(self, folder: Path, section: Any, prompts: PromptSet) -> None:
        self.blobs = TroubledBlobs(folder / "store")
        self.workspace = Workspace(self.blobs, "generation", KEY, seed=0, folder=folder)
        plan = Plan(section=section, prompts=prompts)
        self.workspace.save_checkpoint(PLAN, plan.model_dump_json(by_alias=True).encode())
        catalogue: Catalogue = catalogue_of(section, prompts, even=True)
        self.shards = catalogue.shards(0, {0: range(2)}, 1)
        self.worker = ShardWorker(Store(self.blobs), folder, concurrency=1, watch=Unwatched())

    def handle(self, index: int) -> None:
        task = task_of(self.shards[index], KEY)
        self.worker.handle(task.model_dump(mode="json", by_alias=True))

    def noted(self) -> tuple[set[str], dict[str, Trouble]]:
        return sort_names(self.workspace.checkpoints())


@pytest.fixture
def site(tmp_path: Path, section: Any) -> Site:
    prompts = [LabelPrompts(label=label, prompts=[f"a {label}"]) for label in section().labels]
    return Site(tmp_path, section(), PromptSet(prompts=prompts))


def test_a_shard_given_back_while_the_store_was_away_has_lost_no_worker(site: Site) -> None:
    for _ in range(LOSSES):
        site.blobs.when_kept = StoreUnavailableError("the store: does not answer")
        with pytest.raises(GiveBackError, match="does not answer"):
            site.handle(0)
        site.blobs.when_kept = site.blobs.always = None
    site.handle(1)

    assert site.noted() == ({site.shards[1].name}, {})
    site.handle(0)
    assert site.noted()[0] == {shard.name for shard in site.shards}


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:-9], bytes.swapcase])
def test_a_damaged_shard_is_drawn_again_and_said_once(
    site: Site, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    site.handle(0)
    name = site.shards[0].name
    whole = site.workspace.load_checkpoint(name)
    assert whole is not None
    site.workspace.save_checkpoint(name, damage(whole))
    files = ShardFiles(site.workspace, [])
    assert files.load(site.shards[0]) is files.load(site.shards[0]) is None
    assert caplog.text.count(f"{name} is damaged and is drawn again") == 1

    site.handle(0)
    assert files.load(site.shards[0]) is not None


@pytest.mark.parametrize("when", ["always", "when_kept"])
def test_a_worker_whom_the_store_refuses_is_unfit(site: Site, when: str) -> None:
    setattr(site.blobs, when, StoreError("s3://b: there is no bucket 'b'; make it"))
    with pytest.raises(UnfitWorkerError, match="there is no bucket 'b'; make it"):
        site.handle(0)


def test_a_shard_that_finds_no_space_leaves_no_note(site: Site) -> None:
    def no_space(name: str, data: bytes) -> None:
        if name.endswith(".parquet"):
            raise StoreError("no space left; free some")
        FolderBlobs.write(site.blobs, name, data)

    site.blobs.write = no_space  # type: ignore[method-assign]
    with pytest.raises(UnfitWorkerError, match="no space left"):
        site.handle(0)
    assert site.noted() == (set(), {})
