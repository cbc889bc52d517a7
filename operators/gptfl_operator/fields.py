"""What of an object is ours, as the API server says it, and whether it is what it ought to be.

The API server keeps, for each field manager, which fields it set last (`managedFields`). What we
own in an object as it is now, beside what we mean it to be, says all there is to know: a field that
somebody else has changed since is no longer ours, and one that we mean no longer is ours too much.
Defaults and the fields of others do not show up on either side.
"""

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from gptfl_operator.cache import digest
from gptfl_operator.model import MANAGER, Object

_QUANTITIES = frozenset({"limits", "requests", "hard", "capacity"})
_SUFFIXES = {
    **{
        suffix: Decimal(1000) ** power for power, suffix in enumerate(("", "k", "M", "G", "T", "P"))
    },
    **{f"{letter}i": Decimal(1024) ** (n + 1) for n, letter in enumerate("KMGTP")},
    "m": Decimal("0.001"),
}
_FIXED = {
    "Job": (
        ("spec", "template"),
        ("spec", "completions"),
        ("spec", "completionMode"),
        ("spec", "podFailurePolicy"),
    ),
}
"""What the API server lets nobody change in an object that exists. A new release of the operator
may mean other pods; those of an old Job are still the right ones for that Job."""


def owned(live: Object, manager: str = MANAGER) -> dict[str, Any]:
    """The part of an object that a manager applied, with the values it has now."""
    for entry in live["metadata"].get("managedFields", ()):
        if entry["manager"] == manager and entry["operation"] == "Apply":
            part = _extract(live, entry["fieldsV1"])
            assert isinstance(part, dict), "an object is a map"
            return part
    return {}


def is_settled(desired: Object, live: Object) -> bool:
    """Whether applying `desired` would change nothing in `live`."""
    kind = desired["kind"]
    return _same(_comparable(desired, kind), _comparable(owned(live), kind))


def with_fixed_parts(desired: Object, live: Object) -> dict[str, Any]:
    """The object to apply to one that exists: what cannot be changed in it stays as it was made."""
    fixed = _FIXED.get(desired["kind"], ())
    if not fixed:
        return dict(desired)
    meant, ours = json.loads(json.dumps(desired)), owned(live)
    for *above, last in fixed:
        there, here = ours, meant
        for name in above:
            there, here = there.get(name, {}), here.get(name, {})
        if last in there:
            here[last] = without_gaps(there[last])
    result: dict[str, Any] = meant
    return result


def _comparable(given: Object, kind: str) -> dict[str, Any]:
    """Without what names it; and a Secret's values as the cache keeps them."""
    parts = {key: value for key, value in given.items() if key not in ("apiVersion", "kind")}
    hidden = ("name", "namespace", "uid")
    metadata = given.get("metadata", {})
    parts["metadata"] = {key: value for key, value in metadata.items() if key not in hidden}
    if kind == "Secret":
        parts["data"] = {key: _sealed(value) for key, value in (given.get("data") or {}).items()}
    return parts


def _sealed(value: str) -> str:
    return value if value.startswith("sha256:") else digest(value)


def _extract(live: Any, fields: Mapping[str, Any]) -> Any:
    """The parts of a value that a set of fields (in the API server's notation) names."""
    below = {name: part for name, part in fields.items() if name != "."}
    if not below:
        return live
    if isinstance(live, list):
        return [_extract(item, part) for item in live for part in _entries_of(item, below)]
    if not isinstance(live, dict):
        return live
    names = ((name.removeprefix("f:"), part) for name, part in below.items())
    return {name: _extract(live.get(name), part) for name, part in names}


def _entries_of(item: Any, fields: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The entry of a field set that means this item of a list, if there is one."""
    return [part for name, part in fields.items() if _means(name, item)]


def _means(name: str, item: Any) -> bool:
    sort, _, text = name.partition(":")
    if sort == "k":
        keys = json.loads(text)
        return isinstance(item, dict) and all(item.get(key) == keys[key] for key in keys)
    return sort == "v" and bool(json.loads(text) == item)


def _same(meant: Any, ours: Any, *, are_amounts: bool = False) -> bool:
    """Equal, where the API server's way to write or leave out a value makes no difference."""
    if isinstance(meant, dict) and isinstance(ours, dict):
        said = [key for key, value in meant.items() if value is not None]
        if not said:
            return True  # all that is owned is that there is a map
        return ours.keys() >= set(said) and all(
            _same(meant.get(key), value, are_amounts=are_amounts or key in _QUANTITIES)
            for key, value in ours.items()
        )
    if isinstance(meant, (list, tuple)) and isinstance(ours, list):
        return len(meant) == len(ours) and all(map(_same, meant, ours))
    if ours is None:
        return not meant  # ours, and left out: "", 0, false, [] and {} may be
    return bool(meant == ours) or (are_amounts and _amount(meant) == _amount(ours) is not None)


def without_gaps(value: Any) -> Any:
    """The value without what is named in it and not there."""
    if isinstance(value, dict):
        return {key: without_gaps(part) for key, part in value.items() if part is not None}
    return [without_gaps(part) for part in value] if isinstance(value, list) else value


def _amount(quantity: Any) -> Decimal | None:
    """What `500m` or `1Gi` is worth; None when it is no amount."""
    text = str(quantity)
    number = text.rstrip("kmMGTPKi")
    try:
        return Decimal(number) * _SUFFIXES[text.removeprefix(number)]
    except (InvalidOperation, KeyError):
        return None
