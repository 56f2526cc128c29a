"""Imported once, by the process from which the kernels of compared notebooks are forked (comparison.py)."""

from camlib import paths
from camlib.compendium import kernels

kernels.preload(paths.notebooks())
