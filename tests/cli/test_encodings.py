"""Output in any encoding, and warnings in one line."""

import os
import subprocess
import sys
import warnings
from dataclasses import replace
from io import BytesIO, TextIOWrapper

import pytest

from cmbench.cli import terminal
from cmbench.datasets.draft import Card
from cmbench.datasets.formats.numpy_files import save_npz
from cmbench.errors import CmbenchWarning

PLUGIN = """
from cmbench.methods.contract import Method

class Arrow(Method):
    paper_name = "Ελληνικά →"
    def fit(self, train, validation):
        print("loss → 0, ± 名")
        return self
    def transform_images(self, images):
        return images[:, :2]
    def transform_texts(self, texts):
        return texts[:, :2]
"""


@pytest.fixture
def written(monkeypatch):
    """Return a function that prepares an output of that encoding and gives what is written to it."""
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)

    def write(text, encoding):
        stream = TextIOWrapper(BytesIO(), encoding=encoding)
        monkeypatch.setattr(sys, "stdout", stream)
        terminal.prepare()
        stream.write(text)
        stream.flush()
        return stream.buffer.getvalue().decode(encoding)

    return write


@pytest.mark.parametrize(
    ("text", "encoding", "expected"),
    [
        ("image→text 0.5 ± 0.1", "cp1252", "image->text 0.5 ± 0.1"),
        ("image→text 0.5 ± 0.1…", "ascii", "image->text 0.5 +- 0.1..."),
        ("image→text ± 名", "utf-8", "image→text ± 名"),
        ("名 ω é", "latin-1", "\\u540d \\u03c9 é"),
        ("caf\udce9.npz", "utf-8", "caf\\udce9.npz"),
    ],
)
def test_what_an_encoding_does_not_have_is_written_readably(text, encoding, expected, written):
    assert written(text, encoding) == expected


def test_a_stream_that_is_no_file_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    terminal.prepare()


def test_a_warning_of_cmbench_is_one_line_and_others_keep_their_form(monkeypatch, capsys):
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    terminal.prepare()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning(CmbenchWarning("a tie everywhere"), CmbenchWarning, "x.py", 3)
        warnings.showwarning(UserWarning("theirs"), UserWarning, "x.py", 3)
    ours, *theirs = capsys.readouterr().err.splitlines()
    assert ours == "cmbench: a tie everywhere"
    assert theirs[0] == "x.py:3: UserWarning: theirs"


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "ascii", "cp437"])
def test_a_whole_run_and_its_table_need_no_unicode(encoding, toy, tmp_path):
    card = Card(image_feature="VGG → ReLU, ω")
    save_npz(tmp_path / "toy.npz", replace(toy, name="猫", card=card))
    (tmp_path / "plugin.py").write_text(PLUGIN, encoding="utf-8")
    run = ["run", "--dataset", "toy.npz", "--plugin", "plugin.py", "--methods", "arrow", "--store", "s"]
    for arguments in ([*run, "--threads", "1"], ["table", "--store", "s"], ["show", "arrow", "--store", "s"]):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "cmbench", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONIOENCODING": encoding, "LC_ALL": "C"},
            capture_output=True,
        )
        assert done.returncode == 0, done.stderr
        assert b"Traceback" not in done.stderr
    (log,) = (tmp_path / "s").rglob("*.log")
    assert log.read_text(encoding="utf-8").rstrip() == "loss → 0, ± 名"
