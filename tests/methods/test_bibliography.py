"""BibTeX of the methods says what their citations say."""

import re

import pytest
from click.testing import CliRunner

from cmbench.cli.main import cli
from cmbench.errors import MethodError
from cmbench.methods.bibliography import bibtex_of, entries, title_of
from cmbench.methods.contract import Method
from cmbench.methods.registry import DEFAULT_METHODS, registry

BUILT_IN = [entry.load() for entry in registry().entries.values() if entry.origin == "built-in"]
METHODS = [method for method in BUILT_IN if method.citation]


class Mine(Method):
    citation = "A. Author, Mine, 2026"

    def fit(self, train, validation): ...
    def transform_images(self, images): ...
    def transform_texts(self, texts): ...


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_an_entry_has_the_title_the_year_and_the_authors_of_the_citation(method):
    entry = bibtex_of(method)
    assert entry.startswith(("@article{", "@inproceedings{"))
    assert title_of(entry).lower() in method.citation.lower()
    assert re.search(r"year\s*= \{(\d+)\}", entry)[1] in method.citation
    names = re.search(r"author\s*= \{(.*)\}", entry)[1].split(" and ")
    surnames = [name.partition(",")[0] for name in names]
    assert all(surname in method.citation for surname in surnames)
    assert method.citation.partition(title_of(entry).split()[0])[0].count(",") == len(surnames)


def test_entries_are_well_formed_and_have_keys_of_their_own():
    keys = [re.match(r"@[a-z]+\{(\w+),\n", entry)[1] for entry in entries()]
    assert len(set(keys)) == len(keys) > 10
    assert all(entry.count("{") == entry.count("}") for entry in entries())


def test_a_method_of_ones_own_may_bring_its_entry_or_a_citation():
    assert bibtex_of(Mine) == "@misc{mine,\n  note = {A. Author, Mine, 2026}\n}"
    assert bibtex_of(type("Own", (Mine,), {"bibtex": " @article{own}\n"})) == "@article{own}"
    odd = type("Odd", (Mine,), {"citation": "A. Author, 100 % R&D_1 {x}"})
    assert r"note = {A. Author, 100 \% R\&D\_1 \{x\}}" in bibtex_of(odd)
    with pytest.raises(MethodError, match="cites no paper"):
        bibtex_of(type("Silent", (Mine,), {"citation": ""}))


def test_cite_prints_a_paper_of_several_methods_once_and_the_program():
    result = CliRunner().invoke(cli, ["cite", "cmgans", "cmgans-cae", "cca"])
    assert result.exit_code == 0, result.output
    assert re.findall(r"^@\w+\{(\w+)", result.output, re.MULTILINE) == [
        "cmbench",
        "peng2019cmgans",
        "hotelling1936relations",
    ]


def test_cite_names_all_methods_of_the_paper_when_none_is_named():
    assert CliRunner().invoke(cli, ["cite"]).output.count("@") == 1 + len(DEFAULT_METHODS)


def test_cite_takes_a_group_for_its_members():
    (whole,) = {CliRunner().invoke(cli, ["cite", *names]).output for names in ([], ["paper", "cca"])}
    assert whole.count("@") == 1 + len(DEFAULT_METHODS)


def test_cite_names_a_method_without_a_paper_and_goes_on_with_the_others():
    result = CliRunner().invoke(cli, ["cite", "random", "cca", "identity"])
    assert result.exit_code == 0
    assert re.findall(r"^@\w+\{(\w+)", result.stdout, re.MULTILINE) == ["cmbench", "hotelling1936relations"]
    assert re.findall(r"method '(\w+)' cites no paper", result.stderr) == ["random", "identity"]


def test_cite_fails_where_no_method_has_a_paper():
    result = CliRunner().invoke(cli, ["cite", "random"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "method 'random' cites no paper" in result.stderr
