"""The keys that requests are signed with, looked up for each: a mounted Secret changes."""

from minio.credentials.credentials import Credentials
from minio.credentials.providers import Provider

from gptfl.errors import StoreError
from gptfl.store.s3.settings import Variables


class CurrentCredentials(Provider):
    """What the environment or the Secret says now."""

    def __init__(self, variables: Variables) -> None:
        self._variables = variables

    def retrieve(self) -> Credentials:
        """Raises StoreError when there are none."""
        key = self._variables.get("AWS_ACCESS_KEY_ID")
        secret = self._variables.get("AWS_SECRET_ACCESS_KEY")
        if key is None or secret is None:
            missing = "AWS_SECRET_ACCESS_KEY" if key else "AWS_ACCESS_KEY_ID"
            place = self._variables.secret
            raise StoreError(
                f"{missing} is not set; set it"
                + (f", or put a file of that name into {place}" if place else "")
                + ("" if place else ", or GPTFL_S3_SECRET to the folder of a mounted Secret")
            )
        return Credentials(key, secret, self._variables.get("AWS_SESSION_TOKEN"))
