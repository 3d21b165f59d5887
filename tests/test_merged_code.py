"""Two stores whose methods have different code become one."""

from click.testing import CliRunner
from made_records import made_record

from cmbench.cli.main import cli
from cmbench.current import note
from cmbench.merging import merge_into
from cmbench.report.cells import stored_records
from cmbench.store import Store


def at(hour, **changes):
    return {"provenance": {"finished": f"2026-01-01T{hour:02}:00:00+00:00"}, **changes}


def test_the_newest_code_of_a_method_is_that_of_the_record_finished_last(tmp_path):
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    old, new = (made_record("cca", 0.5, version=version, **at(version)) for version in (1, 2))
    new = {**new, "key": "f" * 16}
    for store, record in ((here, old), (there, new)):
        store.put(record)
        note(
            store.folder,
            record["dataset"]["fingerprint"],
            {"source": store.folder.name},
            {"cca": code(record)},
        )
    merge_into(there, here)
    assert [code(record) for record in stored_records(here.folder)] == ["2"]
    assert here.records()[0]["dataset"]["source"] == "here"


def test_methods_of_other_code_than_here_are_named(tmp_path):
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    for store, version in ((here, "1-aa"), (there, "1-bb")):
        for number, (method, its_version) in enumerate([("cca", "1"), ("mine", version)]):
            record = made_record(method, 0.5, key=f"{number}{its_version.encode().hex()}".ljust(16, "0"))
            store.put({**record, "method": {**record["method"], "code_version": its_version}})
    there.put(made_record("only-there", 0.5))
    for options in (["--dry-run"], []):
        told = CliRunner().invoke(cli, ["merge", str(there.folder), "--store", str(here.folder), *options])
        *_, last = told.stdout.splitlines()
        assert last == (
            "of other code than here: mine (1-bb there, 1-aa here); tables show the newest code of a method "
            "on a dataset, --all-versions every one"
        )
        assert told.exit_code == 0


def code(record):
    return record["method"]["code_version"]
