"""What a record says is read in one place: its dataset, its parameters, and whether it failed."""

import pytest
from made_records import failed_record, made_error, made_record, on_split

from cmbench.records import base_dataset, cell_name, is_trial, parameters_of, split_of
from cmbench.report.description import described
from cmbench.report.settings import settings
from cmbench.schema import STATUSES, has_failed


def test_a_cell_that_was_left_out_or_given_up_has_not_failed():
    failed = {status for status in STATUSES if has_failed({"status": status})}
    assert failed == {"failed", "crashed", "timeout", "out-of-memory"}


@pytest.mark.parametrize(("status", "is_retried"), [("timeout", True), ("pruned", False)])
def test_only_what_failed_is_to_be_retried_and_both_have_a_row(status, is_retried):
    record = failed_record("cca", status, error=made_error())
    assert ("--retry-failed" in described([record])) is is_retried
    (setting,) = settings([record])
    assert setting.unfinished == (record,)


def test_a_split_is_of_the_dataset_that_it_was_drawn_from():
    whole = made_record("cca", seed=3)
    drawn = on_split(whole, 2)
    assert (split_of(whole), split_of(drawn)) == (0, 2)
    assert base_dataset(whole) == whole["dataset"]
    for name in ("name", "fingerprint", "sizes"):
        assert base_dataset(drawn)[name] == whole["dataset"][name]
    assert not is_trial(drawn)
    assert is_trial(on_split(made_record("cca", dataset="toy (validation)"), 1))


def test_a_cell_is_called_by_dataset_method_seed_and_key():
    assert cell_name(made_record("cca", key="ab")) == "toy/cca (ab)"
    assert cell_name(made_record("kcca", seed=1, key="ab")) == "toy/kcca seed 1 (ab)"


def test_seeds_share_all_parameters_but_the_seed_and_those_of_no_effect():
    record = made_record("a", seed=0, parameters={"width": 8, "device": "cpu", "random_state": 0})
    record["method"]["practical"] = ["device"]
    assert parameters_of(record) == {"width": 8}
    unseeded = made_record("a", parameters={"width": 8, "random_state": None})
    assert parameters_of(unseeded) == {"width": 8, "random_state": None}
    assert len(settings([record, unseeded])) == 2
