"""Records are chosen by dataset, method and protocol, in the words of the command line."""

import pytest
from made_records import PROTOCOL, made_dataset, made_record

from cmbench.errors import ReportError, StoreError
from cmbench.methods.registry import BUILT_IN, registry
from cmbench.report.cells import stored_cells
from cmbench.report.records import STAND_INS, select
from cmbench.store import Store

DATASET = made_dataset()


def record(paper_name="CCA", **changes):
    return made_record(paper_name.lower(), paper_name=paper_name, **changes)


def test_any_start_of_a_fingerprint_will_do_that_one_dataset_has():
    fingerprints = {"toy": "ab01" * 16, "near": "ab02" * 16, "a": "cd" * 32}
    cells = [
        record("CCA", dataset={**DATASET, "name": name, "fingerprint": fingerprint})
        for name, fingerprint in fingerprints.items()
    ]
    assert select(cells, datasets=["AB02"]) == [cells[1]]
    assert select(cells, datasets=["a"]) == select(cells, datasets=["c"]) == [cells[2]]
    with pytest.raises(ReportError, match=r"fingerprints of 2 begin with it: ab01ab01ab01, ab02.*give more"):
        select(cells, datasets=["ab0"])


def test_records_are_selected_by_name_fingerprint_paper_name_and_protocol():
    other = {**DATASET, "name": "other", "fingerprint": "e" * 64}
    second = {**PROTOCOL, "version": 2}
    cells = [record("CCA"), record("CFA", protocol=second), record("CCA", dataset=other)]
    assert select(cells) == cells
    assert select(cells, datasets=["toy"]) == cells[:2]
    assert select(cells, datasets=["eeeeeeee"]) == cells[2:]
    assert select(cells, methods=["cFa"]) == cells[1:2]
    assert select(cells, protocol="paper") == cells
    assert select(cells, protocol="paper:2") == cells[1:2]
    assert select(cells, datasets=["toy", "other"], methods=["CCA"]) == [cells[0], cells[2]]


@pytest.mark.parametrize(
    "wanted", [{"datasets": ["toi"]}, {"methods": ["CCA", "cc"]}, {"protocol": "paper:3"}]
)
def test_a_selection_that_no_record_fits_names_what_there_is(wanted):
    there = r"(toy; 'cmbench datasets info FILE' prints the name of a file|cca|paper)"
    with pytest.raises(
        ReportError, match=rf"no record of \w+ '(toi|cc|paper:3)'; \w+ in these records: {there}$"
    ):
        select([record()], **wanted)


COARSE = "CCL (coarse only)"


def test_what_runs_in_the_place_of_ccl_answers_to_its_name_and_group_where_ccl_is_not():
    other = {**DATASET, "name": "other", "fingerprint": "e" * 64}
    coarse = made_record("ccl-coarse", paper_name=COARSE)
    whole, beside = record("CCL", dataset=other), made_record("ccl-coarse", paper_name=COARSE, dataset=other)
    assert select([record("CCA"), coarse], methods=["ccl", "CCA"]) == [record("CCA"), coarse]
    assert select([record("CCA"), coarse], methods=["CCL"]) == [coarse]
    assert select([whole, coarse], methods=["ccl"]) == [whole, coarse]
    assert select([whole, beside], methods=["ccl"]) == [whole]


def test_the_stand_ins_are_those_that_methods_name():
    named = {name: entry.load().without_parts for name, entry in registry().entries.items()}
    assert {name: stand_in for name, stand_in in named.items() if stand_in and name in BUILT_IN} == STAND_INS


def test_an_unknown_cell_of_a_dataset_is_told_those_of_it_alone(tmp_path):
    for dataset, method in (("toy", "cca"), ("toy", "cmgans"), ("other", "cmgans")):
        Store(tmp_path).put(made_record(method, dataset=dataset))
    with pytest.raises(StoreError, match=r"\(did you mean 'toy/cmgans'\?\); it has toy/cca, toy/cmgans$"):
        stored_cells(tmp_path, ["toy/cmgan"])
    with pytest.raises(StoreError, match=r"\(did you mean 'cmgans'\?\); it has other/cmgans, toy/cca"):
        stored_cells(tmp_path, ["cmgan"])
    with pytest.raises(StoreError, match=r"\(did you mean 'other/cmgans'\?\); it has other/cmgans, toy/cca"):
        stored_cells(tmp_path, ["othr/cmgans"])
