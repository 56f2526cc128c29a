"""What is said about a network that works, but not as somebody who explains it may think."""

from __future__ import annotations

import sys
import warnings

from camlib.layers import Survey


class NetworkWarning(UserWarning):
    """The logits depend on more than the picture, or not on it; the message says on what, and what to do."""


class RandomNetworkWarning(NetworkWarning):
    """Two passes of one picture give different logits."""


class BatchDependentWarning(NetworkWarning):
    """The logits of a picture depend on the other pictures of its batch."""


class BlindNetworkWarning(NetworkWarning):
    """The logits do not depend on the picture at all."""


def warn_about(survey: Survey, network: str) -> None:
    """Say once for every survey what makes explanations of this network less certain than they look."""
    if survey.random:
        warnings.warn(
            f"{network} is random: two passes of one picture give different logits, in eval mode, too. Look for "
            f"functional.dropout without training=self.training, or for modules in a plain list, which eval() does not "
            f"reach. Its explanations differ from call to call; average several.",
            RandomNetworkWarning,
            stacklevel=outside_stacklevel(),
        )
    if survey.blind:
        warnings.warn(
            f"{network} gives quite different pictures the same logits, to the last bit: what it answers does not "
            f"depend on the picture, so no map of it means anything. Look for weights that are all zero, a ReLU that "
            f"is never positive, or a constant in its forward.",
            BlindNetworkWarning,
            stacklevel=outside_stacklevel(),
        )
    if survey.batch_matters:
        warnings.warn(
            f"{network} looks at the whole batch: a picture's logits depend on its batch mates (BatchNorm without "
            f"running statistics, for example). camlib runs every picture alone, so that a batch gives what single "
            f"pictures give; that is slower, and not what the network says of a picture in another batch.",
            BatchDependentWarning,
            stacklevel=outside_stacklevel(),
        )


def outside_stacklevel() -> int:
    """``stacklevel`` with which ``warnings.warn`` in the calling function points at the first frame outside camlib.

    However deep inside the package a warning arises, it then names the line of the user's program. Where the whole
    stack is inside, the outermost frame is named.
    """
    package = __name__.partition(".")[0]
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] == package:
        level, frame = level + 1, frame.f_back
    return level
