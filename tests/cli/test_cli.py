"""The command line: what it prints where, its exit status, and what it leaves unimported."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from cmbench import __version__
from cmbench.cli.main import VERBS, cli, main
from cmbench.datasets.formats.numpy_files import save_npz
from cmbench.methods.registry import BUILT_IN
from cmbench.store import Store

PLUGIN = """
from cmbench.methods.contract import Method

class {name}(Method):
    paper_name = "{paper_name}"
    def __init__(self, size=2, random_state=0):
        self.size, self.random_state = size, random_state
    def fit(self, train, validation):
        {fit}
        return self
    def transform_images(self, images):
        return images[:, : self.size]
    def transform_texts(self, texts):
        return texts[:, : self.size]
"""
QUICK = ("--threads", "1", "--memory", "none", "--deadline", "60s")


def python(*arguments, cwd=None, status=0):
    """Run Python as users do: in a process of its own, in another folder."""
    done = subprocess.run(
        [sys.executable, "-P", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == status, done.stderr
    return done


@pytest.fixture(scope="module")
def place(toy, tmp_path_factory):
    """A folder with a dataset file, plugins and a store of two good cells."""
    folder = tmp_path_factory.mktemp("place")
    save_npz(folder / "toy.npz", toy)
    plugins = {"first": "pass", "fails": 'raise ValueError("singular, says LAPACK")'}
    for name, fit in plugins.items():
        text = PLUGIN.format(name=name.capitalize(), paper_name=f"{name} two", fit=fit)
        (folder / f"{name}.py").write_text(text)
    (folder / "broken.py").write_text("import nothing_of_that_name\n")
    (folder / "stored").mkdir()
    command = ("run", "--dataset", folder / "toy.npz", "--methods", "cfa,cca", "--store", folder / "stored")
    done = python("-m", "cmbench", *command, *QUICK, cwd=folder)
    return SimpleNamespace(folder=folder, stored=folder / "stored", done=done, command=(*command, *QUICK))


@pytest.fixture
def command(place, tmp_path, monkeypatch, capfd):
    """Return a function that runs a command line in this process, as ``cmbench`` would in the folder."""
    monkeypatch.chdir(place.folder)
    before = signal.getsignal(signal.SIGTERM)

    def run(*arguments, status=0):
        monkeypatch.setattr(sys, "argv", ["cmbench", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capfd.readouterr()
        assert ended.value.code == status, printed.err
        assert "Traceback" not in printed.err
        return printed

    yield run
    signal.signal(signal.SIGTERM, before)


def fit(*arguments, methods="first", store="fresh", plugin="first.py"):
    """Return the arguments of a run of a plugin's methods into a store of its own."""
    plugins = ("--plugin", plugin) if plugin else ()
    chosen = ("--methods", methods) if methods else ()
    return ("run", "--dataset", "toy.npz", *plugins, *chosen, "--store", store, *QUICK, *arguments)


def test_a_run_prints_the_table_and_nothing_else_on_standard_output(place, command):
    lines = place.done.stdout.splitlines()
    assert lines[0].startswith("#")
    rows = [line for line in lines if line.startswith("|")]
    assert [row.split("|")[1].strip() for row in rows[2:]] == ["CFA", "CCA"]
    assert all(re.search(r"0\.\d{3}", row) for row in rows[2:])
    assert command("table", "--store", place.stored).out == place.done.stdout


def test_progress_goes_to_standard_error(place):
    assert "2 cells: 0 in the store, 2 to run" in place.done.stderr
    assert "finished toy cca: MAP 0." in place.done.stderr
    assert not re.search("started|finished|to run", place.done.stdout)
    assert "\x1b" not in place.done.stderr


def test_a_second_run_has_nothing_to_run_and_prints_the_same_table(place):
    again = python("-m", "cmbench", *place.command, cwd=place.folder)
    assert "2 cells: all are in the store, 0 to run" in again.stderr
    assert "started" not in again.stderr
    assert again.stdout == place.done.stdout


def test_a_run_prints_only_what_was_asked_for(place, command):
    out = command(*place.command[:4], "cca", *place.command[5:]).out
    assert "| CCA" in out
    assert "| CFA" not in out


@pytest.mark.parametrize("value", ["False", "false"])
def test_a_switch_is_set_in_the_spelling_of_python_and_of_json(command, tmp_path, value):
    command(*fit("--set", f"cfa.normalise_rows={value}", methods="cfa", plugin=None, store=tmp_path))
    (record,) = Store(tmp_path).records()
    assert record["method"]["parameters"]["normalise_rows"] is False


def test_a_damaged_record_of_another_cell_does_not_hide_the_table(place, command, tmp_path):
    other = tmp_path / "cells" / "other" / "cca-00aa.json"
    other.parent.mkdir(parents=True)
    other.write_text("{")
    printed = command(*fit(store=tmp_path))
    assert "first two" in printed.out
    assert "cca-00aa.json" not in printed.err


@pytest.mark.parametrize("verb", [("table",), ("show", "cca"), ("plot", "categories")])
def test_a_damaged_record_is_named_and_left_out_and_gives_status_1(place, command, tmp_path, verb):
    shutil.copytree(place.stored, tmp_path / "store")
    damaged = tmp_path / "store" / "cells" / "toy" / "cfa-00aa.json"
    damaged.write_text("{")
    options = ("--output", tmp_path / "figure.pdf") if verb[0] == "plot" else ()
    printed = command(*verb, "--store", tmp_path / "store", *options, status=1)
    assert f"cmbench: left out: {damaged}: not a readable record" in printed.err
    assert "cmbench clean" in printed.err
    assert "CCA" in printed.out or (tmp_path / "figure.pdf").exists()


def test_a_damaged_record_of_a_planned_cell_is_not_run_over_and_gives_status_1(place, command, tmp_path):
    shutil.copytree(place.stored, tmp_path / "store")
    (damaged,) = (tmp_path / "store" / "cells" / "toy").glob("cfa-*.json")
    damaged.write_text("{")
    again = [*place.command[:6], tmp_path / "store", *place.command[7:]]
    printed = command(*again, status=1)
    assert printed.err.startswith(f"cmbench: left out: {damaged}: not a readable record")
    assert "1 cell: all are in the store, 0 to run" in printed.err
    assert "1 of 2 cells have no record that can be read: toy cfa" in printed.err
    assert str(damaged) in printed.err
    assert "| CCA" in printed.out
    assert damaged.read_text() == "{"
    (other,) = (tmp_path / "store" / "cells" / "toy").glob("cca-*.json")
    other.write_text("{")
    assert "0 cells to run" in command(*again, status=1).err
    assert "| CFA" in command(*again, "--force").out


def test_settings_and_seeds_reach_the_records(command, tmp_path):
    command(*fit("--set", "first.size=3", "--seeds", "4,5", store=tmp_path))
    records = Store(tmp_path).records()
    assert sorted(record["seed"] for record in records) == [4, 5]
    for record in records:
        assert record["method"]["parameters"] == {"size": 3, "random_state": record["seed"]}
    command(*fit("--set", "cca.n_components=2", methods="cca", plugin=None, store=tmp_path))
    (record,) = (record for record in Store(tmp_path).records() if record["method"]["name"] == "cca")
    assert record["method"]["parameters"]["n_components"] == 2
    assert record["fitted"]["n_components_"] == 2


def test_protocol_limits_and_threads_reach_the_records(command, tmp_path):
    limits = ("--deadline", "2m", "--memory", "8GB")
    command(*fit("--protocol", "release", *limits, store=tmp_path))
    (record,) = Store(tmp_path).records()
    assert record["protocol"]["name"] == "release"
    assert record["limits"] == {"deadline": 120.0, "memory": 8 * 10**9}
    assert record["threads"] == 1


def test_the_methods_of_a_plugin_run_beside_the_default_ones(command, tmp_path, monkeypatch):
    monkeypatch.setattr("cmbench.choosing.DEFAULT_METHODS", ("cca", "cfa"))
    command(*fit(methods=None, store=tmp_path))
    names = {record["method"]["name"] for record in Store(tmp_path).records()}
    assert names == {"cca", "cfa", "first"}


def test_a_failed_cell_gives_status_1_and_a_table_that_says_so(command, tmp_path):
    printed = command(*fit(methods="fails,cfa", plugin="fails.py", store=tmp_path), status=1)
    assert "failed: ValueError" in printed.out
    assert "CFA" in printed.out
    assert "singular, says LAPACK" in printed.err
    assert "1 of 2 cells failed; 'cmbench show METHOD' tells why" in printed.err
    log = Path(re.search(r"\(log: (.*?)\)", printed.err)[1])
    assert "singular, says LAPACK" in log.read_text()
    shown = command("show", "fails", "--store", tmp_path).out
    assert re.search(r"run again +cmbench run .* --retry-failed\n(.*\n)+.*singular", shown)
    assert "cmbench reproduce" not in shown  # which compares with a result
    again = command(*fit(methods="fails,cfa", plugin="fails.py", store=tmp_path), status=1)
    assert "0 to run" in again.err


def test_a_broken_plugin_gives_status_1_and_the_others_run(command, tmp_path):
    printed = command(*fit("--plugin", "broken.py", store=tmp_path), status=1)
    assert "first two" in printed.out
    assert printed.err.count("broken.py cannot be imported: ModuleNotFoundError") == 2  # first and last
    assert [record["status"] for record in Store(tmp_path).records()] == ["ok"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fit",), "No such command 'fit'"),
        (("run", "--jobs", "0"), "--jobs"),
        (("run", "--threads", "many"), "--threads"),
        (("run", "--protocol", "mine"), "'mine' is not one of 'paper', 'release'"),
        (("run", "--seeds", "one"), "'one' is neither a number of seeds such as 3"),
        (("run", "--set", "n_components=3"), "is not METHOD.PARAMETER=VALUE"),
        (("run", "--set", "cca.n_components"), "is not METHOD.PARAMETER=VALUE"),
        (("run", "--nonsense"), "--nonsense"),
        (("run", "--methods", ""), "'' names no method"),
        (("run", "--methods", " , "), "' , ' names no method"),
        (("run", "--dataset", ""), "'' names no dataset"),
        (("run", "--store", ""), "'' names no folder"),
        (("tune", "--store", " "), "' ' names no folder"),
        (("merge", ".", "--store", ""), "'' names no folder"),
        (("run", "--store", "toy.npz"), "toy.npz is a file; name a folder"),
        (("tune", "--store", "toy.npz"), "toy.npz is a file; name a folder"),
        (("run", "--plugin", ""), "'' names no file"),
        (("run", "--profile", ""), "'' names no profile"),
        (("run", "--like", ""), "'' names no method"),
        (("reproduce", "cca", "--dataset", ""), "'' names no dataset"),
        (("table", "--dataset", ""), "'' names no dataset"),
        (("table", "--columns", ""), "'' names no column"),
        (("plot", "space", "--categories", ","), "',' names no category"),
        (("plot", "examples", "--queries", ","), "',' names no query"),
        (("table", "--measures", ","), "',' names no measure"),
        (("plot", "categories", "--dataset", ""), "'' names no dataset"),
        (("run", "extra"), "unexpected extra argument"),
        (("show",), "Missing argument 'CELL'"),
        (("table", "--format", "word"), "'word' is not one of"),
    ],
)
def test_wrong_usage_gives_status_2_and_one_message(command, arguments, message):
    printed = command(*arguments, status=2)
    assert message in printed.err
    assert "Usage: cmbench" in printed.err
    assert printed.out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (fit(methods="frist"), "unknown method 'frist' (did you mean 'first'?)"),
        (fit("--set", "first.siz=1"), "parameter 'siz' (did you mean 'size'?); it has size, random_state"),
        (
            fit("--set", "cca.ridge=1"),
            "parameters are given for 'cca', which is not among the methods to run",
        ),
        (
            fit("--set", "cca.n_components=many", methods="first,cca", store="unmade"),
            "cca: n_components is 'many'; use a whole number of 1 or more, 'all' or 'validation'",
        ),
        (fit("--set", "first.size=NaN"), "cannot be stored as JSON"),
        (fit("--deadline", "soon"), "'soon' is not a deadline such as 90s, 10m, 3h or none"),
        (fit("--memory", "much"), "'much' is not a size such as 500MB, 2GB or none"),
        (fit("--dataset", "wikipdia"), "unknown dataset 'wikipdia'"),
        (fit("--dataset", "first.py"), "first.py"),
        (("show", "cca", "--store", "nowhere"), "no cell 'cca' in nowhere; it has none"),
        (("table", "--store", "nowhere"), "no records in nowhere; run 'cmbench run' first"),
        (("datasets", "info", "nowhere.npz"), "unknown dataset 'nowhere.npz'"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_status_1(command, arguments, message):
    printed = command(*arguments, status=1)
    assert printed.out == ""
    last = printed.err.splitlines()[-1]
    assert last.startswith("cmbench: ")
    assert message in last


def test_nothing_is_made_where_nothing_is_run(command, place):
    command(*fit(methods="frist", store="unmade"), status=1)
    command("table", "--store", "unmade", status=1)
    assert not (place.folder / "unmade").exists()


def test_errors_reach_the_shell_of_a_process(place):
    done = python("-m", "cmbench", "show", "kcca", "--store", place.stored, status=1)
    told = f"cmbench: no cell 'kcca' in {place.stored} (did you mean 'cca'?); it has toy/cca, toy/cfa\n"
    assert done.stderr == told
    done = python("-m", "cmbench", "run", "--jobs", "none", status=2)
    assert "Traceback" not in done.stderr


def test_show_tells_everything_of_a_cell(place, command):
    (record,) = (r for r in Store(place.stored).records() if r["method"]["name"] == "cca")
    out = command("show", "cca", "--store", place.stored).out
    assert out == command("show", "toy/cca", "--store", place.stored).out
    assert out == command("show", record["key"][:10], "--store", place.stored).out
    assert out.startswith("toy / CCA  (ok)\n  run again        cmbench run --dataset ")
    assert re.search(r"\n  allmodal_average \d\.\d{4}\n  bimodal_average  \d\.\d{4}\n", out)
    assert (place.folder / re.search(r"  log +(.+)", out)[1]).is_file()
    for text in (
        record["key"],
        f"{record['map']['image_to_text']:.4f}",
        f"n_components={json.dumps(record['method']['parameters']['n_components'])}",
        "80/40/48 pairs",
        f"files: {record['fence']['files'] or 'open to the method'}, processes: ",
        record["log"],
        record["provenance"]["python"],
    ):
        assert text in out


def test_show_names_no_log_where_the_store_has_none(place, command, tmp_path):
    shutil.copytree(place.stored, tmp_path / "given")
    shutil.rmtree(tmp_path / "given" / "logs")
    assert "\n  log " not in command("show", "cca", "--store", tmp_path / "given").out


def test_a_cell_that_is_left_out_is_not_told_as_stored(command, tmp_path):
    words = ("run", "--dataset", "toy.npz", "--methods", "identity", "--store", tmp_path, *QUICK)
    assert "1 cell: 0 in the store, 0 to run, 1 left out\n" in command(*words, status=1).err


def test_methods_lists_those_built_in_and_of_plugins(command):
    lines = command("methods", "--plugin", "first.py").out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == [*BUILT_IN, "first"]
    assert "first two" in lines[-1]
    assert "first.py:First" in lines[-1]
    assert "random_state" not in "".join(lines)
    assert "size=2, random_state=0" in command("methods", "--plugin", "first.py", "--parameters").out


def test_methods_describes_one_with_all_its_parameters(command):
    out = command("methods", "kcca").out
    assert out.startswith("KCCA\n")
    assert "maximise aᵀK_xK_yb" in out
    assert "kappa = 0.5\n" in out
    assert "Allowed: a number between 0 and 1, both excluded. Worth trying: " in out
    assert "size = 2\nrandom_state = 0\n" in command("methods", "first", "--plugin", "first.py").out
    assert "did you mean 'kcca'?" in command("methods", "kccca", status=1).err


def test_methods_tells_of_a_broken_plugin_after_the_list(command):
    printed = command("methods", "--plugin", "broken.py", status=1)
    assert "cca" in printed.out
    assert printed.err.startswith("cmbench: plugin ")
    assert "broken.py cannot be imported: ModuleNotFoundError" in printed.err


def test_the_table_and_the_figure_are_made_from_the_store(place, command, tmp_path):
    assert command("table", "--store", place.stored, "--format", "csv").out.splitlines()[1:]
    command("plot", "categories", "--store", place.stored, "--output", tmp_path / "bars.svg")
    assert "CCA" in (tmp_path / "bars.svg").read_text()


def test_the_version_is_that_of_the_distribution(command):
    assert command("--version").out == f"cmbench, version {__version__}\n"


def test_help_names_every_verb_and_every_verb_has_help():
    overview = CliRunner().invoke(cli, ["--help"])
    assert overview.exit_code == 0
    for verb, summary in VERBS.items():
        assert re.search(rf"^  {verb} +{re.escape(summary[:20])}", overview.output, re.MULTILINE)
        alone = CliRunner().invoke(cli, [verb, "-h"])
        assert alone.exit_code == 0
        assert f"Usage: cli {verb}" in alone.output


def test_every_option_of_every_verb_says_what_it_is_for():
    for verb in VERBS:
        command = cli.get_command(None, verb)
        for option in command.params:
            assert option.param_type_name == "argument" or option.help or option.type.name == "choice", option


def test_a_reader_that_stops_early_gets_no_traceback(place):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-P", "-m", "cmbench", "table", "--store", place.stored]
    with os.fdopen(write, "wb") as closed:
        done = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, text=True)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
