"""The wheel brings the manifest and the trained networks, so that camlib works without its repository."""

from pathlib import Path
from shutil import copy2, copytree

from setuptools import setup
from setuptools.command.build_py import build_py


class WithData(build_py):
    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib, "camlib", "_data")
            target.mkdir(parents=True, exist_ok=True)
            copy2("data/manifest.json", target)
            copytree("data/trained", target / "trained", dirs_exist_ok=True)


setup(cmdclass={"build_py": WithData})
