"""Texts with ``{placeholders}`` for computed numbers, and the caption that a reader sees below a figure."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from camlib.compendium.claims import name_text, told
from camlib.compendium.items import Item
from camlib.metrics import Interval
from camlib.plots.look import signs


class _Words(string.Formatter):
    """str.format, with intervals and lists in words."""

    def format_field(self, value: Any, spec: str) -> str:
        return worded(value, spec)


def fill(template: str, values: Mapping[str, Any], where: str) -> str:
    """A text with its ``{placeholders}`` filled as ``str.format`` does it; ``{{`` and ``}}`` are braces.

    Beside numbers and texts, ``{found:+.2f}`` may be an interval or a table of intervals ("+0.12 [0.03, 0.20]", see
    `camlib.compendium.claims.told`), ``{shares:.0%}`` a list (its entries with commas between) or a mapping ("12%
    (vgg16), 13% (lite0)"). ``where`` names the entry and its file in errors: ValueError for a placeholder without a
    value and for a value that does not fit its format.
    """
    lacking = placeholders(template) - set(values)
    if lacking:
        raise ValueError(
            f"{where} has {_braced(lacking)}, which the call does not give; it gives {_braced(values) or 'nothing'}"
        )
    try:
        return _Words().vformat(template, (), values)
    except (ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        given = {name: values[name] for name in sorted(placeholders(template))}
        raise ValueError(f"{where}: {template!r} cannot be filled with {given!r}: {error}") from error


def placeholders(*templates: str | None) -> set[str]:
    """Names that texts ask for: ``{found.low:.2f}`` asks for found."""
    names: set[str] = set()
    for template in filter(None, templates):
        for _, name, spec, _ in string.Formatter().parse(template):
            names |= {re.split(r"[.\[]", name)[0]} if name is not None else set()
            names |= placeholders(spec)
    return names


def refuse_unknown(values: Iterable[str], templates: Iterable[str | None], where: str) -> None:
    """ValueError for values that no text of an entry asks for."""
    asked = placeholders(*templates)
    if unknown := set(values) - asked:
        raise ValueError(f"{where} has no {_braced(unknown)}; its placeholders: {_braced(asked) or 'none'}")


def worded(value: Any, spec: str) -> str:
    """A value in words, as `fill` writes it."""
    if isinstance(value, Interval | pd.DataFrame):
        return told(value, spec or "+.2f")
    if isinstance(value, Mapping):
        return ", ".join(f"{worded(part, spec)} ({name_text(name)})" for name, part in value.items())
    if isinstance(value, str) or not isinstance(value, Iterable) or getattr(value, "ndim", 1) == 0:
        return format(value, spec)
    return ", ".join(worded(part, spec) for part in value)


def _braced(names: Iterable[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in sorted(names))


def caption_text(item: Item, entry: Mapping[str, Any]) -> str:
    """Caption in Markdown: finding, how to read it, what differs from the paper, provenance; or what was checked."""
    if "caption" not in entry:
        mark = next(filter(None, map(mark_text, entry["checks"])), "")
        rows = [
            f"{row['statement']} (to {row['holds_to']:.3g}; {row['network']}; {row['data']})" for row in entry["checks"]
        ]
        return f"**{item.id}.** {item.title}. Checked: {'; '.join(rows)}.{mark}"
    return f"**{item.title}.** {reading(entry)} <sub>{item.id} · {provenance(entry)}</sub>"


def reading(entry: Mapping[str, Any]) -> str:
    """What a reader needs beside a figure: *the finding*, how to read it, what differs from the paper."""
    finding = f"*{entry['finding']}* " if entry.get("finding") else ""
    differs = f" Differs from the paper: {_sentence(entry['differs'])}" if entry["differs"] else ""
    return signs(f"{finding}{_sentence(entry['caption'])}{differs}{mark_text(entry)}")


def provenance(entry: Mapping[str, Any]) -> str:
    """Network, data, n and seed of an entry."""
    facts = {key: entry[key] for key in ("network", "data", "n", "seed") if entry[key] not in (None, "")}
    return signs("; ".join(_fact(*fact) for fact in facts.items()))


def _sentence(text: str) -> str:
    """The text with a full stop, if it ends without one."""
    return text if text.endswith((".", "!", "?", ")")) else f"{text}."


def mark_text(entry: Mapping[str, Any]) -> str:
    """The mark of what was made with foreign weights, as the end of a sentence; else empty."""
    return f" **Not comparable:** {entry['not_comparable']}." if "not_comparable" in entry else ""


def _fact(name: str, value: Any) -> str:
    return {"network": "Network", "data": "data"}.get(name, name) + (f" = {value}" if name == "n" else f" {value}")
