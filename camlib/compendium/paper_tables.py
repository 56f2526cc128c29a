"""Tables of papers on our pictures: one row a method, what is published beside ours, the best in bold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from camlib.metrics import CONTROLS, Interval, bootstrap_interval, paired_difference
from camlib.plots.look import signs
from camlib.plots.methods import method_title

CONTROL_TITLES = {
    "all-ones": "control: ones",
    "random": "control: random",
    "center-gaussian": "control: centered Gaussian",
}
"""How a table calls maps that have seen nothing."""


def method_table(
    measured: Mapping[str, pd.DataFrame],
    reference: str,
    *,
    lower: Sequence[str] = (),
    published: Mapping[str, Mapping[str, Any]] | None = None,
    digits: int = 3,
    seed: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(what a reader sees, the same in numbers): one row a method, in the order of the frames' columns.

    A reader sees "method", the ``published`` columns, and for each measured metric its mean with a 95 % interval, the
    paired difference to ``reference`` over the pictures that both have, and n. Bold: the best method and those that are
    not different from it (the interval of their paired difference holds 0); controls are in italics and never bold.

    Args:
        measured: title of a column -> numbers [pictures, methods]; NaN where a picture has none of a method.
        reference: method that the others are compared with.
        lower: titles of the columns where lower is better.
        published: title of a column -> method -> number or text.
        digits: behind the point, of means and differences.
        seed: of the bootstrap over pictures.

    Raises ValueError where ``reference`` or a title of ``lower`` is not measured.
    """
    if unknown := [title for title in lower if title not in measured]:
        raise ValueError(f"lower={unknown}: expected titles among {[*measured]}")
    lacking = [title for title, frame in measured.items() if reference not in frame]
    if lacking:
        raise ValueError(f"reference={reference!r} is not measured in {lacking}")
    methods = list(dict.fromkeys(m for frame in measured.values() for m in frame.columns if frame[m].notna().any()))
    seen: dict[str, list[str]] = {
        "method": [f"*{CONTROL_TITLES[m]}*" if m in CONTROLS else method_title(m) for m in methods]
    }
    for title, numbers in (published or {}).items():
        seen[title] = [signs(str(numbers.get(m, ""))) for m in methods]
    rows = []
    for title, frame in measured.items():
        best = alike_best(frame, lower=title in lower, seed=seed)
        own = {m: bootstrap_interval(frame[m].dropna(), seed=seed) for m in methods if m in frame}
        gaps = {m: _gap(frame, m, reference, seed) for m in own if m != reference}
        seen[title] = [_bold(_words(own.get(m), digits), m in best) for m in methods]
        seen[f"{title}: minus {method_title(reference)}"] = [_words(gaps.get(m), digits, "+") for m in methods]
        seen[f"{title}: n"] = [str(frame[m].count()) if m in own else "" for m in methods]
        rows += [_numbers(title, m, own[m], gaps.get(m), int(frame[m].count()), m in best) for m in own]
    return _one_count(pd.DataFrame(seen), [*measured]), pd.DataFrame(rows)


def alike_best(frame: pd.DataFrame, *, lower: bool = False, seed: int = 0) -> list[str]:
    """The method with the best mean, first, and those whose paired difference to it holds 0; controls are left out.

    ``frame`` is [pictures, methods]. Where methods share no picture they cannot be compared, and are no winners.
    """
    means = frame.drop(columns=[m for m in CONTROLS if m in frame]).mean()
    first = means.idxmin() if lower else means.idxmax()
    gaps = {m: _gap(frame, m, first, seed) for m in means.index if m != first}
    return [first, *(m for m, gap in gaps.items() if gap is not None and gap.low <= 0 <= gap.high)]


def _gap(frame: pd.DataFrame, method: str, reference: str, seed: int) -> Interval | None:
    """Paired difference, method minus reference; None where no picture has both."""
    both = frame[[method, reference]].dropna().to_numpy(dtype=float)
    return paired_difference(*both.T, seed=seed) if len(both) else None


def _words(interval: Interval | None, digits: int, plus: str = "") -> str:
    """An interval as a cell: "0.48 [0.37, 0.58]", with true signs and no negative zero."""
    if interval is None:
        return ""
    value, low, high = (round(float(v), digits) + 0.0 for v in interval)
    return signs(f"{value:{plus}.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]")


def _bold(text: str, is_best: bool) -> str:
    return f"**{text}**" if is_best and text else text


def _numbers(title: str, method: str, own: Interval, gap: Interval | None, n: int, best: bool) -> dict[str, Any]:
    """One row of the table in numbers."""
    ends = dict(zip(("mean", "low", "high"), own, strict=True))
    gaps = dict(zip(("difference", "difference low", "difference high"), gap or [np.nan] * 3, strict=True))
    return {"metric": title, "method": method, **ends, **gaps, "n": n, "best or not different": best}


def _one_count(seen: pd.DataFrame, titles: Sequence[str]) -> pd.DataFrame:
    """The table with one column n behind all others where every metric has the same pictures."""
    counts = [seen.pop(f"{title}: n") for title in titles]
    filled = [[text for text in texts if text] for texts in zip(*counts, strict=True)]
    if all(len(set(texts)) == 1 for texts in filled):
        return seen.assign(n=[texts[0] for texts in filled])
    return seen.assign(**{f"n, {title}": count for title, count in zip(titles, counts, strict=True)})
