"""What a notebook says to the compendium: an item is made, an equation holds, a claim is decided.

Texts stand in two files beside this one, and cells hold none of them: ``items.toml`` has the caption of each figure and
table and what differs from the paper, ``claims.toml`` what is claimed, where, and on what evidence. Both have
``{placeholders}`` for computed numbers (`camlib.compendium.templates.fill`). A notebook says::

    report.begin("04_sca_cam", network=net, seed=seed, profile=profile)       # once: what its items have in common
    report.item("sca-fig-09", fig, inner=inner[main])                         # save, show, caption; fills {inner}
    report.item("own-table-1", summary, extra={"rows": scores})               # the same for a table
    print(report.check("sca-eq-6", "g = w / (hw)", error, 1e-6))              # an equation, or AssertionError
    print(report.claim("sca-localizes-better", differences))                  # verdict and interval from the intervals
    report.ledger()                                                           # the claims of this notebook, as a table

**Prose.** What the text of a notebook says of measured numbers is asserted by ``report.prose(name=fact, …)``, in a cell
of its own that a reader can skip: it has the tag ``hide-input`` and ``"jupyter": {"source_hidden": true}`` in its
metadata, holds nothing but these calls and what they need, and prints nothing. An ``assert`` in any other cell is part
of the subject: an identity that the cell shows.

``python -m camlib.compendium.report gallery`` writes the gallery, ``check`` compares all files with
the manifest, ``texts`` lists the texts of figures that are too small, clipped or over others.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Markdown, display
from matplotlib.figure import Figure

from camlib.compendium import ledger as _ledger
from camlib.compendium import manifest as _manifest
from camlib.compendium.claims import CLAIMS, Found, agreed, decide, decision, effect, find_claim, span, told
from camlib.compendium.gallery import gallery, problems, unreadable
from camlib.compendium.items import ITEMS, PAPERS, Item, find_item, is_notebook
from camlib.compendium.ledger import claims
from camlib.compendium.lenient import DOUBTED, active
from camlib.compendium.manifest import find_entry, manifest
from camlib.compendium.templates import caption_text, fill, refuse_unknown
from camlib.engine import sharing
from camlib.metrics import Interval

__all__ = [
    "CLAIMS",
    "ITEMS",
    "PAPERS",
    "Interval",
    "Item",
    "agreed",
    "begin",
    "caption_md",
    "check",
    "claim",
    "claims",
    "decide",
    "gallery",
    "item",
    "ledger",
    "manifest",
    "problems",
    "prose",
    "told",
]
FACTS = ("network", "data", "n", "seed", "profile")


@dataclass(frozen=True)
class _Notebook:
    """What the items of the notebook that runs in this process have in common."""

    name: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    as_written: bool = True


_notebook = _Notebook()


def begin(
    notebook: str,
    *,
    network: Any = None,
    data: str | None = None,
    seed: int | None = None,
    profile: str = "offline",
    as_written: bool = True,
    shares: bool = False,
) -> None:
    """Say once what the items, checks and claims of a notebook have in common; a call may say otherwise.

    ``network`` is a name, a Network or a list of either. ``as_written`` says whether the parameters are those that
    the notebook's text was written for (the profile "offline" goes without saying, and that nobody runs it with
    ``--lenient``): see `prose`. ``shares`` says that
    masked pictures which several notebooks score need to run but once, see engine/sharing.py; a notebook that counts
    passes or takes their time does not share. Raises ValueError for an unknown notebook.
    """
    global _notebook
    if not is_notebook(notebook):
        known = sorted({item.notebook for item in ITEMS.values()})
        raise ValueError(f"no notebook {notebook!r} in items.toml or in notebooks/; there are {', '.join(known)}")
    facts = {"network": _named(network), "data": data, "seed": seed}
    facts = {name: value for name, value in facts.items() if value is not None} | {"profile": profile}
    _notebook = _Notebook(notebook, facts, as_written and profile == "offline" and not active())
    sharing.share(shares)


def item(
    item_id: str,
    made: Figure | pd.DataFrame,
    *,
    extra: Mapping[str, pd.DataFrame] | None = None,
    **values: Any,
) -> Markdown:
    """Save a figure or a table under its id, show the figure, and return its caption to be shown below.

    Finding, reading and what differs from the paper come from ``items.toml``. ``values`` fill their placeholders;
    ``network``, ``data``, ``n``, ``seed`` and ``profile`` among them stand in place of what ``items.toml`` or else
    `begin` says. A Figure is brought to the design width, becomes .webp (with photographs) or .png (and .pdf where
    ``items.toml`` says ``vector``) and is closed; texts of it that nobody can read are entered in the manifest, and
    ``python -m camlib.compendium.report texts`` lists them. A DataFrame becomes .csv and .md;
    ``extra={"rows": frame}`` writes <item>-rows.csv beside it. Calling it again replaces the files. Raises ValueError
    for an unknown item or one of another notebook, for a placeholder that is not given or does not exist, for a figure
    where a table belongs (or the reverse), and for a picture over 600 KB.
    """
    known = find_item(item_id)
    _belongs(item_id, known.notebook)
    known, where = (
        known.under(values.get("profile", _notebook.facts.get("profile", "offline"))),
        f"{item_id} in items.toml",
    )
    if not known.reading:
        raise ValueError(f"{where} has no caption; add finding and read")
    texts = {"caption": known.reading, "finding": known.finding, "differs": known.differs}
    refuse_unknown(set(values) - set(FACTS), (*texts.values(), known.network, known.data), where)
    facts = _facts(known, values)
    filled = {name: text and fill(text, values | facts, where) for name, text in texts.items()}
    _manifest.save(made, item_id, vector=known.vector, extra=extra, **filled, **facts)
    if isinstance(made, Figure):
        display(made)
        plt.close(made)  # the notebook would show it a second time
    return Markdown(caption_md(item_id))


def check(
    item_id: str,
    statement: str,
    error: float,
    tolerance: float,
    *,
    network: Any = None,
    data: str | None = None,
    profile: str | None = None,
) -> str:
    """Assert that an equation holds to ``tolerance`` and enter the statement in the manifest.

    ``error`` is the largest deviation that was measured; only the tolerance is kept, so that the record does not
    change with rounding. ``network``, ``data`` and ``profile`` are those of `begin` unless given. Returns a line to
    print, such as "sca-eq-6 holds to 1e-06". Raises AssertionError where the error is larger or NaN, ValueError for
    an unknown item or a tolerance that is negative.
    """
    given = {"network": network, "data": data, "profile": profile}
    facts = _facts(find_item(item_id), {name: value for name, value in given.items() if value is not None})
    return _manifest.check(item_id, statement, error, tolerance, *(facts[name] for name in given))


def claim(
    claim_id: str,
    found: Found | str | float | None = None,
    verdict: str | None = None,
    *,
    interval: Interval | Sequence[float] | None = None,
    units: int | None = None,
    **values: Any,
) -> str:
    """Enter one claim in the ledger; returns the line "claim: verdict" to print.

    What is claimed, where and on what evidence comes from ``claims.toml``, and so does the text of what we measure
    (``ours``), whose placeholders are filled from ``values``, ``{found}`` and ``{network}``.

    Args:
        found: the interval, or the intervals, that decide: by name, in a row, or a table with mean, low and high.
            Where ``claims.toml`` has no ``ours``: the sentence or the number itself.
        verdict: one of :data:`camlib.compendium.deciding.VERDICTS`; unless given, the `decision` of the intervals by
            the claim's rule in ``claims.toml``.
        interval: what stands beside ours in the ledger; the span of the intervals unless given.
        units: pictures or seeds that the intervals stand on; an undecided claim then says how many would decide it.

    Raises ValueError for an unknown claim or one of another notebook, a placeholder that is not given or does not
    exist, a verdict that does not exist, or neither a verdict nor intervals.
    """
    known = find_claim(claim_id)
    _belongs(claim_id, known.notebook)
    where, decisive = f"{claim_id} in claims.toml", found is not None and not isinstance(found, str | float | int)
    if verdict is None and not decisive:
        raise ValueError(f"{claim_id}: neither a verdict nor intervals are given; expected one of them")
    refuse_unknown(set(values) - {"network"}, (known.claim, known.ours), where)
    filled = {"found": found, "network": _notebook.facts.get("network")} | values
    filled = {
        name: _named(value) if name == "network" else value for name, value in filled.items() if value is not None
    }
    if interval is None and decisive:
        interval = span(found)
    ruled = decision(found, units, **known.rule) if decisive and verdict is None else None
    about = {"measured": effect(found, units)} if decisive else {}
    about |= {"needed": ruled.needed, "populations": ruled.marks} if ruled else {}
    return _ledger.enter(
        claim_id,
        paper=known.paper,
        claim=fill(known.claim, filled, where),
        evidence=", ".join(filter(None, (known.section, known.evidence))),
        ours=found if known.ours is None else fill(known.ours, filled, where),
        interval=interval[1:] if isinstance(interval, Interval) else interval,
        verdict=verdict or ruled.text,
        notebook=known.notebook,
        **about,
    )


def prose(**facts: Any) -> None:
    """Assert what the text of the notebook says of measured numbers: ``name=fact``, the name in words.

    Where the parameters are not those that the text was written for (`begin`), a fact that does not hold is printed
    as "does not hold here: name" and the notebook goes on. Else AssertionError with the names.
    """
    failed = [name.replace("_", " ") for name, fact in facts.items() if not fact]
    if failed and _notebook.as_written:
        raise AssertionError(f"{_notebook.name}: the text says what is not so: {'; '.join(failed)}")
    for name in failed:
        print(f"{DOUBTED}{name}")


def ledger() -> Markdown:
    """The claims that the notebook of `begin` has decided, as a table: claim, what is measured, verdict."""
    if _notebook.name is None:
        raise ValueError("no notebook has begun; call report.begin first")
    return Markdown(_ledger.notebook_text(claims(), _notebook.name))


def caption_md(item_id: str) -> str:
    """Caption of a saved item in Markdown: what is shown, on what, and what differs from the paper."""
    return caption_text(find_item(item_id), find_entry(item_id))


def _belongs(entry_id: str, notebook: str) -> None:
    """ValueError where another notebook than the one that began makes an entry."""
    if _notebook.name not in (None, notebook):
        raise ValueError(f"{entry_id} belongs to {notebook}; this is {_notebook.name} (report.begin)")


def _facts(known: Item, values: Mapping[str, Any]) -> dict[str, Any]:
    """Network, data, n, seed and profile of an item: as given, else as items.toml says, else as `begin` says.

    In items.toml the text of network means by {network} what `begin` says, the text of data what the item says.
    """
    where = f"{known.id} in items.toml"
    facts = {"n": None, "seed": None, "profile": "offline"} | _notebook.facts
    facts |= {"n": known.n} | ({} if known.seeded else {"seed": None})
    facts |= {name: values[name] for name in FACTS if name in values}
    facts |= {"network": _named(facts["network"])} if "network" in facts else {}
    for name in ("network", "data"):
        text = getattr(known, name)
        if text is not None and name not in values:
            facts[name] = fill(text, values | facts, where)
        elif name not in facts:
            raise ValueError(f"{known.id}: no {name}, neither in the call nor in items.toml nor by report.begin")
    return facts


def _named(network: Any) -> str | None:
    """The name of a network, or the names of several with commas."""
    if network is None or isinstance(network, str):
        return network
    return network.name if hasattr(network, "name") else ", ".join(map(_named, network))


COMMANDS = {
    "gallery": (gallery, "write the gallery", ""),
    "check": (problems, "compare all files with the manifest", "figures, manifest and gallery agree"),
    "texts": (unreadable, "texts of figures that nobody can read", "every text of every figure can be read"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: ``gallery`` writes, ``check`` compares, ``texts`` lists; both return 1 if something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m camlib.compendium.report", description="The gallery of figures/.")
    parser.add_argument("command", choices=COMMANDS, help="; ".join(f"{k}: {v[1]}" for k, v in COMMANDS.items()))
    command = parser.parse_args(arguments).command
    run, _, well = COMMANDS[command]
    try:
        lines = run()
    except (ValueError, OSError) as error:  # a record that is damaged, a folder that cannot be written
        print(error, file=sys.stderr)
        return 1
    print("\n".join(lines) if lines else well)
    return int(command != "gallery" and bool(lines))


if __name__ == "__main__":
    sys.exit(main())
