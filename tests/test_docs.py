"""What the documentation shows works: its commands, its files, its links, and all that is made for it."""

import importlib.util
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from shown_commands import unknown_words

from cmbench.methods.registry import file_entries

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.glob("*.md") if path.name != "house.md")
BLOCK = re.compile(r"(<!-- not run: [^>]+ -->\n)?```(python|console)\n(.*?)```", re.DOTALL)


def blocks(page):
    """Return (is run, language, text) of every block of code of a page, in order."""
    return [(not left_out, *found) for left_out, *found in BLOCK.findall(page.read_text(encoding="utf-8"))]


def files(page):
    """Return the texts of the files that a page shows, by name: each begins with its name."""
    shown = [text for _, language, text in blocks(page) if language == "python"]
    return {named[1]: text for text in shown if (named := re.match(r"# (\w+\.py)\n", text))}


def commands(text):
    """Return the commands of a block, each in one line."""
    return [line[2:] for line in text.replace("\\\n", " ").splitlines() if line.startswith("$ ")]


def commands_of(page):
    """Return the commands of cmbench that a page shows: in blocks that run, and in lines that are set off."""
    consoles = [text for _, language, text in blocks(page) if language == "console"]
    set_off = re.findall(r"^    (cmbench .*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    lines = [line for text in consoles for line in commands(text)] + set_off
    plain = [" ".join(line.partition("  #")[0].split()) for line in lines]
    return [line for line in plain if line.startswith("cmbench ")]


COMMANDS = sorted({command for page in PAGES for command in commands_of(page)})
PLUGINS = {
    (page.name, name): text
    for page in PAGES
    for name, text in files(page).items()
    if "cmbench.methods" in text
}


def test_there_is_something_to_test():
    assert len(PAGES) >= 7
    assert len(COMMANDS) > 20
    assert len(PLUGINS) == 3


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_exists(command):
    assert not unknown_words(command)


@pytest.mark.parametrize("place", PLUGINS, ids="-".join)
def test_every_method_that_is_shown_learns(place, toy, tmp_path):
    path = tmp_path / place[1]
    path.write_text(PLUGINS[place], encoding="utf-8")
    (entry,) = file_entries(path)
    quick = {"epochs": 2, "batch_size": 16, "device": "cpu"} if "TrainedMethod" in PLUGINS[place] else {}
    method = entry.load()(**quick).fit(toy.train, toy.validation)
    assert method.transform_images(toy.test.images).shape[0] == len(toy.test)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_that_is_no_file_of_its_own_is_python(page):
    for _, language, text in blocks(page):
        if language == "python":
            compile(text, page.name, "exec")


def test_no_block_is_left_unrun_without_a_reason():
    unmarked = [text for page in PAGES for text in page.read_text("utf-8").split("```")[1::2]]
    languages = {text.partition("\n")[0] for text in unmarked}
    assert languages <= {"python", "console", "toml", "{toctree}"}


@pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name
)
def test_every_link_to_a_file_leads_somewhere(page):
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    made = {"methods.rst", "house.md"}
    assert not [link for link in links if link not in made and not (page.parent / link).exists()]


def made_pages():
    spec = importlib.util.spec_from_file_location("made_pages", DOCS / "made_pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_methods_has_every_method_and_every_parameter():
    text = made_pages().methods_page()
    for words in ("DCCA (``dcca``)", "``ridge = 1e-06``", "@inproceedings{andrew2013deep,", ":Preset paper:"):
        assert words in text


def test_links_of_the_contributing_guide_are_those_of_the_site():
    found = made_pages().within_the_site("[a](docs/fence.md) [b](tests/README.md) [c](https://x.org)")
    assert found == "[a](fence.md) b [c](https://x.org)"


def test_a_link_that_leads_nowhere_is_found(tmp_path):
    (tmp_path / "a.html").write_text('<a id="x"></a><a href="#x"></a><a href="b.html#y"></a>')
    (tmp_path / "b.html").write_text('<a href="a.html#x"></a><a href="https://x.org/c"></a>')
    command = [sys.executable, str(DOCS / "check_links.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "a.html: b.html#y leads nowhere\n")


@pytest.fixture
def shell(tmp_path):
    """A function that runs a command as a page shows it, in a folder of its own."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, arguments in {"cmbench": "-P -m cmbench", "python": ""}.items():
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    place = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}

    def run(command):
        return subprocess.run(["sh", "-c", command], cwd=tmp_path, env=place, capture_output=True, text=True)

    return run


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_can_be_followed_from_top_to_bottom(page, shell, tmp_path):
    for name, text in files(page).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    for is_run, language, text in blocks(page):
        for command in commands(text) if is_run and language == "console" else ():
            done = shell(command)
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
