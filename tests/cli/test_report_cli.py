"""The verb ``report``: which records it takes, and where the page goes."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner
from made_records import made_record
from parsed_html import parsed_html

from cmbench.cli.main import cli
from cmbench.errors import ReportError


@pytest.fixture
def records_file(tmp_path):
    """A function that writes records to a records file in a folder of its own, and returns its path."""

    def written(name, *records):
        path = tmp_path / name / "toy.jsonl"
        path.parent.mkdir()
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        return path

    return written


def report(tmp_path, *words):
    arguments = ["report", *map(str, words), "--no-figures", "-o", str(tmp_path / "page")]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return parsed_html((tmp_path / "page" / "index.html").read_text(encoding="utf-8"))


def rows(parsed):
    return [row.text for row in parsed.find("table", class_="sortable board")[-1].find("th", scope="row")]


def test_a_store_becomes_a_page(tmp_path, records_file):
    store = records_file("runs", made_record("cca"), made_record("cfa")).parent
    parsed = report(tmp_path, "--store", store, "--title", "Mine")
    assert parsed.find("title")[0].text == "Mine"
    assert rows(parsed) == ["CFA", "CCA"]


def test_records_files_are_read_together_and_of_a_cell_the_one_finished_last_counts(tmp_path, records_file):
    earlier = made_record("cca", 0.25, provenance={"finished": "2026-01-01T00:00:00"})
    later = made_record("cca", 0.75, provenance={"finished": "2026-01-02T00:00:00"})
    files = [records_file("a", later), records_file("b", earlier, made_record("cfa", 0.5))]
    parsed = report(tmp_path, *files)
    (table,) = parsed.find("table", class_="sortable board")
    assert [link.text.partition(" ")[0] for link in table.find("a")] == ["0.500"] * 6 + ["0.750"] * 6


def test_two_stores_give_the_second_with_what_changed(tmp_path, records_file):
    before = records_file("before", made_record("cca", 0.25)).parent
    after = records_file("after", made_record("cca", 0.5), made_record("cfa")).parent
    parsed = report(tmp_path, before, after, "--methods", "cca,cfa")
    assert "1 new, 0 gone, 1 changed" in parsed.find("section", id="changes")[0].text


def test_other_sources_together_are_refused(tmp_path, records_file):
    file = records_file("a", made_record())
    with pytest.raises(ReportError, match="one store, two to compare, or records files"):
        report(tmp_path, file, file.parent)


def test_a_store_that_is_not_there_is_told_as_everywhere(tmp_path):
    with pytest.raises(ReportError, match=r"no records in .*absent; run 'cmbench run' first"):
        report(tmp_path, "--store", tmp_path / "absent")


def test_a_file_without_any_record_is_named_once(tmp_path, recwarn):
    file = tmp_path / "features.npz"
    file.write_bytes(b"PK\x03\n\x00\n\xff")
    with pytest.raises(ReportError, match=r"features\.npz is no records file \(\.jsonl\)"):
        report(tmp_path, file)
    assert not recwarn


def test_folders_of_pairs_name_their_datasets(tmp_path, records_file):
    store = records_file("a", made_record("cca")).parent
    words = ["report", str(store), "-o", str(tmp_path / "page"), "--pairs", str(tmp_path)]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 2
    assert "is not DATASET=FOLDER" in result.output


def test_filters_choose_what_is_on_the_page(tmp_path, records_file):
    store = records_file("a", made_record("cca"), made_record("cfa"), made_record("cca", dataset="b")).parent
    parsed = report(tmp_path, store, "--methods", "cca", "--dataset", "toy")
    assert rows(parsed) == ["CCA"]
    assert rows(report(tmp_path, store, "--methods", "paper", "--dataset", "toy")) == ["CFA", "CCA"]
    assert len(parsed.find("section", class_="dataset")) == 1


def test_a_page_is_written_without_torch(tmp_path, records_file):
    store = records_file("a", made_record("cca"), made_record("cfa")).parent
    words = ["report", str(store), "-o", str(tmp_path / "page")]
    code = f"import sys; from cmbench.cli.main import cli; cli.main({words!r}, standalone_mode=False)"
    code += "; assert not {'torch', 'pandas'} & set(sys.modules)"
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
