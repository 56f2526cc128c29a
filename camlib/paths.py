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

APPENDIX, SOLUTIONS = "appendix", "solutions"
"""Folders in notebooks/: what stands behind a notebook ("08a_…"), and its exercises ("08_…_solutions")."""

MACHINE_PATH = re.compile(r"(?<![\w.:/+-])/(?:root|home|Users|tmp|work|private|mnt|media)/|\b[A-Z]:\\Users\\")
"""A path that holds on one machine only; nothing that is committed may contain one."""


def notebook(name: str, home: Path | None = None) -> Path:
    """Where the notebook of that name belongs, there or not: "08a_x" in appendix/, "08_x_solutions" in solutions/."""
    folder = APPENDIX if re.match(r"\d\d[a-z]_", name) else SOLUTIONS if name.endswith("_solutions") else ""
    return (home or NOTEBOOKS) / folder / f"{name}.ipynb"


def notebooks(home: Path | None = None) -> list[Path]:
    """Every notebook: the course, the appendix, the solutions, each by its numbers."""
    home = home or NOTEBOOKS
    return [path for folder in ("", APPENDIX, SOLUTIONS) for path in sorted((home / folder).glob("*.ipynb"))]
