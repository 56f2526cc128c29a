"""All folders of the repository, and what the path of a machine looks like in a text."""

from __future__ import annotations

import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "data" if (ROOT / "data/manifest.json").is_file() else Path(__file__).with_name("_data")
"""The repository's data/; where camlib is installed from a wheel, the manifest and the networks that it brings."""
NOTEBOOKS = ROOT / "notebooks"
BUILD = ROOT / "build"
FIGURES = ROOT / os.environ.get("CAMLIB_FIGURES", "figures")
"""Where figures and tables go; CAMLIB_FIGURES (absolute, or relative to ROOT) sends them elsewhere."""
SHARED = "CAMLIB_SHARED"
"""The environment variable that names the folder through which notebooks share passes (engine/sharing.py)."""

MACHINE_PATH = re.compile(r"(?<![\w.:/+-])/(?:root|home|Users|tmp|work|private|mnt|media)/|\b[A-Z]:\\Users\\")
"""A path that holds on one machine only; nothing that is committed may contain one."""
