"""Reads raw objects of Kubernetes, whose fields may all be absent."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from gptfl_operator.model import Object


def name_of(thing: Object) -> str:
    """Its name."""
    name: str = thing["metadata"]["name"]
    return name


def labels_of(thing: Object) -> dict[str, str]:
    """Its labels."""
    return thing["metadata"].get("labels") or {}


def annotations_of(thing: Object) -> dict[str, str]:
    """Its annotations."""
    return thing["metadata"].get("annotations") or {}


def created(thing: Object) -> datetime | None:
    """When it was made."""
    return moment(thing["metadata"].get("creationTimestamp"))


def spec_of(thing: Object) -> dict[str, Any]:
    """What is wanted of it."""
    return thing.get("spec") or {}


def status_of(thing: Object) -> dict[str, Any]:
    """What has come of it."""
    return thing.get("status") or {}


def condition(thing: Object, kind: str) -> dict[str, Any] | None:
    """The condition of that type, if it is true."""
    for one in status_of(thing).get("conditions") or ():
        if one.get("type") == kind and one.get("status") == "True":
            found: dict[str, Any] = one
            return found
    return None


def moment(text: Any) -> datetime | None:
    """A time as Kubernetes writes it; None for what is none."""
    try:
        found = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def by_name(things: Iterable[Object]) -> dict[str, Object]:
    """Objects of one kind by their names."""
    return {name_of(thing): thing for thing in things}


def owned_by(things: Iterable[Object], owner: Object) -> list[Object]:
    """The objects that another one made, the newest first."""
    name, kind = name_of(owner), owner.get("kind")
    mine = [
        thing
        for thing in things
        if any(
            (ref.get("kind"), ref.get("name")) == (kind, name)
            for ref in thing["metadata"].get("ownerReferences") or ()
        )
    ]
    epoch = datetime.min.replace(tzinfo=UTC)
    return sorted(mine, key=lambda thing: (created(thing) or epoch, name_of(thing)), reverse=True)
