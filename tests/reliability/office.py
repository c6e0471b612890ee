"""A world in which things are made as well: batches, directories and files."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from tests.dataset.fake_project import FakeProject
from tests.servers import Answer, Asked, page

DISPLAY_NAME = re.compile(rb'name="display_name"\r\n\r\n([^\r]*)')


def named(asked: Asked) -> str:
    """Return the name of the file that is uploaded, if one is."""
    found = DISPLAY_NAME.search(asked.body)
    return found[1].decode() if found else ""


@dataclass
class Office(FakeProject):
    """What was made is really there, whatever becomes of the answer."""

    made: list[str] = field(default_factory=list)
    directories: dict[str, str] = field(default_factory=lambda: {"dir-0": "Invoices"})
    files: dict[str, list[dict[str, Any]]] = field(
        default_factory=lambda: {"dir-0": [{"id": "dfl-0", "display_name": "0.txt"}]}
    )

    def __call__(self, asked: Asked) -> Any:
        steps = asked.path.split("/")[3:]
        if steps[:2] == ["beta", "configurations"]:
            return page([])
        if steps[:2] == ["beta", "directories"]:
            place = steps[2:3]
            return self._files(place[0], asked) if place else self._directories(asked)
        return self._create(asked.json) if asked.method == "POST" else super().__call__(asked)

    def _create(self, body: dict[str, Any]) -> dict[str, Any]:
        name = self.add("PENDING")
        self.made.append(name)
        self.batches[name].update(body, results=None)
        return self.batches[name]

    def _directories(self, asked: Asked) -> Any:
        if asked.method == "POST":
            name = asked.json["name"]
            if name in self.directories.values():
                return Answer({"detail": "the name is taken"}, 409)
            new = f"dir-{len(self.directories)}"
            self.directories[new], self.files[new] = name, []
            return {"id": new, "name": name}
        wanted = asked.one("name")
        found = self.directories.items()
        return page([{"id": i, "name": name} for i, name in found if wanted in (None, name)])

    def _files(self, directory: str, asked: Asked) -> Any:
        there = self.files[directory]
        if asked.method == "GET":
            wanted = asked.one("display_name")
            return page([file for file in there if wanted in (None, file["display_name"])])
        if named(asked) in (file["display_name"] for file in there):
            return Answer({"detail": "the name is taken"}, 409)
        file = {
            "id": f"dfl-{len(there)}",
            "directory_id": directory,
            "display_name": named(asked),
        }
        there.append(file)
        return file


def project() -> Office:
    """Return a project of three pages of batches."""
    there = Office()
    for n in range(10):
        there.add(files=n % 4)
    return there
