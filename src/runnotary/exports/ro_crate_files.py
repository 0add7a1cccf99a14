"""What a crate holds: its members, and the entities that stand for files, folders and values.

Rules of this file:

1. A member's path is made of names that any system takes, and none is in the way of another, also where
   case makes no difference. The name that a file really has is in `name`.
2. One content under one name is one member, however often a run took or made it.
3. A blob that the home has no more cannot be a `File`: it is named, with its digest, as work that is absent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import quote

import msgspec

from runnotary.core import trees
from runnotary.core.hashing import digest as digest_of
from runnotary.core.lineage import blob_of, files_in
from runnotary.core.words import is_file
from runnotary.exports.identifiers import media_type
from runnotary.exports.material import Material

Json = Any
Entity = dict[str, Any]

NAME_MAX: Final = 120
BIGGEST: Final = 2**53 - 1
_UNFIT: Final = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\/\ud800-\udfff]')


class Member(msgspec.Struct, frozen=True):
    """One member of the archive: bytes of its own, or those of a blob. The path of a folder ends in `/`."""

    path: str
    data: bytes = b""
    blob: str = ""


def reference(entity: Entity | str) -> Entity:
    """Return what points to an entity."""
    return {"@id": entity if isinstance(entity, str) else entity["@id"]}


def scalar(values: Iterable[Json]) -> Json:
    """Return a list, but one value as itself: what readers of JSON-LD expect. None if there is none."""
    listed = list(values)
    return listed[0] if len(listed) == 1 else listed or None


def fit(name: str) -> str:
    """Return a name as one part of a path that every system takes."""
    kept = _UNFIT.sub("_", name).rstrip(" .")
    while len(kept.encode()) > NAME_MAX:
        kept = kept[1:]
    return kept or "_"


class Files:
    """Collects members and the entities of what lies in them."""

    def __init__(self, material: Material) -> None:
        self._material: Final = material
        self.entities: Final[dict[str, Entity]] = {}
        self.members: Final[dict[str, Member]] = {}
        self._names: Final[dict[tuple[str, str], str]] = {}
        """What has a name in a folder, by both."""
        self.parts: Final[list[str]] = []
        """The ids of what the root holds itself."""

    def add(self, entity: Entity) -> Entity:
        """Note an entity once; the first of an id stays."""
        return self.entities.setdefault(entity["@id"], entity)

    def text(self, path: str, data: bytes, name: str, kind: str, **more: Json) -> Entity:
        """Put a file into the crate that is made here."""
        self.members[path] = Member(path, data=data)
        self.parts.append(path)
        entity = {"@id": path, "@type": "File", "name": name, "encodingFormat": kind}
        return self.add(entity | {"contentSize": str(len(data))} | more)

    def blob(
        self, folder: str, name: str, digest: str, *, inside: bool = False, called: str = "", **more: Json
    ) -> Entity:
        """Put a blob into a folder of the crate, or note that it is absent; `name` may be a path."""
        if not self._material.has_blob(digest):
            return self._absent(digest, called or name)
        *parents, last = name.split("/")
        for parent in parents:
            folder = f"{folder}{self._free(folder, parent, f'folder {parent}')}/"
        path, name = folder + self._free(folder, last, digest), called or name
        at = quote(path)
        if at in self.entities:
            return self.entities[at]
        self.members[path] = Member(path, blob=digest)
        if not inside:
            self.parts.append(at)
        entity = {
            "@id": at,
            "@type": "File",
            "name": name,
            "encodingFormat": media_type(name),
            "contentSize": str(self._material.blob_size(digest)),
            "sha256": digest.removeprefix("sha256:"),
        }
        return self.add(entity | more)

    def of(self, file: Json) -> Entity:
        """Return the entity of a file or folder, as a value of a run or as an output of an attempt has it."""
        digest = blob_of(file)
        name = file["name"] or digest[7:19]
        folder, last = f"data/{digest[7:23]}/", name.rsplit("/", 1)[-1]
        if "$dir" in file or file.get("tree"):
            return self._folder(folder, last, digest, name)
        return self.blob(folder, last, digest, called=name)

    def _folder(self, folder: str, last: str, digest: str, name: str) -> Entity:
        if not self._material.has_blob(digest):
            return self._absent(digest, name)
        path = f"{folder}{self._free(folder, last, f'folder {digest}')}/"
        at = quote(path)
        if at in self.entities:
            return self.entities[at]
        self.members[path] = Member(path)
        inside = []
        for entry in trees.entries(self._material.blob(digest)):
            inside.append(self.blob(path, entry.path, entry.blob, inside=True))
        self.parts.append(at)
        return self.add(
            {
                "@id": at,
                "@type": "Dataset",
                "name": name,
                "description": f"A folder of {len(inside)} files.",
                "identifier": digest,
                "hasPart": scalar(reference(one) for one in inside),
            }
        )

    def _free(self, folder: str, name: str, what: str) -> str:
        """Return this name as one that fits, or one beside it if something else in the folder has it."""
        name = fit(name)
        while self._names.setdefault((folder, name.casefold()), what) != what:
            name = f"{digest_of(what.encode())[7:15]}-{name}"
        return name

    def _absent(self, digest: str, name: str) -> Entity:
        return self.add(
            {
                "@id": f"#absent/{digest[7:]}",
                "@type": "CreativeWork",
                "name": name,
                "identifier": digest,
                "description": "Not in this crate: the home keeps these bytes no more.",
            }
        )

    def values(self, at: str, name: str, given: Json) -> Iterator[Entity]:
        """Yield what stands for a value: the files in it and, if it is more than these, a property."""
        yield from map(self.of, files_in(given))
        if not all(map(is_file, given if isinstance(given, list) and given else [given])):
            yield self.property(at, name, given)

    def property(self, at: str, name: str, given: Json, **more: Json) -> Entity:
        """Return the entity of a value that is no file."""
        entity = {"@id": f"#value/{quote(at)}/{quote(name, safe='')}", "@type": "PropertyValue", "name": name}
        return self.add(entity | {"value": _literal(given)} | more)

    def pieces(self, member: Member) -> Iterator[bytes]:
        """Yield the bytes of a member."""
        if member.blob:
            yield from self._material.blob_pieces(member.blob)
        elif member.data:
            yield member.data


def _literal(given: Json) -> Json:
    """Return a value as JSON-LD takes it: what is no plain scalar becomes its JSON."""
    if isinstance(given, str | bool | float) or (isinstance(given, int) and abs(given) <= BIGGEST):
        return given
    return msgspec.json.encode(given).decode()


def kind_of(entity: Entity) -> str:
    """Return the `additionalType` of a parameter that takes this; empty if it can be nobody's example."""
    match entity["@type"]:
        case "PropertyValue":
            value = entity["value"]
            if isinstance(value, bool):
                return "Boolean"
            return {int: "Integer", float: "Float"}.get(type(value), "Text")
        case "CreativeWork":
            return ""
    return str(entity["@type"])
