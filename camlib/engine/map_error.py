"""The expected error of a map some of whose scores were interpolated, as a correlation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from camlib.engine.landmarks import Reading


@dataclass(frozen=True, eq=False)
class Part:
    """How a map H = Σ_j w_j M_j depends on the values that one reading has interpolated.

    Attributes:
        reading: the interpolated values, at n places.
        effect: ∂H/∂v_k, [n, p].
        moved: Σ_j ∂w_j/∂v_k, [n]: what the sum of all weights does.
    """

    reading: Reading
    effect: Tensor
    moved: Tensor


@dataclass(frozen=True, eq=False)
class MapError:
    """Expected error of one picture's map.

    Attributes:
        parts: one for each kind of masked picture whose scores were interpolated; none where all scores are exact.
        total: ΣM over all channels, [p].
        channels: number of live channels.
        passes: masked pictures that ran.
    """

    parts: tuple[Part, ...]
    total: Tensor
    channels: int
    passes: int

    def covariance(self, common: str = "keep") -> Tensor:
        """Of the map's error between positions, [p, p], in units of the map; ``common`` as the map was made."""
        found = torch.zeros(len(self.total), len(self.total), dtype=torch.float64)
        for part in self.parts:
            effect = self._without(part, common)
            found += part.reading.variance * (effect.T @ part.reading.kriging.errors.times(effect))
        return found

    def _without(self, part: Part, common: str) -> Tensor:
        """The effect on H − β ΣM, where β moves with the scores as well."""
        if common == "keep":
            return part.effect
        if common == "center":
            share = part.moved / self.channels
        else:
            share = part.effect @ self.total / self.total.square().sum().clamp(min=torch.finfo(torch.float64).tiny)
        return part.effect - torch.outer(share, self.total)

    def details(self, found: Tensor, rectified: bool, common: str = "keep") -> dict[str, object]:
        """What an explanation says of it: "passes", "live_channels" and "expected_correlation"."""
        expected = self.expected_correlation(found, rectified, common)
        return {"passes": self.passes, "live_channels": self.channels, "expected_correlation": expected}

    def expected_correlation(self, found: Tensor, rectified: bool, common: str = "keep") -> float | None:
        """Correlation that the map ``found`` [h, w] is expected to have with the exact one; None for a constant map.

        ``rectified`` says that negative values became 0: errors below 0 do not show.
        """
        if not self.parts:
            return 1.0
        found, error = found.detach().cpu().double().flatten(), self.covariance(common)
        if rectified:
            shown = (found > 0).double()
            error = error * torch.outer(shown, shown)
        return expected_correlation(found, error)


def expected_correlation(found: Tensor, error: Tensor) -> float | None:
    """Correlation that a map [p] is expected to have with the true one, from the covariance of its error [p, p].

    1 / √(1 + V/‖found − mean‖²), V the variance of the error across the map: the parts along the map itself and along
    the constant map only scale and shift it. None where the map is constant.
    """
    centered = found - found.mean()
    square = float(centered @ centered)
    if not square:
        return None
    error = error - error.mean(dim=0) - error.mean(dim=1, keepdim=True) + error.mean()
    across = float(error.trace() - centered @ error @ centered / square)
    return 1 / math.sqrt(1 + max(across, 0.0) / square)
