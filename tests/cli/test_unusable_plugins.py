"""A plugin that cannot be used: nothing else runs in its place."""

import pytest
from click.testing import CliRunner

import cmbench
from cmbench.cli.main import cli
from cmbench.errors import MethodError

NAMESAKE = """
from cmbench.methods import LinearMethod


class CCA(LinearMethod):
    def weights(self, images, texts, labels):
        return images.T @ texts, texts.T @ texts
"""


@pytest.mark.parametrize("verb", ["run", "plan", "tune"])
def test_nothing_runs_in_place_of_a_plugin_that_cannot_be_used(tmp_path, verb):
    (tmp_path / "broken.py").write_text("import nothing_of_that_name\n")
    (tmp_path / "same.py").write_text(NAMESAKE)
    store = [] if verb == "plan" else ["--store", str(tmp_path / "store")]
    alone = CliRunner().invoke(cli, [verb, "--plugin", str(tmp_path / "broken.py"), *store])
    assert isinstance(alone.exception, MethodError)
    assert "no other methods are named" in str(alone.exception)
    assert "broken.py cannot be imported" in alone.stderr
    same = ["--plugin", str(tmp_path / "same.py"), "--methods", "cfa,cca"]
    taken = CliRunner().invoke(cli, [verb, *same, *store])
    assert isinstance(taken.exception, MethodError)
    assert "nothing is run, since 'cca' would not be the method of the plugin" in str(taken.exception)
    assert "the name 'cca' is taken" in taken.stderr
    assert not (tmp_path / "store").exists()


@pytest.mark.filterwarnings("ignore:.*cannot be imported")
def test_nothing_does_from_python_either_unless_methods_are_named(tmp_path, toy):
    (tmp_path / "broken.py").write_text("import nothing_of_that_name\n")
    given = {"plugins": tmp_path / "broken.py", "store": tmp_path / "store"}
    with pytest.raises(MethodError, match="no other methods are named"):
        cmbench.run(toy, **given)
    assert not (tmp_path / "store").exists()
    assert list(cmbench.run(toy, "cca", **given)["method"]) == ["cca"]
