"""``Explanation``: one heatmap with everything needed to read, draw, keep and check it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from camlib.engine.placing import Origin, on_original
from camlib.pictures import Picture, to_pil
from camlib.plots import keeping, overlays


class DegenerateMapWarning(UserWarning):
    """A class activation map is flat and was returned as zeros; the message says why."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """One heatmap with everything needed to read, draw and check it.

    Attributes:
        heatmap: float32 [H, W] in [0, 1] at the resolution of the network's input, CPU.
        raw: class activation map [h, w] before upsampling and scaling, after the ReLU where the method has one; for
            pixel methods the saliency [H, W].
        weights: class activation weight, [K] or [K, h, w], of which ``raw`` is the weighted sum (with ``common`` the
            method's weight minus β); None for methods that make maps or pixels.
        target, target_name, probability: the explained class and its probability; for a function of the output None,
            its name and its value.
        method, layer, network: names.
        picture: index of the picture in the call.
        image: float32 [3, H, W] in [0, 1], the picture as the network saw it.
        degenerate, reason: True and a sentence where the map is flat (the heatmap is then zeros).
        details: what else the method found, by name; union-cam: which branch won, and the weights. Where the common
            map was removed: "common", "common_beta" (β, a number, or [h, w] for centered pixel weights) and
            "common_share" (share of H's norm along ΣM, in [0, 1]).
        options: the method's options as given, and ``relu`` and ``common``.
        probabilities: softmax probabilities of all classes, float32 [C]; None for an explanation made by hand.
        names: the network's class names, or None.
        origin: size and path of the picture as it was given; None for a ready batch.
    """

    heatmap: Tensor
    raw: Tensor
    weights: Tensor | None
    target: int | None
    target_name: str
    probability: float
    method: str
    layer: str
    network: str
    picture: int
    image: Tensor
    degenerate: bool = False
    reason: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    probabilities: Tensor | None = None
    names: Sequence[str] | None = None
    origin: Origin | None = None

    def __repr__(self) -> str:
        size = "x".join(map(str, self.raw.shape))
        flat = ", degenerate" if self.degenerate else ""
        return (
            f"Explanation({self.method} of {self.target_name!r} at {self.probability:.3f}, picture {self.picture}, "
            f"layer {self.layer!r} of {self.network}, map {size}{flat})"
        )

    def top(self, count: int = 5) -> list[tuple[int, str, float]]:
        """The most probable classes of the picture as (index, name, probability).

        Raises ValueError for an explanation that was made without ``probabilities``.
        """
        if self.probabilities is None:
            raise ValueError("This explanation holds no probabilities. Make it by camlib.explain or camlib.compare.")
        best = self.probabilities.topk(min(count, len(self.probabilities)))
        names = self.names or [f"class {index}" for index in range(len(self.probabilities))]
        return [(i, names[i], p) for i, p in zip(best.indices.tolist(), best.values.tolist(), strict=True)]

    def on_original(self) -> Tensor:
        """The heatmap on the picture as it was given, float32 [H0, W0] in [0, 1]; 0 where the network saw nothing.

        Raises ValueError for a ready batch, and where the network's own transform does not say what it cuts out.
        """
        if self.origin is None:
            raise ValueError("A ready batch has no original. Explain the picture itself, or use .heatmap.")
        return on_original(self.heatmap, self.origin.place(), self.origin.size)

    def overlay(
        self, original: Picture | bool | None = None, opacity: float = overlays.OPACITY, threshold: float = 0.0
    ) -> Image.Image:
        """The heatmap over the picture, for people, see :func:`camlib.plots.overlays.overlay_picture`.

        ``original``: the picture that was given lends its full resolution; True opens it from its path anew; None shows
        what the network saw. Raises ValueError for a picture of another size, or True without a path.
        """
        if original is None or original is False:
            return overlays.overlay_picture(self.image, self.heatmap, opacity, threshold)
        if original is True:
            if self.origin is None or self.origin.source is None:
                raise ValueError(
                    "The picture was not given as a path; pass the picture itself: overlay(original=photo)."
                )
            original = self.origin.source
        picture = original if isinstance(original, Tensor) else to_pil(original)
        if isinstance(picture, Tensor) and picture.dim() == 3 and picture.shape[0] == 1:
            picture = picture.expand(3, -1, -1)
        return overlays.overlay_picture(picture, self.on_original(), opacity, threshold)

    def boxes(self, threshold: float = 0.5, original: bool = False) -> list[tuple[int, int, int, int]]:
        """Boxes (x0, y0, x1, y1), half-open pixels, of the regions of at least ``threshold`` times the map's maximum.

        The largest region first; on the network's input, or with ``original`` on the picture as it was given. An empty
        map has none.
        """
        return overlays.regions(self.on_original() if original else self.heatmap, threshold)

    def save(self, path: str | PathLike, original: Picture | bool | None = None, **look: Any) -> Path:
        """Write what the suffix says; returns the path.

        ``.png``, ``.webp``, ``.jpg``: :meth:`overlay` (``original``, ``opacity`` and ``threshold`` as there). ``.npy``:
        the raw map. ``.json``: :meth:`record`. Folders are made; a file is whole or not there.
        """
        path = Path(path)
        suffix = keeping.suffix_of(path)
        if suffix == ".npy":
            keeping.write_map(path, self.raw)
        elif suffix == ".json":
            keeping.write_record(path, self.record())
        else:
            keeping.write_overlay(path, self.overlay(original, **look))
        return path

    def record(self) -> dict[str, Any]:
        """Everything needed to make the map again, and what came out, as JSON can hold it."""
        source = None if self.origin is None else self.origin.source
        facts = {name: getattr(self, name) for name in ("network", "method", "layer", "target", "target_name")}
        facts |= {"options": self.options, "picture": source if source is not None else self.picture}
        facts |= {"original size": None if self.origin is None else self.origin.size, "input size": self.heatmap.shape}
        facts |= {
            "probability": self.probability,
            "top": None if self.probabilities is None else self.top(),
            "boxes": self.boxes() if self.heatmap.dim() == 2 else None,
        }
        facts |= {"degenerate": self.degenerate, "reason": self.reason, "details": self.details}
        return keeping.plain(facts)

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        self.overlay().save(buffer, "PNG")
        return buffer.getvalue()
