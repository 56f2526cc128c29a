"""The ledger: every claim that a notebook has decided, with what the paper shows and what we measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from camlib.compendium.claims import VERDICTS
from camlib.compendium.items import PAPERS
from camlib.compendium.manifest import mark
from camlib.compendium.records import read, update
from camlib.compendium.writing import markdown_table

RECORD = "claims.json"
KEYS = ("paper", "claim", "evidence", "ours", "verdict", "notebook")
"""What every entry says in words."""


def claims() -> dict[str, Any]:
    """The ledger: claim id -> paper, claim, evidence, ours, interval, verdict, notebook."""
    return read(RECORD, KEYS)


def enter(
    claim_id: str,
    *,
    paper: str,
    claim: str,
    evidence: str,
    ours: str | float,
    interval: Sequence[float] | None,
    verdict: str,
    notebook: str,
) -> str:
    """Enter one claim; the line "claim: verdict". ``ours`` is a sentence or a number, kept to three digits.

    ``interval`` is (low, high). Raises ValueError for a verdict that does not exist.
    """
    if verdict not in VERDICTS:
        raise ValueError(f"{claim_id}: verdict is {verdict!r}; expected one of {list(VERDICTS)}")
    row = {
        "paper": paper,
        "claim": claim,
        "evidence": evidence,
        "ours": ours if isinstance(ours, str) else f"{ours:.3g}",
        "interval": None if interval is None else " … ".join(f"{bound:.3g}" for bound in interval),
        "verdict": verdict,
        "notebook": notebook,
        **mark(),
    }
    if wrong := [key for key in KEYS if not isinstance(row[key], str)]:
        raise ValueError(f"{claim_id}: {wrong[0]} is {row[wrong[0]]!r}; expected a text")
    update(RECORD, lambda entries: entries.update({claim_id: row}), KEYS)
    return f"{claim}: {verdict_text(row)}"


def verdict_text(row: Mapping[str, Any]) -> str:
    """The verdict of a claim, or that it cannot be compared."""
    return f"{row['verdict']}, not comparable" if "not_comparable" in row else row["verdict"]


def by_paper(rows: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Claims in the order of papers, then of ids."""
    order = list(PAPERS)
    return [rows[key] for key in sorted(rows, key=lambda key: (order.index(rows[key]["paper"]), key))]


def claims_text(rows: Mapping[str, Any]) -> str:
    """The ledger in Markdown, as figures/claims.md holds it."""
    titles = ["claim", "paper", "the paper's evidence", "ours [interval]", "verdict", "notebook"]
    table = [
        [
            row["claim"],
            PAPERS[row["paper"]],
            row["evidence"],
            row["ours"] + (f" [{row['interval']}]" if row["interval"] else ""),
            f"**{verdict_text(row)}**",
            row["notebook"],
        ]
        for row in by_paper(rows)
    ]
    counts = ", ".join(f"{sum(row['verdict'] == word for row in rows.values())} {word}" for word in VERDICTS)
    body = markdown_table(titles, table) if table else "No notebook has decided a claim yet."
    marked = sum("not_comparable" in row for row in rows.values())
    counts += f". {marked} of them are not comparable with a paper, by their weights" if marked else ""
    return f"# What the papers claim, and what we find\n\n{len(rows)} claims: {counts}.\n\n{body}\n"


def notebook_text(rows: Mapping[str, Any], notebook: str) -> str:
    """The claims of one notebook as the table at its end."""
    decided = [row for row in rows.values() if row["notebook"] == notebook]
    lines = [f"| {row['claim']} | {row['ours']} | **{row['verdict']}** |" for row in decided]
    return "\n".join(["| claim | measured here | verdict |", "|---|---|---|", *lines])
