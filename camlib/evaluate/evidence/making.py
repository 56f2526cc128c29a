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
from camlib.evaluate.evidence import kept, photographs, scenes
from camlib.evaluate.evidence import populations as told
from camlib.evaluate.plan import weights_digest
from camlib.networks import Network
from camlib.zoo.pretrained import load_network

WORK = paths.BUILD / "evidence"
FORM = 1
"""To be raised when the meaning of a column changes: older chunks are not taken then."""


@dataclass(frozen=True)
class Chunk:
    """Pictures of one kind and network that are finished together, at all layers."""

    network: str
    kind: str
    start: int

    @property
    def part(self) -> str:
        """Which of :data:`kept.PARTS` its rows belong to."""
        return "photographs" if self.kind == photographs.KIND else "scenes"

    @property
    def numbers(self) -> range:
        """Numbers of the scenes in their seed, or places of the photographs in their order."""
        return range(self.start, self.start + (told.PHOTO_CHUNK if self.part == "photographs" else told.CHUNK))

    def files(self, folder: Path) -> tuple[Path, Path, Path]:
        """Rows, facts, and how long it took, under a digest of everything that decides about them."""
        stem = f"{self.network}-{self.kind}-{self.start:04d}.{settings_digest(self.network)}"
        return folder / f"{stem}.parquet", folder / f"{stem}-facts.parquet", folder / f"{stem}.json"

    def done(self, folder: Path) -> bool:
        """Whether all files are there; the last is written last."""
        return self.files(folder)[-1].exists()

    def make(self, folder: Path, samples: Path | None) -> None:
        """Compute and write it."""
        start = time.process_time()
        if self.part == "photographs":
            rows, facts = photographs.rows_of_chunk(network_of(self.network), photographs.drawn(samples), self.numbers)
        else:
            rows, facts = scenes.rows_of_chunk(network_of(self.network), self.kind, self.numbers)
        rows_file, facts_file, seconds_file = self.files(folder)
        kept.write(kept.as_table(rows), rows_file)
        kept.write(kept.as_facts(facts), facts_file)
        _write_text(seconds_file, json.dumps({"seconds": round(time.process_time() - start)}))


def scene_chunks() -> Iterator[Chunk]:
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


def photo_chunks() -> Iterator[Chunk]:
    """All chunks of photographs, networks in turn."""
    for start in range(0, told.PHOTOGRAPHS, told.PHOTO_CHUNK):
        for network in told.PHOTO_NETWORKS:
            yield Chunk(network, photographs.KIND, start)


def chunks(part: str) -> list[Chunk]:
    """All chunks of a part, in the order of the work."""
    return list(photo_chunks() if part == "photographs" else scene_chunks())


@cache
def network_of(name: str) -> Network:
    """The network, loaded once."""
    return load_network(name)


@cache
def settings_digest(network: str) -> str:
    """Of everything that decides about the rows of a network."""
    common = {"form": FORM, "weights": weights_digest(network_of(network))}
    if network in told.PHOTO_NETWORKS:
        settings = common | {"layers": told.PHOTO_NETWORKS[network]} | photographs.settings()
    else:
        settings = common | {
            "layers": told.SCENE_NETWORKS[network],
            "methods": told.METHODS,
            "numbers": [told.CHUNK, told.VARIED, told.CURVED, told.DEAR],
            "seeds": told.SEEDS,
            "objects": told.SCENE_KINDS,
        }
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


def make(
    folder: Path = WORK, share: tuple[int, int] = (0, 1), samples: Path | None = None, out: Path = kept.EVIDENCE
) -> None:
    """Make every chunk of scenes that is missing, and with ``samples`` those of photographs.

    ``share`` = (i, n): only every n-th of them, so that n processes share them. A killed run leaves whole chunks, and
    running again makes the others; what ``out`` has already, with the same settings, is not made again. A chunk that
    raises stops the run: a picture that cannot be judged is a fault.
    """
    parts = kept.PARTS if samples else kept.PARTS[:1]
    mine = [chunk for part in parts for chunk in chunks(part)][share[0] :: share[1]]
    there = {chunk for part in parts for chunk in collected(part, out)}
    todo = [chunk for chunk in mine if chunk not in there and not chunk.done(folder)]
    for chunk in tqdm(todo, initial=len(mine) - len(todo), total=len(mine), unit="chunk", dynamic_ncols=True):
        chunk.make(folder, samples)


def collected(part: str, out: Path = kept.EVIDENCE) -> list[Chunk]:
    """The chunks whose rows ``out`` has, in the order of the work: those of its record, as far as settings agree."""
    if not (out / f"{part}.json").is_file():
        return []
    found, everything = kept.record(part, out), chunks(part)
    networks = {each.network for each in everything} & set(found["settings"])
    same = {name for name in networks if found["settings"][name] == settings_digest(name)}
    if found["form"] != FORM:
        return []
    spans = {name: _starts(text) for name, text in found["numbers"].items()}
    return [each for each in everything if each.network in same and each.start in spans.get(_group(each), ())]


def collect(folder: Path = WORK, out: Path = kept.EVIDENCE, part: str = "scenes") -> dict[str, Any]:
    """Add the finished chunks of a part to data/evidence/<part>.parquet and its record, which is returned.

    A chunk of scenes counts once every network has it, so that all networks are judged on the same scenes; one of
    photographs counts by itself. Rows that ``out`` has with other settings are left out.
    Raises ValueError where no chunk counts.
    """
    everything, before = chunks(part), set(collected(part, out))
    lacking = [each for each in everything if each not in before and not each.done(folder)]
    missing = {(each.kind, each.start) for each in lacking}
    done = [
        each
        for each in everything
        if (each not in lacking if part == "photographs" else (each.kind, each.start) not in missing)
    ]
    if not done:
        raise ValueError(f"No chunk of {part} is finished in {folder.name}; run make evidence.")
    files = [each.files(folder) for each in done if each not in before]
    rows, facts = [_frame(file) for file, _, _ in files], [pq.read_table(file).to_pandas() for _, file, _ in files]
    seconds = sum(json.loads(file.read_text(encoding="utf-8"))["seconds"] for _, _, file in files)
    if before:
        rows.insert(0, _of(before, _frame(out / f"{part}.parquet")))
        facts.insert(0, _of(before, kept.read_facts(part, out)))
        seconds += 3600 * kept.record(part, out)["processor hours"]
    everything_kept = pd.concat(rows, ignore_index=True)
    kept.write(kept.as_table(everything_kept), out / f"{part}.parquet")
    kept.write(kept.as_facts(pd.concat(facts, ignore_index=True)), out / f"{part}-facts.parquet")
    found = _record(everything_kept, done, seconds)
    _write_text(out / f"{part}.json", json.dumps(found, indent=1) + "\n")
    return found


def _of(chosen: set[Chunk], frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of the networks and kinds of these chunks: the others were made with other settings."""
    pairs = {(each.network, each.kind) for each in chosen}
    return frame[[pair in pairs for pair in zip(frame["network"], frame["kind"], strict=True)]]


def _group(chunk: Chunk) -> str:
    """What the record counts the numbers of a chunk under: its kind, or the network of photographs."""
    return chunk.network if chunk.part == "photographs" else chunk.kind


def _frame(file: Path) -> pd.DataFrame:
    frame = pq.read_table(file).to_pandas()
    return frame.assign(**{name: frame[name] / kept.STEPS for name in kept.SHARES})


_SCENES = {
    "command": "make evidence",
    "seeds": told.SEEDS,
    "passed over": "scenes with one object that the network names wrong, scenes with several of one class only",
    "without common map": told.VARIED,
    "curves": told.CURVED,
    "RISE and Mask": told.DEAR,
}
_PHOTOGRAPHS = {
    "command": "make evidence SAMPLES=DIR",
    "source": "EliSchwartz/imagenet-sample-images, 800 of its 1,000 photographs; names only, no picture is kept",
    "order": told.PHOTO_SEED,
    "curves, SA-CAM, binary masks": told.CURVED_PHOTOGRAPHS,
}


def _record(rows: pd.DataFrame, done: list[Chunk], seconds: int) -> dict[str, Any]:
    pictures = rows.groupby(["network", "layer", "kind"])["picture"].nunique()
    kinds = dict.fromkeys(chunk.kind for chunk in done)
    return (_PHOTOGRAPHS if photographs.KIND in kinds else _SCENES) | {
        "form": FORM,
        "numbers": {name: _numbers(done, name) for name in dict.fromkeys(map(_group, done))},
        "pictures": {":".join(key): int(n) for key, n in pictures.items()},
        "failed": 0,
        "rows": len(rows),
        "scores": int(rows[[*kept.SHARES, *kept.MARKS]].notna().sum().sum()),
        "settings": {name: settings_digest(name) for name in dict.fromkeys(chunk.network for chunk in done)},
        "versions": {name: version(name) for name in ("camlib", "torch", "pyarrow")},
        "machine": f"{platform.machine()}, one thread a process",
        "processor hours": round(seconds / 3600, 1),
    }


def _numbers(done: list[Chunk], group: str) -> str:
    """Numbers of the pictures of a group, such as "0-299, 480-539"."""
    runs: list[list[int]] = []
    for numbers in sorted({(c.numbers.start, c.numbers.stop) for c in done if _group(c) == group}):
        if runs and runs[-1][1] == numbers[0]:
            runs[-1][1] = numbers[1]
        else:
            runs.append([*numbers])
    return ", ".join(f"{first}-{end - 1}" for first, end in runs)


def _starts(numbers: str) -> set[int]:
    """Every number that ``_numbers`` names."""
    ends = [map(int, run.split("-")) for run in numbers.split(", ")]
    return {number for first, last in ends for number in range(first, last + 1)}


def _write_text(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)
