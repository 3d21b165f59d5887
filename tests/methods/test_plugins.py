"""Plugins of several files: each has its own modules, and every one that it loads is part of its code."""

import os
import subprocess
import sys
from hashlib import sha256
from types import ModuleType

import pytest

from cmbench.errors import MethodError
from cmbench.methods import sources
from cmbench.methods.registry import BUILT_IN, registry

PLUGIN = """
from cmbench.methods.contract import Method
{top}

class Mine(Method):
    def fit(self, train, validation):
        {lazy}
        self.value = value
        return self
    def transform_images(self, images):
        return images
    def transform_texts(self, texts):
        return texts
"""
HELPER = "value = {}\n"


@pytest.fixture
def folder(tmp_path):
    """Return a function that writes files into a folder, and the folder."""

    class Folder:
        path = tmp_path / "own"

        def write(self, **files):
            for name, text in files.items():
                path = self.path / f"{name.replace('__IN__', '/')}.py"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            return self.path / "mine.py"

        def plugin(self, top="pass", lazy="pass"):
            return self.write(mine=PLUGIN.format(top=top, lazy=lazy))

    return Folder()


def method(path):
    known = registry([path])
    assert not known.problems
    return known["mine"].load()


def code(path):
    return registry([path])["mine"].code_version()


def value(path):
    """Return what a fit in this process finds in the plugin's modules."""
    return method(path)().fit(None, None).value


BESIDE = [  # what the plugin says, at its top or in fit, and the file it then loads
    ("from helper import value", "pass", "helper"),
    ("import helper\nvalue = helper.value", "pass", "helper"),
    ("import helper as other\nvalue = other.value", "pass", "helper"),
    ("from helper import *", "pass", "helper"),
    ("from .helper import value", "pass", "helper"),
    ("from . import helper\nvalue = helper.value", "pass", "helper"),
    ("import lib.helper\nvalue = lib.helper.value", "pass", "lib__IN__helper"),
    ("import lib.helper as inner\nvalue = inner.value", "pass", "lib__IN__helper"),
    ("from lib import helper\nvalue = helper.value", "pass", "lib__IN__helper"),
    ("from lib.deep.helper import value", "pass", "lib__IN__deep__IN__helper"),
    ("pass", "from helper import value", "helper"),
    ("pass", "from .helper import value", "helper"),
    ("pass", "from lib.helper import value", "lib__IN__helper"),
    ("try:\n    from helper import value\nexcept ImportError:\n    value = 0", "pass", "helper"),
    ("from importlib import import_module\nvalue = import_module('helper').value", "pass", "helper"),
    ("from importlib import import_module", "value = import_module('.helper', __package__).value", "helper"),
    ("value = __import__('helper').value", "pass", "helper"),
    (
        "from importlib import import_module\nvalue = import_module('hel' + 'per').value",
        "pass",
        "helper",
    ),
    (
        "import sys, pathlib\nsys.path.insert(0, str(pathlib.Path(__file__).parent / 'lib'))\n"
        "from odd_helper import value\nsys.path.pop(0)",
        "pass",
        "lib__IN__odd_helper",
    ),
    (
        "import pathlib, runpy\n"
        "value = runpy.run_path(pathlib.Path(__file__).with_name('helper.py'))['value']",
        "pass",
        "helper",
    ),
]


@pytest.mark.parametrize(("top", "lazy", "helper"), BESIDE)
def test_a_module_that_a_plugin_loads_from_its_folder_is_part_of_its_code(top, lazy, helper, folder):
    folder.write(**{helper: HELPER.format(1)})
    path = folder.plugin(top, lazy)
    assert value(path) == 1
    before = code(path)
    assert code(path) == before
    folder.write(**{helper: HELPER.format(2)})
    assert code(path) != before
    folder.write(**{helper: HELPER.format(1)})
    assert code(path) == before


@pytest.mark.parametrize(("top", "lazy", "helper"), [case for case in BESIDE if "sys.path" not in case[0]])
def test_an_edited_module_is_read_anew_in_the_same_process(top, lazy, helper, folder, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    for number in (1, 2, 3):  # of one second and of one length: bytecode could not tell them apart
        folder.write(**{helper: HELPER.format(number)})
        os.utime(folder.path / f"{helper.replace('__IN__', '/')}.py", (1e9, 1e9))
        assert value(folder.plugin(top, lazy)) == number


def test_what_a_module_loads_in_turn_counts_and_a_circle_ends(folder):
    folder.write(helper="from inner import value\nimport helper", inner="import helper\nvalue = 1\n")
    path = folder.plugin("from helper import value")
    before = code(path)
    folder.write(inner="import helper\nvalue = 2\n")
    assert value(path) == 2
    assert code(path) != before


def test_a_comment_counts_in_a_file_that_is_loaded_and_in_no_other(folder):
    folder.write(helper=HELPER.format(1), other="x = 1\n", lib__IN__other="x = 1\n")
    path = folder.plugin("from helper import value\nimport json, numpy")
    before = code(path)
    folder.write(other="x = 1  # a comment\n", lib__IN__other="", json="", readme="text")
    assert code(path) == before
    folder.write(helper=HELPER.format("1  # a comment"))
    assert code(path) != before


def test_a_package_counts_with_what_runs_before_its_module(folder):
    folder.write(lib__IN____init__="", lib__IN__helper=HELPER.format(1), lib__IN__other="x = 1\n")
    path = folder.plugin("from lib.helper import value")
    before = code(path)
    folder.write(lib__IN__other="x = 2\n")
    assert code(path) == before
    folder.write(lib__IN____init__="import numpy\n")
    assert code(path) != before


def test_a_star_brings_the_modules_of_a_package(folder):
    folder.write(lib__IN____init__="__all__ = ['helper']\n", lib__IN__helper=HELPER.format(1))
    path = folder.plugin("from lib import *\nvalue = helper.value")
    before = code(path)
    folder.write(lib__IN__helper=HELPER.format(2))
    assert value(path) == 2
    assert code(path) != before


@pytest.mark.parametrize(
    ("top", "outer"),
    [
        ("from .layers import value", False),
        ("from own.layers import value", False),
        ("from ..own.layers import value", True),
    ],
)
def test_a_plugin_may_be_a_module_of_a_package_that_imports_it(top, outer, folder):
    path = folder.plugin(top)
    folder.write(__init__="from .mine import Mine\n", layers="from .inner import value\n")
    folder.write(inner="value = 1\n", **({"..__IN____init__": ""} if outer else {}))
    assert value(path) == 1
    before = code(path)
    folder.write(inner="value = 2\n")
    assert value(path) == 2
    assert code(path) != before


def test_a_package_that_a_plugin_does_not_use_does_not_run(folder):
    folder.write(__init__="1 / 0\n")
    path = folder.plugin("value = 1")
    assert value(path) == 1
    assert code(path) == f"1-{sha256(path.read_bytes()).hexdigest()[:12]}"


def test_a_package_itself_may_be_the_plugin(folder):
    folder.write(
        helper=HELPER.format(5), __init__=PLUGIN.format(top="from .helper import value", lazy="pass")
    )
    assert value(folder.path / "__init__.py") == 5


def test_plugins_with_a_module_of_the_same_name_each_have_their_own(folder, tmp_path):
    folder.write(helper="value = 'first'\n")
    first = folder.plugin("from helper import value as early", "from helper import value; value += early")
    folder.path = tmp_path / "second"
    folder.write(helper="value = 'second'\n")
    second = folder.plugin("from helper import value as early", "from helper import value; value += early")
    classes = [method(path) for path in (first, second)]
    assert [each().fit(None, None).value for each in classes] == ["first" * 2, "second" * 2]
    assert "helper" not in sys.modules


def test_modules_of_the_program_stay_what_they_are(folder, monkeypatch):
    theirs = ModuleType("helper")
    theirs.value = "theirs"
    monkeypatch.setitem(sys.modules, "helper", theirs)
    folder.write(helper="value = 'ours'\n")
    path_before = list(sys.path)
    assert value(folder.plugin("from helper import value")) == "ours"
    assert sys.modules["helper"] is theirs
    assert sys.path == path_before


def test_a_plugin_named_like_what_it_wraps_gets_what_is_installed(folder):
    text = PLUGIN.format(top="import psutil\nvalue = psutil.__name__, psutil.cpu_count", lazy="pass")
    folder.write(psutil=text, typing="1 / 0\n")
    assert value(folder.path / "psutil.py")[0] == "psutil"


def test_a_base_class_in_another_file_stays_at_hand(folder):
    base = PLUGIN.format(top="value = 1", lazy="pass").replace("class Mine", "class Base")
    folder.write(base="from __future__ import annotations\n" + base)
    found = method(folder.write(mine="from base import Base\nclass Mine(Base):\n    ...\n"))
    assert issubclass(found, vars(sys.modules[found.__mro__[1].__module__])["Base"])
    found()


def test_the_code_of_one_file_is_named_as_ever_and_built_in_methods_by_their_version(folder):
    path = folder.plugin("value = 1")
    assert code(path) == f"1-{sha256(path.read_bytes()).hexdigest()[:12]}"
    known = registry()
    for name in BUILT_IN:
        assert known[name].code_version() == str(known[name].load().version)
        assert known[name].sources() == {}


def test_the_files_of_a_plugin_are_named_from_its_folder(folder):
    folder.write(lib__IN__helper=HELPER.format(1), other="")
    path = folder.plugin("from lib.helper import value")
    files = registry([path])["mine"].sources()
    assert list(files) == ["lib/helper.py", "mine.py"]
    assert files["lib/helper.py"] == HELPER.format(1).encode()


@pytest.mark.parametrize(
    ("line", "whole"),
    [
        ("print(sys.path)", False),
        ("sys.path.append('lib')", True),
        ("sys.path += ['lib']", True),
        ("sys.path[:0] = ['lib']", True),
        ("sys.path = ['lib', *sys.path]", True),
    ],
)
def test_where_the_path_is_changed_every_module_of_the_folder_counts(line, whole, folder):
    folder.write(lib__IN__other="")
    path = folder.plugin("import sys", line)
    assert ("lib/other.py" in registry([path])["mine"].sources()) is whole


def test_a_module_that_cannot_be_parsed_counts_too(folder):
    folder.write(helper="def broken(:\n")
    path = folder.plugin("value = 1", "import helper")
    before = code(path)
    folder.write(helper="def broken(:  # still\n")
    assert code(path) != before


def test_computed_imports_in_a_crowded_folder_are_refused_with_a_remedy(folder, monkeypatch):
    monkeypatch.setattr(sources, "MOST_FILES", 3)
    folder.write(**{f"other{number}": "" for number in range(4)})
    path = folder.plugin("import runpy\nvalue = 1", "runpy.run_path('x')")
    (problem,) = registry([path]).problems
    assert "more than 3 files; import the modules by their names" in problem
    with pytest.raises(MethodError, match="computed name"):
        sources.sources([path], sources.home_of_file(path))


def python(code, path):
    environment = {**os.environ, "PYTHONPATH": str(path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize("site", ["src", "site-packages"])
def test_the_code_of_an_installed_package_is_what_it_loads_of_itself(site, tmp_path):
    place = tmp_path / site
    package = place / "rival"
    (package / "inner").mkdir(parents=True)
    files = {
        "rival/__init__.py": "",
        "rival/methods.py": PLUGIN.format(top="from rival.inner import helper", lazy="value = helper.value"),
        "rival/inner/helper.py": "value = 1\n",
        "rival/other.py": "",
        "stranger.py": "",
    }
    for name, text in files.items():
        (place / name).write_text(text)
    lines = (
        "from cmbench.methods.registry import MethodEntry",
        "entry = MethodEntry('mine', 'package', 'rival.methods:Mine')",
        "print(entry.code_version(), *entry.sources())",
    )
    before = python("\n".join(lines), place)
    assert before.split()[1:] == ["rival/__init__.py", "rival/inner/helper.py", "rival/methods.py"]
    (package / "other.py").write_text("# a comment\n")
    assert python("\n".join(lines), place) == before
    (package / "inner" / "helper.py").write_text("value = 2\n")
    assert python("\n".join(lines), place) != before
