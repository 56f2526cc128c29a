"""Explanations as files: an overlay to look at, the raw map as numbers, a record from which it can be made again."""

from __future__ import annotations

import io
import json
import math
import os
import threading
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

PICTURES = {".png": "PNG", ".webp": "WEBP", ".jpg": "JPEG", ".jpeg": "JPEG"}
SUFFIXES = (*PICTURES, ".npy", ".json")
"""What a file's name may end in."""


def write_overlay(path: Path, picture: Image.Image) -> None:
    """Write a picture in the format of its suffix; quality 92 where the format loses."""
    buffer = io.BytesIO()
    quality = {} if path.suffix.lower() == ".png" else {"quality": 92}
    picture.save(buffer, PICTURES[path.suffix.lower()], **quality)
    write(path, buffer.getvalue())


def write_map(path: Path, raw: Any) -> None:
    """Write a map as a NumPy file, float32."""
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(raw, dtype=np.float32))
    write(path, buffer.getvalue())


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record as JSON, with the versions that made it."""
    made_with = {name: _version(name) for name in ("camlib", "torch", "torchvision")}
    text = json.dumps(plain({**record, "made with": made_with}), indent=1, ensure_ascii=False, allow_nan=False)
    write(path, (text + "\n").encode(errors="backslashreplace"))  # names of files may be no Unicode


def _version(name: str) -> str | None:
    """The version of a package; None for one that runs from its sources."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def plain(value: Any) -> Any:
    """What JSON can hold: tensors and arrays as lists, NaN and infinities as None, what it has no kind for as text."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {str(key): plain(own) for key, own in value.items()}
        case list() | tuple():
            return [plain(own) for own in value]
    return getattr(value, "__qualname__", str(value))


def write(path: Path, content: bytes) -> None:
    """Write under another name of this process and thread, then rename: a file is whole or not there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{str(path.parent)!r} is no folder that can be written: {error.strerror}.") from error
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def suffix_of(path: Path) -> str:
    """The suffix that decides the format; ValueError for one that no format has."""
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path.name!r} ends in {path.suffix!r}; expected one of {', '.join(SUFFIXES)}.")
    return path.suffix.lower()
