"""A folder keeps what blobs promise."""

from pathlib import Path

import pytest
from blobs_contract import BlobsContract


class TestFolder(BlobsContract):
    @pytest.fixture
    def uri(self, tmp_path: Path) -> str:
        return (tmp_path / "store").as_uri()
