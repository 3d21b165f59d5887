"""The shape of the source: which way imports point, how long files are, and what must be documented."""

import ast
import re
import runpy
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from cmbench.methods.registry import BUILT_IN

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {"bench": "cmbench", "methods": "cmbench.methods", "datasets": "cmbench.datasets"}
LONGEST = 400  # lines of code of a file
IN_REACH, OWN = 24, 6  # files to follow a method
NAMES_THAT_SAY_NOTHING = ("util", "helper", "common", "misc", "stuff")

EVERYBODY = ("cmbench.errors", "cmbench.disk", "cmbench.neural")
WHAT_A_DATASET_IS = ("cmbench.datasets.contract", "cmbench.datasets.draft")
WHAT_A_METHOD_IS = (*WHAT_A_DATASET_IS, "cmbench.methods.contract", "cmbench.methods.parameters")
VIEWS = (*WHAT_A_METHOD_IS, "cmbench.evaluation", "cmbench.methods.views")
TRAINING = (*VIEWS, "cmbench.methods.training")
NETWORKS = (*TRAINING, "cmbench.methods.networks")
WHAT_IS_STORED = (
    "cmbench.evaluation",
    "cmbench.schema",
    "cmbench.records",
    "cmbench.choices",
    "cmbench.command",
    "cmbench.current",
    "cmbench.index",
    "cmbench.store",
    "cmbench.limits",
    "cmbench.output",
)
RAW_PAIRS = (
    "cmbench.datasets.raw.registry",
    "cmbench.datasets.scenes.collection",
    "cmbench.datasets.emoji.thumbnails",
)

DIRECTIONS = {
    "cmbench.evaluation": ("cmbench.evaluation",),
    "cmbench.datasets.formats": (
        *WHAT_A_DATASET_IS,
        "cmbench.datasets.rules",
        "cmbench.datasets.soundness",
        "cmbench.datasets.repetitions",
        "cmbench.datasets.together",
        "cmbench.datasets.formats",
    ),
    "cmbench.datasets": ("cmbench.datasets",),
    "cmbench.methods.views": VIEWS,
    "cmbench.methods.training": TRAINING,
    "cmbench.methods.networks": NETWORKS,
    "cmbench.methods.ccl": (*NETWORKS, "cmbench.methods.ccl", "cmbench.methods.corr_ae"),
    "cmbench.methods": ("cmbench.methods", "cmbench.evaluation", *WHAT_A_DATASET_IS),
    "cmbench.execution": ("cmbench",),
    "cmbench.report": ("cmbench.report", *WHAT_IS_STORED, *RAW_PAIRS),
    "cmbench.cli": ("cmbench",),
    "cmbench": ("cmbench",),
}
"""What the files of a folder may import, by folder; the first that holds a module is the one that counts."""
KEPT_FROM = {
    "cmbench.execution": ("cmbench.report", "cmbench.runner", "cmbench.tuning", "cmbench.reproduction"),
    "cmbench": ("cmbench.report",),
}
"""What they may not import all the same: who asks for runs, and who tells of them."""
EXCEPTIONS = {("cmbench", "cmbench.report.cells"), ("cmbench.runner", "cmbench.report.cells")}
"""A run returns the frame that reports make of records."""


@dataclass(frozen=True)
class Import:
    """A module that is imported, and when: with the importing one, by a call, or by a type checker only."""

    module: str
    when: str


@cache
def sources():
    """Return the path of every module, by the name it is imported under."""
    found = {}
    for folder, package in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            found[".".join((package, *parts))] = path
    return found


MODULES = sorted(sources())


@cache
def tree_of(module):
    return ast.parse(sources()[module].read_text(encoding="utf-8"))


def imports_of(tree, known=()):
    """Return every import in the tree; ``from package import module`` is an import of the module."""
    when = {
        id(node): kind for branch in ast.walk(tree) if (kind := kind_of(branch)) for node in ast.walk(branch)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import; write the whole name"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in known else node.module for name in inner]
        else:
            continue
        found += [Import(name, when.get(id(node), "at once")) for name in names]
    return found


def kind_of(branch):
    if isinstance(branch, ast.If) and "TYPE_CHECKING" in ast.unparse(branch.test):
        return "typing"
    return "called" if isinstance(branch, ast.FunctionDef | ast.AsyncFunctionDef) else ""


@cache
def imports(module):
    return imports_of(tree_of(module), sources())


def within(module, *packages):
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def own_imports(module):
    return sorted({each.module for each in imports(module) if within(each.module, "cmbench")})


def wrong_imports(module):
    """Return what a module imports against the direction."""
    return [other for other in own_imports(module) if not may_import(module, other)]


def may_import(module, other):
    if within(other, "cmbench.cli") and not within(module, "cmbench.cli", "cmbench.__main__"):
        return False
    if within(module, "cmbench.methods") and is_method(module) and is_method(other):
        return within(other, folder_of(module), *DIRECTIONS.get(folder_of(module), ()))
    room = next(folder for folder in DIRECTIONS if within(module, folder))
    if within(other, *KEPT_FROM.get(room, ())):
        return (module, other) in EXCEPTIONS
    return within(other, *DIRECTIONS[room], *EVERYBODY)


def is_method(module):
    """Whether a module lies in the folder of a method, such as ``cmbench.methods.jrl``."""
    rooms = ("cmbench.methods.views", "cmbench.methods.networks", "cmbench.methods.training")
    return module.count(".") > 2 and within(module, "cmbench.methods") and not within(module, *rooms)


def folder_of(module):
    return module.rpartition(".")[0]


@pytest.mark.parametrize(
    ("module", "other", "may"),
    [
        ("cmbench.datasets.formats.numpy_files", "cmbench.datasets.formats.feature_file", True),
        ("cmbench.datasets.formats.numpy_files", "cmbench.errors", True),
        ("cmbench.datasets.formats.numpy_files", "cmbench.store", False),
        ("cmbench.datasets.formats.numpy_files", "cmbench.methods.contract", False),
        ("cmbench.datasets.formats.numpy_files", "cmbench", False),
        ("cmbench.methods.cca", "cmbench.datasets.contract", True),
        ("cmbench.methods.cca", "cmbench.evaluation.evaluator", True),
        ("cmbench.methods.cca", "cmbench.datasets.formats.numpy_files", False),
        ("cmbench.methods.cca", "cmbench.datasets", False),
        ("cmbench.methods.cca", "cmbench.store", False),
        ("cmbench.methods.views.maps", "cmbench.methods.training.loop", False),
        ("cmbench.methods.training.loop", "cmbench.methods.views.scaling", True),
        ("cmbench.methods.training.loop", "cmbench.methods.networks.rbm", False),
        ("cmbench.methods.jrl.method", "cmbench.methods.jrl.curvature", True),
        ("cmbench.methods.jrl.method", "cmbench.methods.kcca.kernels", False),
        ("cmbench.methods.ccl.method", "cmbench.methods.corr_ae.correspondence", True),
        ("cmbench.methods.ccl.method", "cmbench.methods.cmgans.networks", False),
        ("cmbench.datasets.raw.wikipedia", "cmbench.disk", True),
        ("cmbench.evaluation.ranking", "cmbench.evaluation.arrays", True),
        ("cmbench.evaluation.ranking", "cmbench.datasets.contract", False),
        ("cmbench.evaluation.evaluator", "cmbench.methods.contract", False),
        ("cmbench.report.settings", "cmbench.records", True),
        ("cmbench.report.settings", "cmbench.execution.record", False),
        ("cmbench.report.settings", "cmbench.plan", False),
        ("cmbench.report.settings", "cmbench.methods.registry", False),
        ("cmbench.execution.local", "cmbench.plan", True),
        ("cmbench.execution.local", "cmbench.runner", False),
        ("cmbench.execution.local", "cmbench.report.records", False),
        ("cmbench.profiles", "cmbench.choices", True),
        ("cmbench.profiles", "cmbench.report.records", False),
        ("cmbench.runner", "cmbench.report.cells", True),
        ("cmbench.runner", "cmbench.report.settings", False),
        ("cmbench.cli.table", "cmbench.report.table", True),
        ("cmbench.runner", "cmbench.methods.registry", True),
        ("cmbench.runner", "cmbench.cli.main", False),
        ("cmbench.__main__", "cmbench.cli.main", True),
    ],
)
def test_the_direction_is_what_the_design_says(module, other, may):
    assert may_import(module, other) is may


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_one_way(module):
    assert not wrong_imports(module)


def test_imports_are_found_wherever_they_stand():
    text = """
import numpy.linalg as la, torch
from cmbench import errors, evaluate
if TYPE_CHECKING:
    from pandas import DataFrame
class A:
    import json
    def f(self):
        from cmbench.cli import main
"""
    assert imports_of(ast.parse(text), {"cmbench.errors"}) == [
        Import("numpy.linalg", "at once"),
        Import("torch", "at once"),
        Import("cmbench.errors", "at once"),
        Import("cmbench", "at once"),
        Import("pandas", "typing"),
        Import("json", "at once"),
        Import("cmbench.cli", "called"),
    ]
    with pytest.raises(AssertionError, match="relative"):
        imports_of(ast.parse("from . import errors"))


def test_every_module_of_ours_that_is_imported_exists():
    missing = {
        (module, other) for module in MODULES for other in own_imports(module) if other not in sources()
    }
    assert not missing


@cache
def reached_from(module, *when):
    """Return all that is imported on the way from ``module``, itself included."""
    reached, waiting = set(), [module]
    while waiting:
        current = waiting.pop()
        if current not in reached:
            reached.add(current)
            found = imports(current) if current in sources() else ()
            waiting += [each.module for each in found if each.when in when]
    return reached


REPORT = [module for module in MODULES if within(module, "cmbench.report")]


@pytest.mark.parametrize("module", REPORT)
def test_a_report_never_imports_torch_or_a_method(module):
    reached = reached_from(module, "at once", "called")
    assert not {other for other in reached if within(other, "torch")}
    assert not {other for other in reached if within(other, "cmbench.methods")}


def test_the_test_before_would_find_torch():
    assert "torch" in reached_from("cmbench.evaluation.evaluator", "at once", "called")
    assert "torch" not in reached_from("cmbench.evaluation.evaluator", "at once")


@pytest.mark.parametrize("module", MODULES)
def test_no_module_imports_itself_in_a_circle(module):
    for other in {each.module for each in imports(module) if each.when == "at once"} - {module}:
        assert module not in reached_from(other, "at once"), f"{other} leads back to {module}"


def test_the_packages_that_are_installed_are_the_folders_there_are():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    packages = {module for module, path in sources().items() if path.name == "__init__.py"}
    assert packages == set(settings["packages"])
    assert settings["package-dir"] == {package: folder for folder, package in FOLDERS.items()}


def test_every_folder_with_modules_is_a_package():
    assert not [path for path in sources().values() if not (path.parent / "__init__.py").exists()]


def test_the_plan_of_the_house_names_every_room_and_what_lies_beside_rooms():
    plan = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `([a-z/]+)/` \| (.*) \|$", plan, flags=re.MULTILINE))
    folders = {path.parent for path in sources().values()}
    rooms = {folder for folder in folders if not (folder / "method.py").exists()}  # those are methods
    assert not {str(room.relative_to(ROOT)) for room in rooms} - set(rows)
    methods = {home.partition(":")[0].rpartition(".")[2] for home in BUILT_IN.values()}
    for top in FOLDERS:
        beside = {path.stem for path in (ROOT / top).glob("[a-z]*.py")} - methods
        assert not {name for name in beside if f"`{name}`" not in rows[top]}, top


def test_no_file_is_longer_than_one_reads():
    files = [*sources().values(), *(ROOT / "tests").rglob("*.py")]
    lengths = {str(path.relative_to(ROOT)): code_lines(path.read_text("utf-8")) for path in files}
    assert len(lengths) > 100
    assert not {path: length for path, length in lengths.items() if length > LONGEST}


def code_lines(text):
    """Return the number of lines that are no docstring."""
    bodies = [
        node.body for node in ast.walk(ast.parse(text)) if isinstance(getattr(node, "body", None), list)
    ]
    strings = [
        node
        for body in bodies
        for node in body
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and type(node.value.value) is str
    ]
    return len(text.splitlines()) - sum(node.end_lineno - node.lineno + 1 for node in strings)


def test_docstrings_do_not_count_as_code():
    assert code_lines('"""A.\n\nB."""\n\ndef f():\n    """C."""\n    return "D"\n') == 3


def test_a_method_is_followed_in_one_sitting():
    reach = runpy.run_path(str(ROOT / "tests" / "reach.py"))["counts"]()
    assert len(reach) > 20
    assert not {name: counts for name, counts in reach.items() if counts[0] > IN_REACH or counts[1] > OWN}


def test_modules_are_named_after_what_is_in_them():
    names = {name for module in MODULES for name in module.split(".")}
    names -= {"common_space"}  # the field's term for what CCL ends in
    assert not {name for name in names if any(word in name for word in NAMES_THAT_SAY_NOTHING)}


@pytest.mark.parametrize("module", MODULES)
def test_everything_public_is_documented(module):
    assert not undocumented(tree_of(module))


def undocumented(tree):
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    public = [node for node in tree.body if isinstance(node, definitions) and not node.name.startswith("_")]
    missing = [node.name for node in public if not ast.get_docstring(node)]
    return missing if ast.get_docstring(tree) else ["the module itself", *missing]


def test_what_is_not_documented_is_found():
    text = "def f(): ...\nasync def g():\n    'Said.'\nclass C: ...\nclass _D: ...\n"
    assert undocumented(ast.parse(text)) == ["the module itself", "f", "C"]


def test_what_packages_promise_they_have():
    for package in (module for module, path in sources().items() if path.name == "__init__.py"):
        imported = __import__(package, fromlist=["__all__"])
        for name in getattr(imported, "__all__", ()):
            assert getattr(imported, name) is not None, f"{package}.{name}"
