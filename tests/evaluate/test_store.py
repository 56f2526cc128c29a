"""The store: a picture arrives whole or not at all, keys change with everything that matters."""

from __future__ import annotations

import sqlite3

import pytest
import torch

from camlib.evaluate import Row, Setting, Store, store


def setting(**names: str) -> Setting:
    known = dict.fromkeys(store.NAMES, "x")
    return Setting.of({**known, **names}, {"options": {"a": 1, "b": (1, None)}})


def test_a_picture_arrives_whole_or_not_at_all(tmp_path):
    one = setting()

    def rows():
        yield Row(one.key, "a", "1", 0, "cat", 1.0, "ok")
        raise KeyboardInterrupt

    with Store(tmp_path / "rows-0.sqlite") as file:
        file.describe([one])
        with pytest.raises(KeyboardInterrupt):
            file.add(rows())
        assert store.finished(tmp_path) == {}
        file.add([Row(one.key, "a", "1", 0, "cat", 1.0, "ok"), Row(one.key, "a", "1", 1, "dog", 2.0, "ok")])
    assert store.finished(tmp_path) == {("a", "1"): {one.key}}
    assert store.read(tmp_path, {one.key})["value"].tolist() == [1.0, 2.0]


def test_files_of_several_processes_are_read_as_one_and_a_doubled_row_once(tmp_path):
    one, two = setting(), setting(metric="y")
    for rank, pictures in enumerate((["a", "b"], ["b", "c"])):
        with Store(tmp_path / f"rows-{rank}.sqlite") as file:
            file.describe([one, two])
            for picture in pictures:
                file.add([Row(one.key, picture, "1", None, None, None, "no target", "why")])
    found = store.read(tmp_path, {one.key})
    assert sorted(found["picture"]) == ["a", "b", "c"]
    assert found["value"].isna().all()
    assert store.read(tmp_path, {two.key}).empty
    assert list(store.read(tmp_path, {two.key}).columns) == [*store.COLUMNS, "version"]


def test_the_key_changes_with_everything_and_with_nothing_else():
    names = dict.fromkeys(store.NAMES, "x")
    given = {"options": {"a": 1, "t": torch.ones(2)}, "size": (2, 3)}
    same = {"size": [2, 3], "options": {"t": torch.ones(2), "a": 1}}
    assert Setting.of(names, given).key == Setting.of(names, same).key
    for other in (
        {**given, "size": (3, 2)},
        {**given, "options": {"a": 1.5, "t": torch.ones(2)}},
        {**given, "options": {"a": 1, "t": torch.zeros(2)}},
        {**given, "more": None},
    ):
        assert Setting.of(names, other).key != Setting.of(names, given).key
    assert Setting.of({**names, "layer": "y"}, given).key != Setting.of(names, given).key


def test_a_file_that_is_no_store_is_refused(tmp_path):
    (tmp_path / "rows-0.sqlite").write_text("something else entirely, and long enough to be taken for a header" * 20)
    with pytest.raises(ValueError, match=r"rows-0.sqlite is damaged, or not a results file of this version .* --out"):
        Store(tmp_path / "rows-0.sqlite")
    other = sqlite3.connect(tmp_path / "notes.sqlite")
    other.execute("CREATE TABLE notes (text)")
    other.close()
    with pytest.raises(ValueError, match=r"notes.sqlite is damaged, or not a results file .*format is 0, not 1"):
        Store(tmp_path / "notes.sqlite")


def filled(folder, pictures=200):
    """A store with some pages of rows."""
    one = setting()
    with Store(folder / "rows-0.sqlite") as file:
        file.describe([one])
        file.add(Row(one.key, f"picture {i}", "1", 0, "cat", 1.0, "ok", "x" * 200) for i in range(pictures))
    return folder / "rows-0.sqlite", one


def test_a_damaged_page_is_said_with_the_file_and_the_way_out(tmp_path):
    file, one = filled(tmp_path)
    content = bytearray(file.read_bytes())
    content[4096 * 2 : -4096] = b"\x5a" * (len(content) - 4096 * 3)
    file.write_bytes(content)
    for use in (lambda: store.finished(tmp_path), lambda: store.read(tmp_path, {one.key})):
        with pytest.raises(ValueError, match=r"rows-0.sqlite is damaged.*Move it away"):
            use()


def test_a_missing_table_is_said_alike(tmp_path):
    file, one = filled(tmp_path, 1)
    with sqlite3.connect(file) as connection:
        connection.execute("DROP TABLE rows")
    for use in (lambda: store.finished(tmp_path), lambda: store.read(tmp_path, {one.key})):
        with pytest.raises(ValueError, match=r"rows-0.sqlite is damaged.*no such table: rows"):
            use()
    with Store(file) as opened, pytest.raises(ValueError, match="no such table: rows"):
        opened.add([Row(one.key, "a", "1", 0, "cat", 1.0, "ok")])


def test_a_full_disk_is_no_damage_and_what_was_there_stays(tmp_path):
    file, one = filled(tmp_path)
    with Store(file) as opened:
        opened._connection.execute("PRAGMA max_page_count = 1")
        with pytest.raises(OSError, match=r"rows-0.sqlite: the disk is full. Make room and run again"):
            opened.add(Row(one.key, f"more {i}", "1", 0, "cat", 1.0, "ok", "x" * 5000) for i in range(50))
    assert len(store.finished(tmp_path)) == 200


def test_a_store_that_another_process_holds_is_not_called_damaged(tmp_path, monkeypatch):
    file, one = filled(tmp_path, 1)
    monkeypatch.setattr(store, "_BUSY_SECONDS", 0)
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(OSError, match=r"rows-0.sqlite: another process holds it"):
            store.read(tmp_path, {one.key})
    finally:
        holder.close()
    assert len(store.read(tmp_path, {one.key})) == 1
