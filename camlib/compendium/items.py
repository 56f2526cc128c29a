"""Items: every figure, table, equation and algorithm that the compendium makes, as ``items.toml`` lists them."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from importlib import resources
from types import MappingProxyType
from typing import Any

from camlib import paths

PAPERS = {
    "sca": "SCA-CAM (Si et al. 2021)",
    "sa": "SA-CAM (Liang et al. 2022)",
    "union": "UnionCAM (Hu et al. 2024)",
    "score": "Score-CAM (Wang et al. 2019)",
    "history": "History of CAM (Baek 2022)",
    "own": "What the compendium adds",
    "cost": "What a map costs",
}
KINDS = ("figure", "table", "equation", "algorithm")
FILE = "items.toml"
NOTEBOOK = re.compile(r"\d\d[a-z]?_\w+")
"""The name of a notebook: "08_sa_cam" of the course, "08a_sa_cam_equations" behind it."""


@dataclass(frozen=True)
class Item:
    """One figure, table, equation or algorithm of a paper, and the one notebook that makes it.

    Attributes:
        finding, read, differs, network, data: texts with ``{placeholders}``; see `camlib.compendium.templates.fill`.
            ``finding`` is what is seen, in one sentence that stands alone, first of all where it contradicts the paper;
            ``read`` how to read it; ``differs`` what differs from the paper.
        caption: finding and reading in one text, where ``finding`` and ``read`` are not written yet.
        claims: ids of ``claims.toml`` that the item stands for; their verdicts are its badges in the gallery.
        n: how many pictures or cells, where that is always the same; None where the cell says it or nothing is counted.
        seeded: False where no random number enters, so that the caption names no seed.
        vector: True for plots without photographs, which are kept as .pdf, too.
        profiles: what another profile says instead, such as {"paper": {"differs": "another picture"}}.
    """

    id: str
    paper: str
    kind: str
    title: str
    notebook: str
    caption: str = ""
    finding: str | None = None
    read: str | None = None
    differs: str | None = None
    network: str | None = None
    data: str | None = None
    n: int | None = None
    seeded: bool = True
    vector: bool = False
    claims: tuple[str, ...] = ()
    profiles: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def reading(self) -> str:
        """How to read the item: ``read``, or ``caption`` where that is not written yet."""
        return self.read or self.caption

    def under(self, profile: str) -> Item:
        """The item with the texts of a profile; an empty text there says that there is none."""
        return replace(self, **{name: value or None for name, value in self.profiles.get(profile, {}).items()})


def is_notebook(name: str) -> bool:
    """Whether a name is that of a notebook that makes an item, or of one in notebooks/, its appendix or solutions."""
    return name in {item.notebook for item in ITEMS.values()} or paths.notebook(name).is_file()


def read_table(file: str) -> dict[str, Any]:
    """A TOML file of this folder: id -> entry, in the order of the file."""
    return tomllib.loads(resources.files("camlib.compendium").joinpath(file).read_text(encoding="utf-8"))


def make_items(entries: Mapping[str, Mapping[str, Any]]) -> dict[str, Item]:
    """Items by id; ValueError for an unknown or a lacking key, a wrong kind or an unknown paper."""
    known = {item_field.name for item_field in fields(Item)} - {"id"}
    items = {}
    for item_id, entry in entries.items():
        keys = set(entry).union(*entry.get("profiles", {}).values())
        lacking = {"paper", "kind", "title", "notebook"} - set(entry)
        if keys - known or lacking:
            raise ValueError(f"{item_id} in {FILE}: unknown {sorted(keys - known)}, lacking {sorted(lacking)}")
        item = Item(item_id, **entry | {"claims": tuple(entry.get("claims", ()))})
        if item.kind not in KINDS or item.paper not in PAPERS:
            raise ValueError(
                f"{item_id} in {FILE}: kind {item.kind!r} or paper {item.paper!r} is not in {KINDS}, {[*PAPERS]}"
            )
        items[item_id] = item
    return items


ITEMS: Mapping[str, Item] = MappingProxyType(make_items(read_table(FILE)))


def find_item(item_id: str) -> Item:
    """The item; ValueError with the nearest ids if there is none."""
    if item_id not in ITEMS:
        near = difflib.get_close_matches(str(item_id), ITEMS, n=4, cutoff=0.5)
        hint = f"nearest: {', '.join(near)}" if near else f"camlib/compendium/{FILE} lists all"
        raise ValueError(f"no item {item_id!r}; {hint}")
    return ITEMS[item_id]
