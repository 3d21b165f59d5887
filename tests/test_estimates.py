"""How long cells will take, from earlier records, and what ``cmbench plan`` prints of it."""

import re
from dataclasses import replace

import pytest
from click.testing import CliRunner
from made_records import failed_record, made_dataset, made_record

from cmbench.agenda import planned
from cmbench.cli.main import cli
from cmbench.datasets.formats.numpy_files import save_npz
from cmbench.errors import DamagedRecordWarning
from cmbench.estimates import (
    OTHER_DATASET,
    OTHER_MACHINE,
    OTHER_PARAMETERS,
    SAME,
    Estimate,
    estimates,
    longest_first,
    makespan,
    typical,
)
from cmbench.execution.progress import Progress
from cmbench.methods.registry import DEFAULT_METHODS
from cmbench.runner import finished
from cmbench.store import Store


@pytest.fixture(scope="module")
def cell(toy, tmp_path_factory):
    (cell,) = planned(toy, ["cca"], store=tmp_path_factory.mktemp("store")).cells
    return cell


def took(cell, seconds, *, parameters=None, pairs=80, fingerprint=None, **changes):
    """A record of the method of a cell, on its dataset unless another fingerprint is given."""
    sizes = {"train": pairs, "validation": 8, "test": 10}
    dataset = made_dataset(fingerprint=fingerprint or cell.dataset.fingerprint, sizes=sizes)
    durations = {"fit": 1.0, "total": seconds}
    parameters = dict(cell.parameters) if parameters is None else parameters
    return made_record(dataset=dataset, parameters=parameters, durations=durations, **changes)


OTHER = "f" * 64


def test_the_records_most_like_a_cell_are_those_that_count(cell):
    other = {**cell.parameters, "n_components": 7}
    elsewhere = [took(cell, 8.0, fingerprint=OTHER, pairs=40)]
    unlike = [took(cell, 999.0, fingerprint=OTHER, pairs=400)]
    there = [took(cell, 30.0, parameters=other)]
    same = [took(cell, 1.0), took(cell, 2.0), took(cell, 60.0)]
    assert estimates([cell], [*elsewhere, *unlike, *there, *same]) == {cell.key: Estimate(2.0, SAME)}
    assert estimates([cell], [*elsewhere, *there]) == {cell.key: Estimate(30.0, OTHER_PARAMETERS)}
    assert estimates([cell], [*elsewhere, *unlike]) == {cell.key: Estimate(16.0, OTHER_DATASET)}
    assert estimates([cell], unlike) == estimates([cell], []) == {}


def test_seeds_and_practical_parameters_make_no_difference_and_failures_tell_nothing(cell):
    practical = replace(cell, parameters={**cell.parameters, "random_state": 5})
    assert estimates([practical], [took(cell, 3.0)])[practical.key].basis == SAME
    failed = failed_record(dataset=made_dataset(fingerprint=cell.dataset.fingerprint))
    assert estimates([cell], [failed, took(cell, 3.0, method="cfa")]) == {}


def test_no_cell_is_expected_beyond_its_deadline(cell):
    assert estimates([cell], [took(cell, 300.0)], deadline=60)[cell.key].seconds == 60


def test_a_range_says_how_much_an_estimate_is_worth():
    assert (Estimate(6.0, SAME).low, Estimate(6.0, SAME).high) == (4.0, 9.0)
    assert (Estimate(6.0, OTHER_DATASET).low, Estimate(6.0, OTHER_DATASET).high) == (2.0, 18.0)


def test_where_nothing_has_run_yet_defaults_take_what_they_took_elsewhere(tmp_path):
    pairs, seconds = typical()
    cells = planned("scenes", store=tmp_path).cells
    expected = estimates(cells, [])
    assert len(cells[0].dataset.train) == pairs
    assert len(expected) == len(cells) == len(DEFAULT_METHODS)
    for cell in cells:
        assert expected[cell.key] == Estimate(seconds[cell.method.name], OTHER_MACHINE)
    (half,) = planned("scenes", ["cmgans"], store=tmp_path, limit=600).cells
    ratio = len(half.dataset.train) / pairs
    assert estimates([half], [])[half.key].seconds == ratio * seconds["cmgans"]
    other = planned("scenes", ["cmgans"], parameters={"cmgans": {"epochs": 3}}, store=tmp_path).cells
    tiny = planned("scenes", ["cmgans"], store=tmp_path, limit=100).cells
    assert estimates([*other, *tiny], []) == {}


def test_what_nothing_is_known_of_starts_first_and_then_the_longest(toy, tmp_path):
    cells = planned(toy, ["cca", "cfa", "kcca", "lgcfl"], store=tmp_path).cells
    expected = {cells[0].key: Estimate(1.0, SAME), cells[2].key: Estimate(5.0, OTHER_DATASET)}
    assert longest_first(cells, expected) == [cells[1], cells[3], cells[2], cells[0]]


class Starts(Progress):
    """Keeps the methods whose cells start, in their order."""

    def __init__(self):
        self.methods = []

    def started(self, cell):
        self.methods.append(cell.method.name)


def test_a_run_starts_with_the_cells_that_took_longest_and_a_table_keeps_its_order(toy, tmp_path):
    cca, cfa = planned(toy, ["cca", "cfa"], store=tmp_path).cells
    store = Store(tmp_path)
    for cell, seconds in ((cca, 2.0), (cfa, 7.0)):
        store.put({**took(cell, seconds, method=cell.method.name), "key": cell.key})
    starts = Starts()
    records = finished(toy, ["cca", "cfa"], store=tmp_path, force=True, jobs=1, progress=starts)
    assert starts.methods == ["cfa", "cca"]
    assert [record["method"]["name"] for record in records] == ["cca", "cfa"]


def test_jobs_share_the_cells():
    assert makespan([4, 1, 1, 1, 5], 2) == 8
    assert makespan([4, 1, 1, 1, 5], 1) == 12
    assert makespan([1], 9) == 1


MORE = ("--methods", "cca,cfa,deep-sm", "--seeds", "0,1")


def test_a_plan_says_what_is_stored_what_is_left_and_how_long_it_takes(toy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_npz(tmp_path / "toy.npz", toy)
    (cca, *_) = planned(tmp_path / "toy.npz", ["cca"], store="store").cells
    store = Store("store")
    record = took(cca, 90.0)
    store.put({**record, "key": cca.key})
    store.put(took(cca, 30.0, method="deep-sm", parameters={"a": 1}))
    words = [
        "plan",
        "--dataset",
        "toy.npz",
        "--store",
        "store",
        "--methods",
        "cca,cfa,deep-sm",
        "--seeds",
        "0,1",
    ]
    before = sorted(tmp_path.rglob("*"))
    done = CliRunner().invoke(cli, [*words, *MORE, "--jobs", "2", "--deadline", "1h", "--threads", "1"])
    assert done.exit_code == 0, done.output
    assert sorted(tmp_path.rglob("*")) == before
    lines = [re.sub(" +", " ", line) for line in done.stdout.splitlines()]
    assert lines[:5] == [
        "dataset method seed state expected",
        "toy cca stored",
        "toy cfa to run -",
        "toy deep-sm 0 to run 30 s ~",
        "toy deep-sm 1 to run 30 s ~",
    ]
    assert lines[6] == (
        "4 cells: 1 in the store, 3 to run with 2 job(s): about 30 s (15 s to 1 min); of 1 of them nothing "
        "is known, and they come on top"
    )
    again = CliRunner().invoke(cli, [*words, "--methods", "cca", "--force", "--jobs", "1"])
    assert "toy cca to run 1 min 30 s =" in re.sub(" +", " ", again.stdout)


def test_a_plan_names_a_record_that_cannot_be_read_and_does_not_count_it_as_stored(toy, tmp_path):
    save_npz(tmp_path / "toy.npz", toy)
    cca, cfa = planned(tmp_path / "toy.npz", ["cca", "cfa"], store=tmp_path / "store").cells
    store = Store(tmp_path / "store")
    damaged, _ = (
        store.put({**took(cell, 90.0, method=cell.method.name), "key": cell.key}) for cell in (cca, cfa)
    )
    damaged.write_text("{")
    options = ["--dataset", str(tmp_path / "toy.npz"), "--store", str(store.folder), "--jobs", "1"]
    with pytest.warns(DamagedRecordWarning, match=rf"{re.escape(str(damaged))}: not a readable record"):
        done = CliRunner().invoke(cli, ["plan", "--methods", "cca,cfa", *options])
    assert done.exit_code == 1
    lines = [re.sub(" +", " ", line) for line in done.stdout.splitlines()]
    assert lines[1:3] == ["toy cca cannot be read", "toy cfa stored"]
    assert lines[4] == "2 cells: 1 in the store, 0 to run, 1 cannot be read"
    forced = CliRunner().invoke(cli, ["plan", "--methods", "cca,cfa", "--force", *options])
    assert forced.exit_code == 0
    assert "2 cells: 0 in the store, 2 to run with 1 job(s)" in forced.stdout


def test_a_plan_refuses_an_executor_without_its_scheduler_as_a_run_does():
    done = CliRunner().invoke(cli, ["plan", "--methods", "cca", "--executor", "dask"])
    assert "needs the scheduler" in str(done.exception)
