"""The index of a store: it spares reading, and is never more true than the files."""

import json
import os

import pytest
from made_records import failed_record, made_error, made_record

import cmbench
from cmbench import index
from cmbench import store as store_module
from cmbench.errors import DamagedRecordWarning
from cmbench.index import read_index, summary_of
from cmbench.store import Store

COUNT = 120  # more than are worth an index


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store whose index counts files as settled that were written just now."""
    monkeypatch.setattr(index, "SETTLED_NS", 0)
    store = Store(tmp_path / "store")
    for number in range(COUNT):
        store.put(a_record(number))
    return store


def a_record(number, **changes):
    fields = {"key": f"{number:016x}", "seed": number, "parameters": {"epochs": number % 3, "words": None}}
    if number % 5 == 4:
        return failed_record("kcca", error=made_error(), **fields, **changes)
    return made_record(("cca", "cfa")[number % 2], number / COUNT, **fields, **changes)


def opened(monkeypatch):
    """Return a list that every file is added to which a store reads from here on."""
    files = []
    own = Store.own
    monkeypatch.setattr(Store, "own", lambda self, path: files.append(path) or own(self, path))
    return files


def fresh(store):
    return Store(store.folder)


def test_summaries_by_way_of_the_index_are_those_of_the_records(store, monkeypatch):
    expected = [summary_of(record) for record in store.records()]
    assert fresh(store).summaries() == expected
    assert (store.folder / ".work" / "index.json").is_file()
    files = opened(monkeypatch)
    assert fresh(store).summaries() == expected
    assert files == []


def test_files_that_are_new_changed_or_gone_count_as_they_are(store, monkeypatch):
    fresh(store).summaries()
    store.put(a_record(3, threads=7))
    store.put(a_record(COUNT))
    store.remove(a_record(5))
    files = opened(monkeypatch)
    summaries = fresh(store).summaries()
    assert summaries == [summary_of(record) for record in store.records()]
    assert len(summaries) == COUNT
    assert {path.stem[-16:] for path in files[:2]} == {f"{3:016x}", f"{COUNT:016x}"}


def test_a_file_changed_in_place_with_its_times_put_back_is_read_again(store):
    path = store.paths()[0]
    before = fresh(store).summaries()
    times = path.stat()
    path.write_text(path.read_text().replace('"threads": 1', '"threads": 8'))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    after = fresh(store).summaries()
    assert [record["threads"] for record in after].count(8) == 1
    assert len(after) == len(before)


def test_a_file_that_changed_a_moment_ago_is_not_trusted_yet(store, monkeypatch):
    monkeypatch.setattr(index, "SETTLED_NS", 3600 * 10**9)
    assert len(fresh(store).summaries()) == COUNT
    store.pack()
    assert len(fresh(store).summaries()) == COUNT
    assert len(read_index(store.folder / ".work" / "index.json")) == 0


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\x00", b"[]", b"{}", b'{"version": 1}', b'{"version": 3, "values": [], "rows": {"a": [1]}}'],
)
def test_an_index_that_cannot_be_read_is_made_again(store, content):
    place = store.folder / ".work" / "index.json"
    expected = fresh(store).summaries()
    place.write_bytes(content)
    assert fresh(store).summaries() == expected
    assert json.loads(place.read_text())["version"] == index.VERSION


def test_a_records_file_is_read_once_until_it_changes(store, monkeypatch):
    (path,) = store.pack()
    expected = [summary_of(record) for record in store.records()]
    assert fresh(store).summaries() == expected
    read = []
    parsed = store_module.parsed
    monkeypatch.setattr(store_module, "parsed", lambda text: read.append(1) or parsed(text))
    assert fresh(store).summaries() == expected
    assert read == []
    store.put(a_record(3, threads=7))
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[1:]))
    summaries = fresh(store).summaries()
    assert summaries == [summary_of(record) for record in store.records()]
    assert len(summaries) in (COUNT - 1, COUNT)
    assert [record["threads"] for record in summaries].count(7) == 1


def test_a_records_file_with_a_damaged_line_is_told_of_each_time(store):
    (path,) = store.pack()
    with path.open("a") as file:
        file.write("{\n")
    for _ in range(2):
        with pytest.warns(DamagedRecordWarning, match="line 121"):
            assert len(fresh(store).summaries()) == COUNT


def test_a_store_that_cannot_be_written_to_is_read_without_an_index(store):
    (store.folder / ".work").write_text("no folder")
    assert len(fresh(store).summaries()) == COUNT


def test_a_run_with_nothing_to_do_reads_the_store_once(toy, tmp_path, monkeypatch):
    cmbench.run(toy, ["cfa"], store=tmp_path, threads=1)
    reads = []
    read = Store.read_summaries
    monkeypatch.setattr(Store, "read_summaries", lambda self: reads.append(1) or read(self))
    assert len(cmbench.run(toy, ["cfa"], store=tmp_path, threads=1)) == 1
    assert reads == [1]
