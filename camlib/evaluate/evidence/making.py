"""The work in chunks: each is a file that is whole or not there, so a run goes on where it was killed."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
from tqdm import tqdm

from camlib import paths
from camlib.evaluate.evidence import kept, scenes
from camlib.evaluate.evidence import populations as told
from camlib.evaluate.plan import weights_digest
from camlib.networks import Network
from camlib.zoo.pretrained import load_network

WORK = paths.BUILD / "evidence"
FORM = 1
"""To be raised when the meaning of a column changes: older chunks are not taken then."""


@dataclass(frozen=True)
class Chunk:
    """Scenes of one kind and network that are finished together, at both layers."""

    network: str
    kind: str
    start: int

    @property
    def numbers(self) -> range:
        """Numbers of the scenes in their seed."""
        return range(self.start, self.start + told.CHUNK)

    def files(self, folder: Path) -> tuple[Path, Path, Path]:
        """Rows, facts, and how long it took, under a digest of everything that decides about them."""
        stem = f"{self.network}-{self.kind}-{self.start:04d}.{settings_digest(self.network)}"
        return folder / f"{stem}.parquet", folder / f"{stem}-facts.parquet", folder / f"{stem}.json"

    def done(self, folder: Path) -> bool:
        """Whether all files are there; the last is written last."""
        return self.files(folder)[-1].exists()


def chunks() -> Iterator[Chunk]:
    """All chunks in the order of the work: cheap ones first, networks in turn, so that early rows say something of all.

    Chunks with curves, and above all those with RISE and Mask, take ten times as long as the others.
    """
    starts = range(0, told.NUMBERS, told.CHUNK)
    cheap = [
        (start, kind) for start in starts for kind in told.SCENE_KINDS if kind == "several" or start >= told.CURVED
    ]
    dear = [(start, "one") for start in reversed(starts) if start < told.CURVED]
    first = sum(start < told.VARIED for start, _ in cheap)
    for start, kind in (*cheap[:first], *dear, *cheap[first:]):
        for network in told.SCENE_NETWORKS:
            yield Chunk(network, kind, start)


@cache
def network_of(name: str) -> Network:
    """The trained network, loaded once."""
    return load_network(name)


@cache
def settings_digest(network: str) -> str:
    """Of everything that decides about the rows of a network."""
    settings = {
        "form": FORM,
        "weights": weights_digest(network_of(network)),
        "layers": told.SCENE_NETWORKS[network],
        "methods": told.METHODS,
        "numbers": [told.CHUNK, told.VARIED, told.CURVED, told.DEAR],
        "seeds": told.SEEDS,
        "objects": told.SCENE_KINDS,
    }
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


def make(folder: Path = WORK, part: tuple[int, int] = (0, 1)) -> None:
    """Make every chunk that is missing; ``part`` = (i, n): only every n-th of them, so that n processes share them.

    A killed run leaves whole chunks, and running again makes the others. A chunk that raises stops the run: a scene
    that cannot be judged is a fault.
    """
    mine = list(chunks())[part[0] :: part[1]]
    todo = [chunk for chunk in mine if not chunk.done(folder)]
    for chunk in tqdm(todo, initial=len(mine) - len(todo), total=len(mine), unit="chunk", dynamic_ncols=True):
        start = time.process_time()
        rows, facts = scenes.rows_of_chunk(network_of(chunk.network), chunk.kind, chunk.numbers)
        rows_file, facts_file, seconds_file = chunk.files(folder)
        kept.write(kept.as_table(rows), rows_file)
        kept.write(kept.as_facts(facts), facts_file)
        _write_text(seconds_file, json.dumps({"seconds": round(time.process_time() - start)}))


def collect(folder: Path = WORK, out: Path = kept.EVIDENCE) -> dict[str, Any]:
    """Join the finished chunks into data/evidence/scenes.parquet and its record, which is returned.

    A chunk counts once every network has it, so that all networks are judged on the same scenes. Raises ValueError
    where none does.
    """
    everything = list(chunks())
    missing = {(chunk.kind, chunk.start) for chunk in everything if not chunk.done(folder)}
    done = [chunk for chunk in everything if (chunk.kind, chunk.start) not in missing]
    if not done:
        raise ValueError(f"No chunk is finished for all networks in {folder.name}; run make evidence.")
    files = [chunk.files(folder) for chunk in done]
    rows = pd.concat([_frame(file) for file, _, _ in files], ignore_index=True)
    facts = pd.concat([pq.read_table(file).to_pandas() for _, file, _ in files], ignore_index=True)
    seconds = sum(json.loads(file.read_text())["seconds"] for _, _, file in files)
    kept.write(kept.as_table(rows), out / "scenes.parquet")
    kept.write(kept.as_facts(facts), out / "scenes-facts.parquet")
    found = _record(rows, done, seconds)
    _write_text(out / "scenes.json", json.dumps(found, indent=1) + "\n")
    return found


def _frame(file: Path) -> pd.DataFrame:
    frame = pq.read_table(file).to_pandas()
    return frame.assign(**{name: frame[name] / kept.STEPS for name in kept.SHARES})


def _record(rows: pd.DataFrame, done: list[Chunk], seconds: int) -> dict[str, Any]:
    pictures = rows.groupby(["network", "layer", "kind"])["picture"].nunique()
    return {
        "command": "make evidence",
        "form": FORM,
        "seeds": told.SEEDS,
        "scene numbers": {kind: _numbers(done, kind) for kind in told.SCENE_KINDS},
        "scenes": {":".join(key): int(n) for key, n in pictures.items()},
        "passed over": "scenes with one object that the network names wrong, scenes with several of one class only",
        "failed": 0,
        "rows": len(rows),
        "scores": int(rows[[*kept.SHARES, *kept.MARKS]].notna().sum().sum()),
        "without common map": told.VARIED,
        "curves": told.CURVED,
        "RISE and Mask": told.DEAR,
        "settings": {name: settings_digest(name) for name in told.SCENE_NETWORKS},
        "versions": {name: version(name) for name in ("camlib", "torch", "pyarrow")},
        "machine": f"{platform.machine()}, one thread a process",
        "processor hours": round(seconds / 3600, 1),
    }


def _numbers(done: list[Chunk], kind: str) -> str:
    """Numbers of the scenes of a kind, such as "0-299, 480-539"."""
    runs: list[list[int]] = []
    for start in sorted({chunk.start for chunk in done if chunk.kind == kind}):
        if runs and runs[-1][1] == start:
            runs[-1][1] = start + told.CHUNK
        else:
            runs.append([start, start + told.CHUNK])
    return ", ".join(f"{first}-{end - 1}" for first, end in runs)


def _write_text(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)
