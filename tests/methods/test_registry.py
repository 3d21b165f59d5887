"""The registry: methods built in, of installed packages and of plugin files, broken ones among them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from plugin_code import BODY, HEAD, method_class
from sklearn.base import clone

from cmbench.errors import MethodError
from cmbench.methods.contract import Method
from cmbench.methods.registry import (
    BUILT_IN,
    CONTROLS,
    DEFAULT_METHODS,
    expanded,
    file_entries,
    load_method,
    method_rows,
    registry,
)
from cmbench.report.settings import PAPER_ORDER


@pytest.fixture
def plugin(tmp_path):
    """Return a function that writes a plugin file and gives its path."""

    def write(text, name="plugin.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    return write


def names_and_problems(*plugins):
    known = registry(plugins)
    return [name for name in known.entries if name not in BUILT_IN], list(known.problems)


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_method_is_an_estimator_of_its_name(name):
    method = load_method(name)
    assert isinstance(method, Method)
    assert method.name == name
    assert method.family in ("traditional", "deep")
    assert method.citation or name in CONTROLS
    assert clone(method).get_params() == method.get_params()


def test_the_default_methods_are_the_rows_of_the_tables_of_the_paper():
    names = [load_method(name).paper_name for name in DEFAULT_METHODS]
    assert sorted(names) == sorted(PAPER_ORDER)


def test_the_list_says_which_methods_the_name_of_a_group_stands_for():
    rows, _ = method_rows()
    for name in ("paper", "beyond", "controls"):
        assert {row["name"] for row in rows if row["group"] == name} == set(expanded([name]))
    assert {row["group"] for row in rows} == {"paper", "beyond", "controls", ""}


def test_parameters_reach_the_method_and_the_rest_keep_their_defaults():
    method = load_method("cca", n_components=5)
    assert method.get_params() == {**load_method("cca").get_params(), "n_components": 5}


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("kcaa", {}, r"unknown method 'kcaa' \(did you mean 'k?cca'\?\); known methods: .*cfa.*--plugin"),
        ("CCA", {}, r"did you mean 'cca'"),
        ("", {}, r"unknown method ''; known methods"),
        (
            "cca",
            {"components": 3},
            r"parameter 'components' \(did you mean 'n_components'\?\); it has ridge, ",
        ),
    ],
)
def test_what_is_unknown_is_named_with_what_is_known(name, parameters, message):
    with pytest.raises(MethodError, match=message):
        load_method(name, **parameters)


def test_only_the_module_of_the_method_asked_for_is_imported():
    others = {place.partition(":")[0] for place in BUILT_IN.values()} - {BUILT_IN["cca"].partition(":")[0]}
    assert others
    code = (
        "import json, sys; from cmbench.methods.registry import load_method, registry; registry()\n"
        "before = sorted(name for name in sys.modules if name.startswith('cmbench.methods.'))\n"
        "load_method('cca'); print(json.dumps([before, sorted(sys.modules)]))"
    )
    before, after = json.loads(python(code).stdout)
    assert not {place.partition(":")[0] for place in BUILT_IN.values()} & set(before)
    assert BUILT_IN["cca"].partition(":")[0] in after
    assert not others & set(after)
    assert "torch" not in after


def test_a_plugin_file_brings_its_methods_under_the_names_of_their_classes(plugin):
    path = plugin(
        HEAD + method_class("Mine") + method_class("Named", body='\n    name = "other-name"' + BODY)
    )
    assert names_and_problems(path) == (["mine", "other-name"], [])
    method = registry([path])["other-name"].load()
    assert (method.name, method.__name__) == ("other-name", "Named")
    assert registry([str(path)]).plugin_names == ("mine", "other-name")


def test_a_base_that_lacks_a_method_and_an_imported_one_are_not_methods(plugin):
    text = HEAD + "from cmbench.methods.cfa import CFA\n"
    text += method_class("Base", body="\n    def fit(self, train, validation):\n        return self\n")
    rest = BODY[BODY.index("    def transform_images") :]
    text += method_class("Whole", base="Base", body="\n" + rest) + method_class(
        "Better", base="CFA", body=" ..."
    )
    assert names_and_problems(plugin(text)) == (["whole", "better"], [])


def test_a_second_name_for_a_class_is_not_a_second_method(plugin):
    assert names_and_problems(plugin(HEAD + method_class("Mine") + "Alias = Mine\n")) == (["mine"], [])


def test_a_class_made_by_a_function_is_found_under_its_variable(plugin):
    text = HEAD + "def made(columns):\n    class Made(Method):\n        name = f'made{columns}'\n"
    text += BODY.replace("\n    ", "\n        ") + "\n    return Made\nmade2, made3 = made(2), made(3)\n"
    path = plugin(text)
    assert names_and_problems(path) == (["made2", "made3"], [])
    assert [registry([path])[name].load().name for name in ("made2", "made3")] == ["made2", "made3"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\ndef broken(:\n", "SyntaxError: invalid syntax (broken.py, line 2: def broken(:)"),
        (
            "\nimport nothing_of_that_name\n",
            "ModuleNotFoundError: No module named 'nothing_of_that_name' (broken.py, line 2: "
            "import nothing_of_that_name)",
        ),
        (
            "import json\n\njson.loads('{')\n",
            "Expecting property name enclosed in double quotes: line 1 column 2 (char 1) (broken.py, line 3: "
            "json.loads('{'))",
        ),
        (
            "from cmbench.methods.parameters import SearchRange\nrate = SearchRange(0.0, 1.0, log=True)\n",
            "give 0.001, say, or leave out log (broken.py, line 2: rate = SearchRange(0.0, 1.0, log=True))",
        ),
        ("raise SystemExit(3)\n", "cannot be imported: SystemExit: 3"),
        ("class Skipped(BaseException): ...\n\n\nraise Skipped('why')\n", "cannot be imported: Skipped: why"),
        ("import sys; sys.exit('enough')\n", "cannot be imported: SystemExit: enough"),
        ("1 / 0\n", "cannot be imported: ZeroDivisionError"),
        ("x = 1\n", "defines no method; derive a class from cmbench.methods.contract.Method"),
        (HEAD, "defines no method"),
        ("", "defines no method"),
        ("\x00", "cannot be imported: "),
        (
            HEAD + method_class("Controls"),
            "the name 'controls' cannot be that of a method, because it",
        ),
        (
            HEAD + method_class("Mine", body=BODY.replace("transform_texts", "transform_text")),
            "class Mine has no transform_texts (it has 'transform_text')",
        ),
    ],
)
def test_a_broken_plugin_is_a_problem_and_the_others_work(plugin, text, message):
    good = plugin(HEAD + method_class("Good"), "good.py")
    broken = plugin(text, "broken.py")
    names, (problem,) = names_and_problems(broken, good)
    assert names == ["good"]
    assert message in problem
    assert str(broken) in problem
    with pytest.raises(MethodError, match=r"plugin .*broken"):
        file_entries(broken)


def test_what_a_plugin_prints_as_it_is_imported_does_not_stand_in_a_table(plugin, capsys):
    names, problems = names_and_problems(
        plugin("print('loading')\n" + HEAD + method_class("Mine"), "mine.py")
    )
    assert (names, problems) == (["mine"], [])
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "loading\n")


@pytest.mark.parametrize(
    ("name", "message"),
    [("absent.py", "no such file"), (".", "is a folder"), ("plugin.txt", "must end in .py")],
)
def test_what_is_no_python_file_is_a_problem(plugin, tmp_path, name, message):
    plugin(HEAD + method_class("Mine"), "plugin.txt")
    names, (problem,) = names_and_problems(tmp_path / name)
    assert names == []
    assert message in problem


def test_an_interrupt_while_a_plugin_is_imported_is_an_interrupt(plugin):
    with pytest.raises(KeyboardInterrupt):
        registry([plugin("raise KeyboardInterrupt\n")])


def test_a_name_that_is_taken_is_a_problem_and_the_first_keeps_it(plugin):
    built_in = plugin(HEAD + method_class("CCA"), "one.py")
    first, second = (plugin(HEAD + method_class("Mine"), name) for name in ("two.py", "three.py"))
    names, problems = names_and_problems(built_in, first, second)
    assert names == ["mine"]
    assert registry([built_in, first, second])["mine"].location == f"{first}:Mine"
    assert registry([built_in])["cca"].origin == "built-in"
    assert len(problems) == 2
    assert "one.py:CCA: the name 'cca' is taken by cmbench.methods.cca:CCA" in problems[0]
    assert "three.py:Mine: the name 'mine' is taken by" in problems[1]


def test_a_file_given_twice_is_one_plugin(plugin, tmp_path, monkeypatch):
    path = plugin(HEAD + method_class("Mine"))
    monkeypatch.chdir(tmp_path)
    assert names_and_problems(path, "plugin.py", "./plugin.py") == (["mine"], [])


def test_two_files_of_one_name_in_different_folders_are_two_plugins(plugin):
    text = HEAD + method_class("{}", body="\n    paper_name = '{}'" + BODY)
    one, two = (
        plugin(text.replace("{}", "One"), "a/plugin.py"),
        plugin(text.replace("{}", "Two"), "b/plugin.py"),
    )
    known = registry([one, two])
    assert not known.problems
    assert [known[name].load().paper_name for name in ("one", "two")] == ["One", "Two"]
    assert [known[name].load().paper_name for name in ("one", "two")] == ["One", "Two"]


def test_an_edited_file_is_read_again_in_the_same_process(plugin):
    path = plugin(HEAD + method_class("Mine", body="\n    version = 1" + BODY))
    before = registry([path])["mine"]
    assert before.load() is before.load()
    version = before.code_version()
    plugin(HEAD + method_class("Mine", body="\n    version = 1000" + BODY))
    after = registry([path])["mine"]
    assert after.load().version == 1000
    assert after.code_version() != version


def test_a_plugin_hides_no_module_of_its_name(plugin):
    path = plugin("import json as real\n" + HEAD + method_class("Mine"), "json.py")
    assert names_and_problems(path) == (["mine"], [])
    assert sys.modules["json"] is json


def test_the_home_folder_may_be_written_as_a_tilde(plugin, tmp_path, monkeypatch):
    plugin(HEAD + method_class("Mine"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert names_and_problems("~/plugin.py") == (["mine"], [])


@pytest.fixture
def installed(tmp_path):
    """Return a function that makes a package with entry points and gives the folder to put on the path."""

    def install(modules, points, name="rival"):
        folder = tmp_path / "site"
        metadata = folder / f"{name}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text("[cmbench.methods]\n" + "\n".join(points) + "\n")
        for module, text in modules.items():
            (folder / f"{module}.py").write_text(text)
        return folder

    return install


def python(code, *arguments, path="", status=0):
    done = subprocess.run(
        [sys.executable, "-P", *(["-c", code] if code else []), *arguments],
        env={**os.environ, "PYTHONPATH": str(path), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == status, done.stderr
    return done


def cmbench(*arguments, path="", status=0):
    return python("", "-m", "cmbench", *arguments, path=path, status=status)


def test_methods_of_an_installed_package_are_found_and_run(installed):
    path = installed({"rival_methods": HEAD + method_class("Rival")}, ["rival = rival_methods:Rival"])
    code = (
        "import sys; from cmbench.methods.registry import load_method, registry\n"
        "entry = registry()['rival']; print(entry.origin, 'rival_methods' in sys.modules)\n"
        "print(type(load_method('rival')).__module__, entry.code_version())"
    )
    first, second = python(code, path=path).stdout.splitlines()
    assert first == "package False"
    assert second.startswith("rival_methods 1-")
    assert "rival_methods:Rival" in cmbench("methods", path=path).stdout


def test_a_broken_package_is_told_of_and_the_others_work(installed):
    points = [
        "good = fine:Good",
        "broken = ruined:Broken",
        "absent = fine:Absent",
        "gone = no_such_module:Gone",
        "leaves = leaving:Leaves",
        "plain = fine:Plain",
        "misnamed = fine:Other",
        "extra = fine:Extra [fast]",
        "cca = fine:CCA",
        "../victim = fine:Good",
    ]
    fine = HEAD + "".join(map(method_class, ("Good", "Other", "CCA", "Extra"))) + "\nclass Plain: ...\n"
    modules = {"fine": fine, "ruined": "1 / 0\n", "leaving": "raise SystemExit(0)\n"}
    path = installed(modules, points)
    done = cmbench("methods", path=path, status=1)
    listed = [line.split()[0] for line in done.stdout.splitlines()[2:]]
    assert listed == [*BUILT_IN, "good", "extra"]
    for part in (
        "method 'broken' (ruined:Broken) cannot be imported: ZeroDivisionError",
        "method 'gone' (no_such_module:Gone) cannot be imported: ModuleNotFoundError",
        "method 'leaves' (leaving:Leaves) cannot be imported: SystemExit: 0",
        "method 'absent': fine:Absent is not a class derived from",
        "method 'plain': fine:Plain is not a class derived from",
        "method 'misnamed': fine:Other calls itself 'other'",
        "fine:CCA: the name 'cca' is taken by",
        "fine:Good: the name '../victim' cannot be that of a method",
    ):
        assert part in done.stderr
    assert "Traceback" not in done.stderr


def test_a_broken_package_raises_when_its_method_is_asked_for(installed):
    path = installed({"ruined": "1 / 0\n"}, ["broken = ruined:Broken"])
    code = "from cmbench.methods.registry import load_method; load_method({!r}); print('fine')"
    assert python(code.format("cca"), path=path).stdout == "fine\n"
    assert (
        "MethodError: method 'broken' (ruined:Broken)"
        in python(code.format("broken"), path=path, status=1).stderr
    )


def test_the_path_of_a_plugin_may_hold_a_colon(plugin):
    path = plugin(HEAD + method_class("Mine"), "od:d.py")
    assert registry([path])["mine"].load().name == "mine"
    assert Path(registry([path])["mine"].location.rpartition(":")[0]) == path
