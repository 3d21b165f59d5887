"""The plan: which cells there are, and keys that change with all a result depends on and nothing else."""

import subprocess
import sys
from dataclasses import replace
from typing import Annotated

import numpy as np
import pytest

from cmbench.datasets.contract import Dataset
from cmbench.errors import MethodError
from cmbench.evaluation.protocol import PAPER, RELEASE, Protocol
from cmbench.methods.cfa import CFA
from cmbench.methods.contract import Method
from cmbench.methods.parameters import AddedLater, Number
from cmbench.methods.registry import BUILT_IN, MethodEntry, registry
from cmbench.plan import Cell, cell_key, deciding, effective_parameters, plan

KNOWN = registry()

PLUGIN = """
from cmbench.methods.contract import Method

class Mine(Method):
    def __init__(self, size=2):
        self.size = size
    def fit(self, train, validation):
        return self
    def transform_images(self, images):
        return images[:, : self.size]
    def transform_texts(self, texts):
        return texts[:, : self.size]
"""

KEY_IN_ANOTHER_PROCESS = """
import sys
from cmbench.methods.registry import registry
from cmbench.plan import cell_key
entry = registry(sys.argv[1:])["mine"]
print(cell_key(fingerprint="f", method="mine", code_version=entry.code_version(), parameters={}, protocol={}))
"""


class Toy(Method):
    """Maps nothing; it is only ever planned."""

    def __init__(self, size=2, weights=None, mode="plain", random_state=0):
        self.size = size
        self.weights = weights
        self.mode = mode
        self.random_state = random_state

    def fit(self, train, validation):
        return self

    def transform_images(self, images):
        return images

    def transform_texts(self, texts):
        return texts


class Fixed(Toy):
    """The same without chance."""

    def __init__(self, size=2):
        self.size = size


def entry_of(method):
    return MethodEntry(method.name, "package", f"{method.__module__}:{method.__name__}")


@pytest.fixture
def other(toy):
    """The same name, one number changed."""
    images = toy.train.images.copy()
    images[3, 2] += np.float32(1e-3)
    return Dataset(
        toy.name, replace(toy.train, images=images), toy.validation, toy.test, toy.class_names, toy.card
    )


def cells_of(datasets, *methods, seeds=(0,), protocol=PAPER):
    chosen = [(entry, parameters) for entry, parameters in methods]
    return plan(datasets, chosen, seeds=seeds, protocol=protocol)


def keys_of(*arguments, **options):
    return {cell.label: cell.key for cell in cells_of(*arguments, **options)}


def only_key(*arguments, **options):
    (cell,) = cells_of(*arguments, **options)
    return cell.key


def test_there_is_a_cell_for_each_dataset_method_and_seed_that_matters(toy, other):
    cells = cells_of([toy, other], (entry_of(Toy), {}), (entry_of(Fixed), {}), seeds=(3, 4))
    assert [(cell.dataset is other, cell.method.name, cell.seed) for cell in cells] == [
        (False, "toy", 3),
        (False, "toy", 4),
        (False, "fixed", None),
        (True, "toy", 3),
        (True, "toy", 4),
        (True, "fixed", None),
    ]
    assert [cell.parameters.get("random_state") for cell in cells] == [3, 4, None] * 2
    assert len({cell.key for cell in cells}) == 6


def test_a_key_does_not_depend_on_the_order_or_company_of_its_cell(toy, other):
    methods = [(KNOWN["cca"], {"n_components": 3, "ridge": 0.1}), (KNOWN["cfa"], {}), (entry_of(Toy), {})]
    together = cells_of([toy, other], *methods, seeds=(0, 1))
    reversed_ = cells_of([other, toy], *methods[::-1], seeds=(1, 0))

    def by_content(cells):
        return {(cell.dataset.fingerprint, cell.method.name, cell.seed): cell.key for cell in cells}

    assert by_content(together) == by_content(reversed_)
    alone = only_key([toy], (KNOWN["cca"], {"ridge": 0.1, "n_components": 3}))
    assert by_content(together)[toy.fingerprint, "cca", None] == alone


def test_a_key_does_not_depend_on_the_name_or_card_of_a_dataset(toy):
    renamed = Dataset("another", toy.train, toy.validation, toy.test, toy.class_names)
    assert only_key([toy], (KNOWN["cca"], {})) == only_key([renamed], (KNOWN["cca"], {}))


def test_a_key_is_the_same_in_another_process_whatever_its_hash_seed(tmp_path):
    plugin = tmp_path / "mine.py"
    plugin.write_text(PLUGIN)
    assert key_elsewhere(plugin, hash_seed="1") == key_elsewhere(plugin, hash_seed="2")


CHANGES = {
    "fingerprint": "other",
    "method": "cfa",
    "code_version": "2",
    "parameters": {"n_components": 4, "ridge": 1.0},
    "protocol": {"name": "paper", "version": 2},
}
SAME = {
    "fingerprint": "one",
    "method": "cca",
    "code_version": "1",
    "parameters": {"n_components": 3, "ridge": 1.0},
    "protocol": {"name": "paper", "version": 1},
}


@pytest.mark.parametrize("part", CHANGES)
def test_a_key_changes_with_every_part(part):
    assert cell_key(**SAME) == cell_key(**dict(reversed(SAME.items())))
    assert cell_key(**SAME) != cell_key(**{**SAME, part: CHANGES[part]})


def test_a_key_does_not_depend_on_the_order_of_parameters_or_protocol_fields():
    backwards = {
        part: dict(reversed(value.items())) if isinstance(value, dict) else value
        for part, value in SAME.items()
    }
    assert list(backwards["parameters"]) != list(SAME["parameters"])
    assert cell_key(**backwards) == cell_key(**SAME)


def test_what_moves_from_one_part_to_the_next_is_another_key():
    moved = {**SAME, "fingerprint": "on", "method": "ecca"}
    assert cell_key(**moved) != cell_key(**SAME)


@pytest.mark.parametrize(
    "changes",
    [
        {"size": 3},
        {"weights": [1, 2]},
        {"weights": []},
        {"mode": "other"},
        {"random_state": 1},
        {"size": 2.5},
    ],
)
def test_a_key_changes_with_each_effective_parameter(toy, changes):
    entry = entry_of(Toy)
    assert only_key([toy], (entry, changes)) != only_key([toy], (entry, {}))


def test_a_default_given_explicitly_is_the_same_cell(toy):
    entry = entry_of(Toy)
    explicit = {"size": 2, "weights": None, "mode": "plain"}
    assert only_key([toy], (entry, explicit)) == only_key([toy], (entry, {}))
    assert len(cells_of([toy], (entry, explicit), (entry, {}))) == 1


def test_a_changed_default_is_another_key(toy, monkeypatch):
    before = only_key([toy], (entry_of(Toy), {}))
    monkeypatch.setattr(Toy.__init__, "__defaults__", (5, None, "plain", 0))
    assert only_key([toy], (entry_of(Toy), {})) != before


def test_a_key_changes_with_the_data(toy, other):
    assert only_key([toy], (KNOWN["cca"], {})) != only_key([other], (KNOWN["cca"], {}))


@pytest.mark.parametrize(
    "protocol",
    [
        RELEASE,
        replace(PAPER, name="other"),
        replace(PAPER, version=2),
        replace(PAPER, cutoff=50),
        replace(PAPER, denominator="min"),
        replace(PAPER, keep_query=False),
        replace(PAPER, normalisation="test-zscore"),
        replace(PAPER, ties="other"),
        replace(PAPER, similarity="hamming"),
        replace(PAPER, relevance="pair"),
    ],
)
def test_a_key_changes_with_each_field_of_the_protocol(toy, protocol):
    method = (KNOWN["cca"], {})
    assert only_key([toy], method, protocol=protocol) != only_key([toy], method)


def test_an_equal_protocol_made_elsewhere_is_the_same(toy):
    assert only_key([toy], (KNOWN["cca"], {}), protocol=Protocol("paper")) == only_key(
        [toy], (KNOWN["cca"], {})
    )


def test_a_seed_is_the_random_state_and_nothing_beside_it(toy):
    entry = entry_of(Toy)
    by_seed = only_key([toy], (entry, {}), seeds=(7,))
    by_parameter = only_key([toy], (entry, {"random_state": 7}), seeds=(0, 1, 2))
    assert by_seed == by_parameter
    (cell,) = cells_of([toy], (entry, {"random_state": 7}), seeds=(0, 1, 2))
    assert cell.seed == 7


def test_seeds_do_not_touch_a_method_without_chance(toy):
    assert keys_of([toy], (KNOWN["cfa"], {}), seeds=(0,)) == keys_of([toy], (KNOWN["cfa"], {}), seeds=(1, 2))


def test_a_raised_version_of_a_built_in_method_is_another_key(toy, monkeypatch):
    before = only_key([toy], (KNOWN["cfa"], {}))
    monkeypatch.setattr(CFA, "version", CFA.version + 1)
    assert only_key([toy], (KNOWN["cfa"], {})) != before


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_method_has_a_cell(toy, name):
    (cell,) = cells_of([toy], (KNOWN[name], {}))
    assert cell.method.name == (KNOWN[name].load().without_parts or name)
    assert len(cell.key) == 16
    assert int(cell.key, 16) >= 0


def key_elsewhere(plugin, hash_seed="0"):
    done = subprocess.run(
        [sys.executable, "-P", "-c", KEY_IN_ANOTHER_PROCESS, str(plugin)],
        env={"PYTHONHASHSEED": hash_seed, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_an_edited_plugin_has_another_key_and_a_moved_one_the_same(tmp_path):
    plugin = tmp_path / "mine.py"
    plugin.write_text(PLUGIN)
    before = key_elsewhere(plugin)
    plugin.write_text(PLUGIN.replace("images[:, : self.size]", "images[:, -self.size :]"))
    assert key_elsewhere(plugin) != before
    plugin.unlink()
    (tmp_path / "elsewhere").mkdir()
    moved = tmp_path / "elsewhere" / "renamed.py"
    moved.write_text(PLUGIN)
    assert key_elsewhere(moved) == before


@pytest.mark.parametrize(
    "value", [object(), float("nan"), float("inf"), {1, 2}, np.arange(3), np.float32(1), b"bytes", 1j]
)
def test_a_parameter_that_is_not_json_is_refused_with_the_remedy(value):
    with pytest.raises(MethodError, match=r"'toy': parameters .* cannot be stored as JSON .*use numbers"):
        effective_parameters(Toy, {"weights": value}, 0)


def test_effective_parameters_are_all_of_them_as_plain_values():
    assert effective_parameters(Toy, {"weights": (1, 2)}, 5) == {
        "size": 2,
        "weights": [1, 2],
        "mode": "plain",
        "random_state": 5,
    }


def test_a_constructor_that_forgets_its_arguments_is_told_so():
    class Forgetful(Fixed):
        def __init__(self, size=2):
            pass

    with pytest.raises(MethodError, match=r"'forgetful': .*'size'.* must store each argument"):
        effective_parameters(Forgetful, {}, None)


def test_a_parameter_without_default_must_be_given():
    class Needy(Fixed):
        def __init__(self, size):
            self.size = size

    assert effective_parameters(Needy, {"size": 4}, None) == {"size": 4}
    with pytest.raises(
        MethodError, match=r"'needy' needs a value for its parameter 'size'.*--set needy\.size="
    ):
        effective_parameters(Needy, {}, None)


def test_an_unknown_parameter_is_refused_with_those_there_are(toy):
    with pytest.raises(
        MethodError, match=r"parameter 'sise' \(did you mean 'size'\?\); it has size, weights, mode"
    ):
        cells_of([toy], (entry_of(Toy), {"sise": 3}))


def test_the_label_of_a_cell_names_dataset_method_and_seed(toy):
    assert [
        cell.label for cell in cells_of([toy], (entry_of(Toy), {}), (entry_of(Fixed), {}), seeds=(4,))
    ] == [
        "toy toy seed 4",
        "toy fixed",
    ]
    assert isinstance(cells_of([toy], (entry_of(Toy), {}))[0], Cell)


@pytest.mark.parametrize("seed", [10**25, 2**32, -1])
def test_a_seed_that_no_generator_takes_is_refused_before_anything_runs(toy, seed):
    with pytest.raises(MethodError, match=f"seed {seed} is not between 0 and 4294967295"):
        plan([toy], [(registry()["deep-sm"], {})], seeds=[0, seed], protocol=PAPER)


def test_a_parameter_that_came_later_changes_no_key_at_the_value_of_before():
    class Grown(Method):
        size: int = 1
        dropout: Annotated[float, Number(0, 1), AddedLater(0.0)] = 0.0

        def fit(self, train, validation):
            return self

        transform_images = transform_texts = fit

    assert deciding(Grown, {"size": 1, "dropout": 0.0}) == {"size": 1}
    assert deciding(Grown, {"size": 1, "dropout": 0.5}) == {"size": 1, "dropout": 0.5}
    assert deciding(Grown, {"size": 0, "dropout": 0.0}) == {"size": 0}
