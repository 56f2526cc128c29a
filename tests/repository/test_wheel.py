"""camlib from a wheel, in a folder that knows no repository: photographs, networks and the explorer are there."""

import shutil
import subprocess
import sys
import zipfile

import forked
import pytest

from camlib import paths

USE = """
import os, sys
os.chdir(sys.argv[1])
sys.path.insert(0, sys.argv[2])
import camlib, torch
from camlib import paths
from camlib.compendium.explorer import Explorer

assert "_data" in str(paths.DATA), paths.DATA
net = camlib.load_network("scenes-gap")
assert camlib.list_photos() and "efficientnet-lite0" in camlib.list_networks()
e = camlib.explain(net, camlib.load_photo("bull-mastiff"), "grad-cam")
camlib.load_network("efficientnet-lite0").logits(torch.zeros(1, 3, 224, 224))
print(Explorer(networks=("scenes-gap",)).explanation.method)
"""


@pytest.mark.slow
def test_an_installed_camlib_needs_no_repository(tmp_path):
    source, site = tmp_path / "source", tmp_path / "site"
    for name in ("camlib", "data/trained"):
        shutil.copytree(paths.ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "data/manifest.json"):
        if (paths.ROOT / name).exists():
            shutil.copy2(paths.ROOT / name, source / name)
    build = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
    command = [sys.executable, "-c", build, str(site)]
    site.mkdir()
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=300)
    (wheel,) = site.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert not [name for name in archive.namelist() if name.startswith(("tests", "data/", "notebooks"))]
        archive.extractall(site)
    printed = forked.said(USE, str(tmp_path), str(site), output=tmp_path / "said")
    assert printed.split()[-1:] == ["grad-cam"]
