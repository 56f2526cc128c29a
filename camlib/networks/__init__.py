"""Anybody's network: how it is called, what it is given and returns, and what runs in its place.

It stands on pictures and layers; everything from the engine upward imports from it.
Take ``Network``; ``Ready`` is its module ready to run, ``Runner`` how it is called.
"""

from camlib.networks.calling import Extra, Runner
from camlib.networks.checks import ModuleFailed
from camlib.networks.network import Network
from camlib.networks.ready import Ready
from camlib.networks.warning import (
    BatchDependentWarning,
    BlindNetworkWarning,
    NetworkWarning,
    RandomNetworkWarning,
    outside_stacklevel,
)

__all__ = [
    "BatchDependentWarning",
    "BlindNetworkWarning",
    "Extra",
    "ModuleFailed",
    "Network",
    "NetworkWarning",
    "RandomNetworkWarning",
    "Ready",
    "Runner",
    "outside_stacklevel",
]
