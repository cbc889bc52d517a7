"""All randomness of a run, derived from its one seed by name: no draw depends on another."""

from gptfl.spec.base import canonical_json, sha256


def derive_seed(seed: int, *path: str | int) -> int:
    """A seed in [0, 2**63) for what `path` names, such as ``("generation", "seven", 12)``.

    Independent of the order in which things are drawn, of workers and of restarts.
    """
    return int(sha256(canonical_json([seed, *path]))[:16], 16) >> 1
