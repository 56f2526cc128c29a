"""Results on disk: one row per picture, method, metric and class, kept in SQLite.

SQLite, because a picture's rows must arrive together or not at all, one after the other, for hours: a transaction is
exactly that, a ``kill -9`` loses the picture in flight and nothing else, and it is part of Python. A Parquet file is
complete only when its footer is written, so that appending means one file a batch and a reader that repairs what was
cut off; it would also be one more dependency.

Rows are only ever added. Each belongs to a :class:`Setting`: everything that can change its number, named by a hash.
Another option, weight file, layer or version of camlib is another setting, and its rows never meet the old ones. A
metric or method that is added leaves the settings of the others as they were. Processes write one file each, into one
folder; readers take all files of the folder.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from torch import Tensor

OK = "ok"
DEGENERATE = "degenerate"
"""The heatmap is flat, and the value is the one that the metric defines for an empty map."""
NO_BOX = "no box"
NO_TARGET = "no target"
CORRUPT = "corrupt picture"
ERROR = "error"
STATUSES = (OK, DEGENERATE, NO_BOX, NO_TARGET, CORRUPT, ERROR)
"""What became of a row; the first two have a value, the others a note that says why not."""

NAMES = ("dataset", "network", "layer", "target", "method", "metric")
COLUMNS = (*NAMES, "picture", "class", "class_name", "value", "status", "note")
_FORMAT = 1  # PRAGMA user_version
_BUSY_SECONDS = 60
_SCHEMA = f"""
CREATE TABLE settings (key TEXT PRIMARY KEY, {", ".join(f"{name} TEXT NOT NULL" for name in NAMES)},
                       description TEXT NOT NULL);
CREATE TABLE rows (setting TEXT NOT NULL REFERENCES settings, picture TEXT NOT NULL, version TEXT NOT NULL,
                   class INTEGER, class_name TEXT, value REAL, status TEXT NOT NULL, note TEXT NOT NULL);
CREATE UNIQUE INDEX one_row ON rows (picture, version, setting, COALESCE(class, -1));
PRAGMA user_version = {_FORMAT};
"""


@dataclass(frozen=True)
class Setting:
    """Everything that decides about the number in a row, but for the picture.

    ``names`` are the values of :data:`NAMES` for people, ``description`` (JSON) has all of it.
    """

    names: tuple[str, ...]
    description: str

    @classmethod
    def of(cls, names: Mapping[str, str], description: Mapping[str, Any]) -> Setting:
        """The setting of these names with a description that always reads the same."""
        text = json.dumps(plain({**description, "names": names}), sort_keys=True, ensure_ascii=False)
        return cls(tuple(names[name] for name in NAMES), text)

    @cached_property
    def key(self) -> str:
        """16 hexadecimal digits that change with anything in the description."""
        return hashlib.sha256(self.description.encode()).hexdigest()[:16]


def plain(value: Any) -> Any:
    """The value as JSON can hold it; tensors by the hash of their bytes, functions by name, the rest as Python prints
    it.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, Tensor):
        array = value.detach().cpu().contiguous().numpy()
        return f"{value.dtype} {list(value.shape)} {hashlib.sha256(array.tobytes()).hexdigest()}"
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return getattr(value, "__qualname__", None) or repr(value)


class Row(NamedTuple):
    """One result; ``target`` and ``value`` are None where there is none, ``note`` then says why."""

    setting: str
    picture: str
    version: str
    target: int | None
    target_name: str | None
    value: float | None
    status: str
    note: str = ""


class Store:
    """One file of results, open for adding; a context manager.

    Raises ValueError for a file that is no results store, is damaged, or has another format, and OSError where it
    cannot be written or another process holds it; both name the file and the way out.
    """

    def __init__(self, file: str | Path) -> None:
        self.file = Path(file)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self._connection = _connect(self.file)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def describe(self, settings: Iterable[Setting]) -> None:
        """Enter settings that rows are going to name; known ones stay."""
        marks = ", ".join("?" * (len(NAMES) + 2))
        rows = [(setting.key, *setting.names, setting.description) for setting in settings]
        with _saying(self.file), self._connection:
            self._connection.executemany(f"INSERT OR IGNORE INTO settings VALUES ({marks})", rows)

    def add(self, rows: Iterable[Row]) -> None:
        """Add the rows of one picture: all of them, or none where the process ends in between."""
        with _saying(self.file), self._connection:
            self._connection.executemany("INSERT OR IGNORE INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)


def finished(folder: str | Path) -> dict[tuple[str, str], frozenset[str]]:
    """(picture, version) -> keys of the settings under which it is finished, from all files of the folder."""
    done: dict[tuple[str, str], frozenset[str]] = {}
    alike: dict[frozenset[str], frozenset[str]] = {}  # most pictures share one set: keep it once
    query = "SELECT picture, version, GROUP_CONCAT(DISTINCT setting) FROM rows GROUP BY picture, version"
    for file, connection in _stores(folder):
        with _saying(file):
            rows = connection.execute(query).fetchall()
        for picture, version, keys in rows:
            found = done.get((picture, version), frozenset()) | frozenset(keys.split(","))
            done[picture, version] = alike.setdefault(found, found)
    return done


def read(folder: str | Path, keys: Collection[str]) -> pd.DataFrame:
    """The rows of these settings from all files of a folder, with the columns :data:`COLUMNS` and ``version``.

    A row that several files hold (folders that were merged by hand) is taken once.
    """
    columns = ", ".join([*(f"settings.{name}" for name in NAMES), *(f"rows.{name}" for name in _ROW_COLUMNS)])
    marks = ", ".join("?" * len(keys))
    query = f"SELECT {columns} FROM rows JOIN settings ON settings.key = rows.setting WHERE setting IN ({marks})"
    kinds = {"value": "float64", "class": "Int64"}
    parts = []
    for file, connection in _stores(folder):
        with _saying(file):
            found = pd.read_sql_query(query, connection, params=sorted(keys), dtype=kinds)
        parts += [found] if len(found) else []
    if not parts:
        return pd.DataFrame(columns=[*COLUMNS, "version"])
    rows = pd.concat(parts, ignore_index=True)
    return rows.drop_duplicates(subset=[*NAMES, "picture", "version", "class"], ignore_index=True)


_ROW_COLUMNS = ("picture", "class", "class_name", "value", "status", "note", "version")


def _stores(folder: str | Path) -> Iterator[tuple[Path, sqlite3.Connection]]:
    """Every results file of a folder, open; not read-only, so that SQLite can take back what a killed process left."""
    for file in sorted(Path(folder).glob("*.sqlite")):
        with closing(_connect(file)) as connection:
            yield file, connection


def _connect(file: Path) -> sqlite3.Connection:
    with _saying(file):
        connection = sqlite3.connect(file, timeout=_BUSY_SECONDS)
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            empty = connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone() == (0,)
            if version == 0 and empty:
                connection.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
            elif version != _FORMAT:
                raise sqlite3.DatabaseError(f"its format is {version}, not {_FORMAT}")
        except sqlite3.Error:
            connection.close()
            raise
    return connection


_TROUBLES = {
    "SQLITE_BUSY": "another process holds it. Wait for that one, or give another folder with --out",
    "SQLITE_LOCKED": "another process holds it. Wait for that one, or give another folder with --out",
    "SQLITE_FULL": "the disk is full. Make room and run again: it goes on where it stopped",
    "SQLITE_IOERR": "the disk does not take or give it. Make room and run again: it goes on where it stopped",
    "SQLITE_READONLY": "it may not be written. Give a folder of your own with --out",
    "SQLITE_CANTOPEN": "it cannot be opened or made. Give a folder of your own with --out",
    "SQLITE_PERM": "it may not be written. Give a folder of your own with --out",
}
"""What SQLite names, in words and with the way out; anything else is a damaged or foreign file."""


@contextmanager
def _saying(file: Path) -> Iterator[None]:
    """An error of SQLite becomes one that names the file and says what to do."""
    try:
        yield
    except (sqlite3.Error, pd.errors.DatabaseError) as error:
        cause = error if isinstance(error, sqlite3.Error) else error.__cause__ or error.__context__ or error
        name = getattr(cause, "sqlite_errorname", None) or ""
        trouble = next((words for known, words in _TROUBLES.items() if name.startswith(known)), None)
        if trouble is not None:
            raise OSError(f"{file.name}: {trouble} ({cause}).") from error
        raise ValueError(
            f"{file.name} is damaged, or not a results file of this version of camlib ({cause}). Move it away, and its "
            f"pictures run again; or give another folder with --out."
        ) from error
