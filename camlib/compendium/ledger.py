"""The ledger: every claim with what the paper shows, what we measure and the verdict.

Claims with a rule in ``rules.toml`` and those that are counted (:mod:`camlib.compendium.counted`) are decided by rows
of data/evidence, the others by their notebook.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from camlib.compendium import counted, findings, verdicts
from camlib.compendium.claims import find_claim
from camlib.compendium.deciding import VERDICTS
from camlib.compendium.items import PAPERS
from camlib.compendium.manifest import mark
from camlib.compendium.records import read, update
from camlib.compendium.writing import markdown_table

RECORD = "claims.json"
KEYS = ("paper", "claim", "evidence", "ours", "verdict", "notebook")
"""What every entry says in words."""


def claims() -> dict[str, Any]:
    """The ledger: claim id -> paper, claim, evidence, ours, interval, verdict, notebook; populations if rows decide."""
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
    needed: int | None = None,
    measured: str = "",
    populations: str = "",
) -> str:
    """Enter one claim; the line "claim: verdict". ``ours`` is a sentence or a number, kept to three digits.

    ``interval`` is (low, high); ``needed`` the number of units that would decide it; ``measured`` and ``populations``
    the effect and the parts with their marks, for the short line. Where rows decide the claim, their effect and verdict
    stand in the ledger, and what the notebook measures on its pictures stays beside them. Raises ValueError for a
    verdict that does not exist.
    """
    if verdict.partition(" on ")[0] not in VERDICTS:
        raise ValueError(f"{claim_id}: verdict is {verdict!r}; expected one of {list(VERDICTS)}")
    row = {
        "paper": paper,
        "claim": claim,
        "evidence": evidence,
        "ours": ours if isinstance(ours, str) else f"{ours:.3g}",
        "interval": None if interval is None else " … ".join(f"{bound:.3g}" for bound in interval),
        "verdict": verdict,
        "notebook": notebook,
        **({"needed": needed} if needed else {}),
        **({"measured": measured, "populations": populations} if measured else {}),
        **mark(),
    }
    if wrong := [key for key in KEYS if not isinstance(row[key], str)]:
        raise ValueError(f"{claim_id}: {wrong[0]} is {row[wrong[0]]!r}; expected a text")
    if _has_rows(claim_id):
        row = row_of(claim_id) | {"notebook says": row["ours"], "notebook verdict": verdict} | mark()
    update(RECORD, lambda entries: entries.update({claim_id: row}), KEYS)
    return f"{row['claim']}: {_told(row)}"


def _has_rows(claim_id: str) -> bool:
    return claim_id in verdicts.RULES or claim_id in counted.COUNTED


def row_of(claim_id: str) -> dict[str, Any]:
    """The row of a claim that rows decide."""
    claim = find_claim(claim_id)
    if claim_id in verdicts.RULES:
        found = verdicts.decided(claim_id)
        effect = findings.effect_text(verdicts.RULES[claim_id], found)
        populations = findings.populations_text(found)
    else:
        found, effect = counted.ruling(claim_id), counted.effect_text(claim_id)
        populations = found.marks
    return {
        "paper": claim.paper,
        "claim": claim.claim.replace("{where}", ""),
        "evidence": ", ".join(filter(None, (claim.section, claim.evidence))),
        "ours": effect,
        "interval": None,
        "verdict": found.text,
        "needed": found.needed,
        "populations": populations,
        "command": findings.command(claim_id),
        "notebook": claim.notebook,
    }


def enter_ruled() -> None:
    """Bring every claim that rows decide up to date, and leave what notebooks say of it."""
    found = {claim_id: row_of(claim_id) for claim_id in (*verdicts.RULES, *counted.COUNTED)}

    def renew(entries: dict[str, Any]) -> None:
        for claim_id, row in found.items():
            said = {name: v for name, v in entries.get(claim_id, {}).items() if name.startswith("notebook ")}
            entries[claim_id] = row | said

    update(RECORD, renew, KEYS)


def verdict_text(row: Mapping[str, Any]) -> str:
    """The verdict of a claim, with the number of pictures that would decide it, or that it cannot be compared."""
    needed = f" (decided by n = {row['needed']:,})" if row.get("needed") else ""
    return f"{row['verdict']}{needed}" + (", not comparable" if "not_comparable" in row else "")


def _told(row: Mapping[str, Any]) -> str:
    """What a notebook says of a claim: its verdict, and that of the rows where these decide."""
    if "notebook verdict" not in row:
        return verdict_text(row)
    return f"{row['notebook verdict']} on these pictures; by the rows of the ledger: {verdict_text(row)}"


def by_paper(rows: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Claims in the order of papers, then of ids."""
    order = list(PAPERS)
    return [rows[key] for key in sorted(rows, key=lambda key: (order.index(rows[key]["paper"]), key))]


def counts_text(rows: Mapping[str, Any]) -> str:
    """How many claims have which verdict."""
    counts = Counter(row["verdict"].partition(" on ")[0] for row in rows.values())
    return ", ".join(f"{counts[word]} {word}" for word in VERDICTS if counts[word])


def claims_text(rows: Mapping[str, Any]) -> str:
    """The ledger in Markdown, as figures/claims.md holds it: a short line a claim, the long ones folded below."""
    body = _table(rows) if rows else "No claim is decided yet."
    marked = sum("not_comparable" in row for row in rows.values())
    marked_text = f" {marked} of them are not comparable with a paper, by their weights." if marked else ""
    head = f"# What the papers claim, and what we find\n\n{len(rows)} claims: {counts_text(rows)}.{marked_text}"
    return f"{head}\n\n{body}\n"


def _table(rows: Mapping[str, Any]) -> str:
    """Tables by paper, and the whole sentences of notebooks in a folded one."""
    titles = ["claim", "verdict", "measured", "populations", "where"]
    parts = [_HOW_TO_READ]
    for paper, name in PAPERS.items():
        lines = [_line(row) for row in by_paper(rows) if row["paper"] == paper]
        if lines:
            parts.append(f"## {name}\n\n{markdown_table(titles, lines)}")
    said = [[row["claim"], row["evidence"], _said(row)] for row in by_paper(rows)]
    whole = markdown_table(["claim", "the paper's evidence", "measured in the notebook"], said)
    return "\n\n".join(
        [
            *parts,
            f"<details><summary>The papers' evidence, and what notebooks measure</summary>\n\n{whole}\n\n</details>",
        ]
    )


_HOW_TO_READ = """\
Rows of [data/evidence](../data/evidence/) decide a claim by a rule that was committed before them \
([rules.toml](../camlib/compendium/rules.toml)): ✓ holds, ✗ does not hold, = no difference that matters, · undecided, \
in each population; of several rivals the closest one counts. On scenes the object is its exact mask, not a box: \
coarse maps spill over it, maps of pixels do not. The id beside a claim prints every number of it: \
`python -m camlib.compendium.findings ID`. Claims with a rule in [claims.toml](../camlib/compendium/claims.toml) are \
decided alike; their margins were set when pilot numbers on a few pictures were known, and fresh pictures decide. The \
other claims are decided in a notebook."""


def _line(row: Mapping[str, Any]) -> list[str]:
    """A claim in short: what rows measure; of a notebook's claim the interval, the sentence stands below."""
    verdict, populations = f"**{verdict_text(row)}**", row.get("populations", "")
    if "command" in row:
        return [row["claim"], verdict, row["ours"], populations, f"`{row['command'].rpartition(' ')[2]}`"]
    measured = row.get("measured") or (f"[{row['interval']}]" if row["interval"] else "see below")
    return [row["claim"], verdict, measured, populations, row["notebook"]]


def _said(row: Mapping[str, Any]) -> str:
    return row.get("notebook says", "") if "command" in row else row["ours"]


def notebook_text(rows: Mapping[str, Any], notebook: str) -> str:
    """The claims of one notebook as the table at its end."""
    decided = [row for row in rows.values() if row["notebook"] == notebook]
    lines = [f"| {row['claim']} | {row.get('notebook says', row['ours'])} | **{_told(row)}** |" for row in decided]
    return "\n".join(["| claim | measured here | verdict |", "|---|---|---|", *lines])
