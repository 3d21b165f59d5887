"""What ``--seeds`` means: how many there are, or which."""

import click
import pytest
from click.testing import CliRunner

from cmbench.cli.main import cli
from cmbench.cli.options import seeds_of


@pytest.mark.parametrize(
    ("text", "seeds", "hint"),
    [
        ("3", [0, 1, 2], "--seeds 3 is seeds 0 to 2; seed 3 alone would be '3,'"),
        ("1", [0], "--seeds 1 is seed 0; seed 1 alone would be '1,'"),
        ("3,", [3], ""),
        ("4,7", [4, 7], ""),
        (None, [0], ""),
    ],
)
def test_a_number_of_seeds_is_how_many_and_a_comma_makes_a_list(text, seeds, hint):
    given = []

    @click.command()
    @click.option("--seeds", default="1", callback=seeds_of)
    def verb(seeds):
        given.extend(seeds)

    result = CliRunner().invoke(verb, [] if text is None else ["--seeds", text])
    assert given == seeds
    assert result.stderr.strip() == (hint and f"cmbench: {hint}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0", "0 seeds would run nothing; seed 0 alone is '0,'"),
        ("-2", "-2 seeds would run nothing"),
        ("", "'' is neither a number of seeds such as 3 nor a list of whole numbers"),
        ("1,x", "'1,x' is neither"),
        ("1000001", "1000001 seeds are more than 1000000; seed 1000001 alone is '1000001,'"),
        ("99999999999999999999", "99999999999999999999 seeds are more than 1000000"),
        ("9" * 5000, "is neither a number of seeds"),
    ],
)
def test_what_names_no_seed_is_refused(text, message):
    @click.command()
    @click.option("--seeds", default="1", callback=seeds_of)
    def verb(seeds): ...

    result = CliRunner().invoke(verb, ["--seeds", text])
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "cca.n_components=2", "--set", "cca.n_components=3"), "cca.n_components is set twice"),
        (("--splits", "1000001"), "1000001 is not in the range 1<=x<=1000"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_runs(arguments, message, tmp_path):
    done = CliRunner().invoke(cli, ["run", "--methods", "cca", "--store", str(tmp_path / "s"), *arguments])
    assert done.exit_code == 2
    assert message in done.output
    assert not (tmp_path / "s").exists()
