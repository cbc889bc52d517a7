"""A URI, the environment and a Secret's folder say how a bucket is reached, or what is wrong."""

import pwd
from pathlib import Path
from typing import NoReturn

import pytest

from gptfl.errors import SpecError, StoreError
from gptfl.store.s3 import s3_settings


def test_a_uri_is_a_bucket_and_a_prefix() -> None:
    for uri, bucket, prefix in (
        ("s3://bucket", "bucket", ""),
        ("s3://bucket/", "bucket", ""),
        ("s3://my.bucket-1/a/b/", "my.bucket-1", "a/b/"),
        ("s3://bucket/with%20space", "bucket", "with space/"),
    ):
        settings = s3_settings(uri, environment={})
        assert (settings.bucket, settings.prefix) == (bucket, prefix)


@pytest.mark.parametrize(
    "uri",
    [
        "s3:bucket",
        "s3://",
        "s3:///prefix",
        "s3://B",
        "s3://user:secret@bucket",
        "s3://a..b",
        "s3://bucket:9000/x",
        "s3://bucket/a/../b",
        "s3://bucket/a//b",
        "s3://bucket/a?x=1",
        "s3://bucket/a#x",
        "s3://bucket/a%00b",
    ],
)
def test_a_uri_that_cannot_be_is_a_wrong_spec(uri: str) -> None:
    with pytest.raises(SpecError, match=r"^spec\.artifacts\.uri: ") as raised:
        s3_settings(uri, environment={})
    assert "\n" not in str(raised.value)


def test_what_is_said_goes_before_the_secret_and_that_before_the_environment(
    tmp_path: Path,
) -> None:
    environment = {
        "AWS_ENDPOINT_URL": "http://environment:1",
        "AWS_REGION": "eu-west-1",
        "GPTFL_S3_SECRET": str(tmp_path),
    }
    (tmp_path / "AWS_ENDPOINT_URL").write_text("http://secret:2\n")
    said = s3_settings("s3://bkt", endpoint="https://said", region="x", environment=environment)
    kept = s3_settings("s3://bkt", environment=environment)
    plain = s3_settings("s3://bkt", environment={"AWS_REGION": "eu-west-1"})

    assert (said.endpoint.geturl(), said.region) == ("https://said", "x")
    assert (kept.endpoint.geturl(), kept.region) == ("http://secret:2", "eu-west-1")
    assert plain.endpoint.geturl() == "https://s3.eu-west-1.amazonaws.com"


@pytest.mark.parametrize(
    "url",
    ["host:9000", "ftp://host", "http://", "http://host:port", "http://host/path", "http://a@b"],
)
def test_an_endpoint_that_is_no_address(url: str) -> None:
    with pytest.raises(SpecError, match=r"^AWS_ENDPOINT_URL or spec\.artifacts\.endpoint: "):
        s3_settings("s3://bucket", environment={"AWS_ENDPOINT_URL": url})


def test_a_region_that_is_none() -> None:
    with pytest.raises(SpecError, match=r"^AWS_REGION or spec\.artifacts\.region: "):
        s3_settings("s3://bucket", environment={"AWS_REGION": "eu west"})


def test_a_secret_that_is_not_mounted(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"^GPTFL_S3_SECRET: there is no folder .*; mount"):
        s3_settings("s3://bkt", environment={"GPTFL_S3_SECRET": str(tmp_path / "none")})


def test_the_cache_is_where_it_is_said_or_in_the_users() -> None:
    def cache(**environment: str) -> str:
        return str(s3_settings("s3://bkt", environment=environment).cache)

    assert cache(GPTFL_CACHE="/c") == "/c"
    assert cache(XDG_CACHE_HOME="/x") == "/x/gptfl/artifacts"
    assert cache() == str(Path.home() / ".cache/gptfl/artifacts")


def test_a_user_without_a_home_is_told_to_name_a_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(number: int) -> NoReturn:
        raise KeyError(number)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    with pytest.raises(StoreError, match="GPTFL_CACHE: is not set, and this user has no home"):
        s3_settings("s3://bucket", environment={})
    named = s3_settings("s3://bucket", environment={"GPTFL_CACHE": str(tmp_path)})
    assert named.cache == tmp_path
