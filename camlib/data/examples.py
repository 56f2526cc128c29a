"""Pictures with their ground truth, one by one and as a sequence: what every reader returns."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

from camlib.data.boxes import LabeledBox


@dataclass(frozen=True, eq=False)
class Example:
    """One picture with its ground truth, both read when they are asked for.

    Attributes:
        id: unique in its data set; never an absolute path.
        load: opens the picture (RGB, upright); raises an exception if it cannot.
        annotate: returns the objects; raises ValueError for a broken annotation.
        label: ImageNet index, or None.
        version: changes when the picture's bytes, its annotation or its label do, so that results of
            another version of the file are not taken for this one's.
    """

    id: str
    load: Callable[[], Image.Image]
    annotate: Callable[[], Iterable[LabeledBox]] = tuple
    label: int | None = None
    version: str = ""

    @property
    def picture(self) -> Image.Image:
        """The picture, opened anew."""
        return self.load()

    @property
    def boxes(self) -> tuple[LabeledBox, ...]:
        """The annotated objects; empty where there are none."""
        return tuple(self.annotate())


@dataclass(frozen=True, eq=False)
class Dataset(Sequence[Example]):
    """A list of examples, made one by one.

    Attributes:
        name: what it is, with every choice that decides about its content; part of the settings of a run.
        ids: the examples' names, in order.
        make: id -> :class:`Example`.
    """

    name: str
    ids: tuple[str, ...]
    make: Callable[[str], Example]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return replace(self, ids=self.ids[index])
        return self.make(self.ids[index])

    def sample(self, count: int | None, seed: int = 0) -> Dataset:
        """``count`` examples drawn by lot, in the old order; all of them for None or where there are no more.

        A larger count with the same seed contains the smaller ones, so that a run can be extended.
        """
        if count is not None and count < 1:
            raise ValueError(f"count={count}: expected at least one picture, or None for all.")
        if count is None or count >= len(self):
            return self
        drawn = random.Random(seed).sample(range(len(self)), len(self))[:count]
        return replace(self, ids=tuple(self.ids[i] for i in sorted(drawn)))


def single_object(dataset: Dataset, largest_share: float = 0.5, count: int | None = None, seed: int = 0) -> Dataset:
    """Pictures with exactly one object, which covers less than a share of the picture; the energy-based pointing game.

    Pictures are opened in an order drawn by lot until ``count`` of them fit (None: all are opened); the old order comes
    back at the end, and a larger count contains the smaller ones. What cannot be read does not fit. Raises ValueError
    where no picture fits.
    """
    fitting: list[int] = []
    for index in random.Random(seed).sample(range(len(dataset)), len(dataset)):
        if len(fitting) == (len(dataset) if count is None else count):
            break
        if _has_one_object(dataset[index], largest_share):
            fitting.append(index)
    if not fitting:
        raise ValueError(
            f"No picture of {dataset.name} has exactly one object that covers less than {largest_share:.0%} of it; "
            f"{len(dataset)} were looked at. Give a data set with boxes."
        )
    ids = tuple(dataset.ids[index] for index in sorted(fitting))
    return replace(dataset, name=f"{dataset.name}, one object below {largest_share:.0%}", ids=ids)


def _has_one_object(example: Example, largest_share: float) -> bool:
    try:
        boxes = example.boxes
        if len(boxes) != 1:
            return False
        width, height = example.picture.size
    except (OSError, ValueError):
        return False
    return (boxes[0].x1 - boxes[0].x0) * (boxes[0].y1 - boxes[0].y0) < largest_share * width * height


def digest(*parts: object) -> str:
    """16 hexadecimal digits that change with any of the parts."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
