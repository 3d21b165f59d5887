"""``cmbench check`` on a sound plugin with a helper of its own, and on a broken one."""

import pytest
from click.testing import CliRunner

from cmbench.cli.main import cli
from cmbench.errors import MethodError

SOUND = """
import numpy as np

from cmbench.methods.contract import Method
from cmbench.methods.views.inputs import check_training_pairs, checked_classes
from solving import solved


class Ridge(Method):
    def __init__(self, ridge=1.0):
        self.ridge = ridge

    def fit(self, train, validation):
        check_training_pairs(train)
        goal = (train.labels[:, None] == checked_classes(train.labels, len(train))).astype(float)
        self.image_, self.text_ = (solved(rows, goal, self.ridge) for rows in (train.images, train.texts))
        return self

    def transform_images(self, images):
        return images @ self.image_

    def transform_texts(self, texts):
        return texts @ self.text_
"""
SOLVING = """
import numpy as np


def solved(rows, goal, ridge):
    return np.linalg.solve(rows.T @ rows + ridge * np.eye(rows.shape[1]), rows.T @ goal)
"""


def checked(tmp_path, text, *arguments):
    (tmp_path / "ridge.py").write_text(text)
    (tmp_path / "solving.py").write_text(SOLVING)
    return CliRunner().invoke(cli, ["check", str(tmp_path / "ridge.py"), *arguments])


def test_a_sound_plugin_passes_every_check(tmp_path):
    result = checked(tmp_path, SOUND, "--set", "ridge=2.0")
    assert result.exit_code == 0, result.output
    assert "ok       survives pickling" in result.output
    assert "FAILED" not in result.output
    assert result.output.endswith(f"all {result.output.count('  ok ')} checks passed\n")


def test_a_broken_plugin_is_told_what_to_mend(tmp_path):
    result = checked(tmp_path, SOUND.replace("return images @", "return (images - images.mean(axis=0)) @"))
    assert result.exit_code == 1
    assert "FAILED   maps row by row: transform_images gives an item another" in result.output
    failed = result.output.count("  FAILED ")
    assert result.output.endswith(f"{failed} of {result.output.count('  ok ') + failed} checks failed\n")


def test_what_fails_in_many_checks_is_told_once(tmp_path):
    result = checked(tmp_path, SOUND.replace("solved(rows, goal", "solved(goal, goal[:5]"))
    lines = [
        line
        for line in result.output.splitlines()
        if "FAILED   gives usable" in line or "FAILED   be" in line
    ]
    assert result.output.count("mismatch in its core dimension") < 8
    assert "as in 'can be cloned'" in lines[-1]


def test_a_built_in_method_is_checked_by_name():
    result = CliRunner().invoke(cli, ["check", "rcca"])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("n_component=3", r"method 'cca' has no parameter 'n_component' \(did you mean 'n_components'\?\)"),
        ("cca.n_components=3", r"no parameter 'cca\.n_components' \(did you mean 'n_components'\?\)"),
        ("n_components=abc", "cca: n_components is 'abc'; use a whole number"),
    ],
)
def test_a_wrong_parameter_is_refused_before_any_check(setting, message):
    with pytest.raises(MethodError, match=message):
        CliRunner().invoke(cli, ["check", "cca", "--set", setting], catch_exceptions=False)


def test_a_parameter_without_a_value_is_named_as_it_was_typed():
    result = CliRunner().invoke(cli, ["check", "cca", "--set", "n_components"])
    assert result.exit_code == 2
    assert "'n_components' is not PARAMETER=VALUE" in result.output
