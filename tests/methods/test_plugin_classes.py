"""What the class of a plugin may be called and hold, and what its constructor may do."""

import re

import pytest
from plugin_code import BODY, HEAD, method_class

from cmbench.errors import MethodError
from cmbench.methods.contract import check_class
from cmbench.methods.registry import BUILT_IN, file_entries, new_method, registry


@pytest.fixture
def plugin(tmp_path):
    """Return a function that writes a plugin whose class has more lines, and gives its path."""

    def write(*lines):
        path = tmp_path / "plugin.py"
        extra = "".join(f"\n    {line}" for line in lines)
        path.write_text(HEAD + method_class("Mine", body=extra + BODY))
        return path

    return write


@pytest.mark.parametrize("arguments", ["**settings", "*sizes"])
def test_a_constructor_whose_parameters_nobody_could_list_is_refused(plugin, arguments):
    entry = registry([plugin(f"def __init__(self, {arguments}):", "    pass")])["mine"]
    with pytest.raises(MethodError, match=re.escape(f"its constructor takes {arguments}")):
        new_method(entry.load(), {})


@pytest.mark.parametrize(
    ("wrong", "remedy"),
    [
        ("practical = ('checkpoint',)", "a tuple of names of its parameters, which are size"),
        ("practical = 'size'", "a tuple of names of its parameters"),
        ("presets = 5", "a dictionary of dictionaries"),
        ("presets = {'paper': 5}", "a dictionary of dictionaries"),
        ("tuning_space = 5", "a dictionary of lists of values"),
        ("tuning_space = {'size': []}", "a dictionary of lists of values"),
        ("tuning_space = {'size': 5}", "a dictionary of lists of values"),
        ("version = 'x'", "a whole number"),
        ("family = 5", "'traditional' or 'deep'"),
        ("paper_name = 5", "a text"),
        ("uses_labels = 'no'", "True or False"),
    ],
)
def test_a_class_variable_of_the_wrong_kind_is_refused_with_the_remedy(plugin, wrong, remedy):
    entry = registry([plugin(wrong, "def __init__(self, size=2):", "    self.size = size")])["mine"]
    told = f"method 'mine': its class variable {wrong.replace(' = ', ' is ')}; use {remedy}"
    with pytest.raises(MethodError, match=re.escape(told)):
        entry.load()


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("float, Number(0, 1), SearchRange(0.0, 2.0)", "size = 2.0; use a number between 0 and 1"),
        ("int, Count(2), SearchSpace(4, 2.5)", "size = 2.5; use a whole number of 2 or more"),
        ("int, Count(2), SearchRange(1, 9, whole=True)", "size = 1; use a whole number of 2 or more"),
        ("int, Count(2), SearchRange(2, 9)", "size = 2.0; use a whole number of 2 or more"),
    ],
)
def test_a_search_space_of_values_that_its_parameter_refuses_is_refused(plugin, kind, wrong):
    imported = "from cmbench.methods.parameters import Annotated, Count, Number, SearchRange, SearchSpace"
    entry = registry([plugin(imported, f"size: Annotated[{kind}] = 1")])["mine"]
    with pytest.raises(MethodError, match=f"method 'mine': its search space has {wrong}"):
        entry.load()


def test_the_classes_of_built_in_methods_keep_the_same_rules():
    for name in BUILT_IN:
        check_class(registry()[name].load())


def test_a_search_space_of_no_parameter_is_refused(plugin):
    entry = registry([plugin("tuning_space = {'width': (1, 2)}")])["mine"]
    with pytest.raises(MethodError, match="'width', which is none of its parameters; it has none"):
        entry.load()


def test_a_list_is_a_tuple_to_a_method_whose_default_is_one(plugin):
    method = registry([plugin("sizes: tuple[int, ...] = (6,)", "widths: list | None = None")])["mine"].load()
    made = new_method(method, {"sizes": [7, 8], "widths": [9]})
    assert (made.sizes, made.widths) == ((7, 8), [9])


@pytest.mark.parametrize("raising", ["raise ValueError('no')", "raise SystemExit('no')"])
def test_what_a_constructor_raises_is_told_with_its_line(plugin, raising):
    entry = registry([plugin("def __init__(self, size=2):", f"    {raising}")])["mine"]
    with pytest.raises(MethodError, match=r"method 'mine': its constructor failed: .*no \(plugin.py, line 5"):
        new_method(entry.load(), {})


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../../victim", "/victim", "a/b", "a\\b", ".hidden", "a\0", 5, ["a"]]
)
def test_a_name_that_would_lead_out_of_a_folder_is_refused(plugin, name):
    path = plugin(f"name = {name!r}")
    known = registry([path])
    (problem,) = known.problems
    assert {*known.entries} == {*BUILT_IN}
    assert f"{path}: the name {name!r} cannot be that of a method" in problem
    with pytest.raises(MethodError, match="without / and"):
        file_entries(path)


@pytest.mark.parametrize("name", ["corr-ae-2", "my_method", "größe", "図", "a.b", "a..b", "my method"])
def test_any_other_name_is_one(plugin, name):
    known = registry([plugin(f"name = {name!r}")])
    assert ({*known.entries} - {*BUILT_IN}, [*known.problems]) == ({name}, [])
