"""One color and one marker for every method, the same in all figures.

Related methods have related hues: gray, blue, green, orange, purple by family, from dark to light within one; the
gradient methods, which meet in most charts, stand further apart. A color alone cannot tell forty methods apart, least
of all to a color-blind reader, so that methods whose colors come near each other in any kind of vision have different
markers; a test measures it.
"""

from __future__ import annotations

from typing import NamedTuple

from camlib.registry import METHODS


class Style(NamedTuple):
    """Color (hex) and marker (matplotlib's) of a method: ``ax.plot(x, y, color=style.color, marker=style.marker)``."""

    color: str
    marker: str


METHOD_STYLES: dict[str, Style] = {
    # channel: black and gray
    "feature-map": Style("#1F1F1F", ">"),
    "gap-cam": Style("#3C3C3C", "D"),
    "eigen-cam": Style("#5A5A5A", "P"),
    # gradient: blue
    "grad-cam": Style("#003E71", "o"),
    "grad-cam++": Style("#2B7BC4", "^"),
    "xgrad-cam": Style("#1C5791", "<"),
    "layer-cam": Style("#4BA6DC", ">"),
    "hires-cam": Style("#7FB2E8", "d"),
    "sca-cam": Style("#4A74DC", "*"),
    "smooth-grad-cam++": Style("#93B4E6", "s"),
    # contrast: sky blue; shapley: teal
    "finer-cam": Style("#3D99CA", "P"),
    "case": Style("#6EC5F9", "D"),
    "shapley-cam": Style("#288A7B", "o"),
    "lift-cam": Style("#5BBBAA", "H"),
    # score: vermilion and orange
    "score-cam": Style("#973400", "s"),
    "score-cam-cic": Style("#A84000", ">"),
    "score-cam-softmax": Style("#BA4C00", "d"),
    "score-cam-raw": Style("#CB5700", "P"),
    "score-cam-binary": Style("#DC650E", "<"),
    "is-cam": Style("#EB7324", "v"),
    "ss-cam": Style("#F98236", "*"),
    "opti-cam": Style("#FF9146", "D"),
    # tail: green
    "ablation-cam": Style("#005418", "h"),
    "recipro-cam": Style("#147834", "X"),
    "fd-cam": Style("#4A9C5A", "p"),
    # hybrid: purple; learned: wine
    "sa-cam": Style("#9E557E", "p"),
    "group-cam": Style("#C976A4", "h"),
    "union-cam": Style("#EE9EC9", "v"),
    "lfi-cam": Style("#882255", "*"),
    # baselines, perturbation: ochre; pixel: light gray
    "rise": Style("#A88800", "^"),
    "mask": Style("#D8B225", "o"),
    "gradient": Style("#777777", "v"),
    "guided-backprop": Style("#838383", "<"),
    "deconvnet": Style("#909090", "s"),
    "guided-score-cam": Style("#9C9C9C", "D"),
    "smooth-grad": Style("#A9A9A9", "d"),
    "integrated-gradients": Style("#B6B6B6", "X"),
}

UNKNOWN = Style("#000000", "x")
"""Style of a method that has no entry: one that a reader has registered."""


def method_title(text: str) -> str:
    """A text in which a registered name is written as the literature prints it: "grad-cam" becomes "Grad-CAM".

    The whole text, or one of its lines, must be the name; everything else stays as it is. Maps that know nothing of the
    picture, which metrics are compared with, have names, too: "center-gaussian" becomes "centered Gaussian".
    """
    return "\n".join(METHODS[line].title if line in METHODS else _CONTROLS.get(line, line) for line in text.split("\n"))


_CONTROLS = {"center-gaussian": "centered Gaussian", "all-ones": "map of ones"}


def method_style(name: str) -> Style:
    """Color and marker of a method by its registered name or its title; :data:`UNKNOWN` for one that is not ours."""
    known = METHOD_STYLES.get(name)
    if known is None:
        known = next((METHOD_STYLES.get(key) for key, m in METHODS.items() if m.title == name), None)
    return known or UNKNOWN
