"""Published parameters by the name of a preset."""

import pytest
from click.testing import CliRunner

import cmbench
from cmbench.cli.main import cli
from cmbench.errors import MethodError
from cmbench.methods.constraints import check_parameters
from cmbench.methods.registry import load_method, registry
from cmbench.store import Store

PRESETS = [(name, preset) for name, entry in registry().entries.items() for preset in entry.load().presets]
QUICK = {"hidden": 8, "code": 8, "embedding": 8, "rbm_epochs": 1, "epochs": 1, "trial_steps": 1}


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_every_preset_is_accepted_by_its_method_and_differs_from_the_defaults(name, preset):
    method, default = load_method(name, preset), load_method(name)
    check_parameters(method, method.constraints)
    assert method.get_params() != default.get_params()
    assert {key: method.get_params()[key] for key in method.presets[preset]} == method.presets[preset]


def test_the_published_settings_are_those_of_the_released_programs():
    alphas = {"corr": 0.8, "cross": 0.2, "full": 0.8}
    for variant, alpha in alphas.items():
        method = load_method(f"corr-ae-{variant}", "paper")
        assert (method.alpha, method.optimizer, method.learning_rate) == (alpha, "sgd", "auto")
        assert (method.gaussian_rate, method.rbm_steps, method.rbm_l2) == (0.001, 20_000, 0.001)
    ccl = load_method("ccl", "paper")
    assert (ccl.optimizer, ccl.batch_size, ccl.epochs, ccl.alpha) == ("sgd", 80, 2000, 0.7)
    assert (ccl.rbm_steps, ccl.joint_rate, ccl.margin) == (50_000, 0.01, 1.0)
    cmdn = load_method("cmdn", "paper")
    assert (cmdn.optimizer, cmdn.batch_size, cmdn.weight_decay, cmdn.depth) == ("sgd", 231, 1e-4, 4)
    assert cmdn.rbm_steps == 100_000


def test_given_parameters_go_before_a_preset():
    method = load_method("corr-ae-cross", "paper", alpha=0.5)
    assert (method.alpha, method.optimizer) == (0.5, "sgd")


def test_a_preset_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(MethodError, match="method 'corr-ae' has no preset 'papre'; it has 'paper'"):
        load_method("corr-ae", "papre")
    with pytest.raises(MethodError, match="method 'cca' has no preset 'paper'; it has none"):
        load_method("cca", "paper")
    with pytest.raises(MethodError, match="a preset is given for 'cmdn', which is not among"):
        cmbench.run(methods=["cca"], presets={"cmdn": "paper"})


def test_a_run_takes_the_preset_and_what_is_set_beside_it(toy, tmp_path):
    frame = cmbench.run(
        toy,
        ["corr-ae-cross"],
        presets={"corr-ae-cross": "paper"},
        parameters={"corr-ae-cross": QUICK},
        store=tmp_path,
    )
    assert list(frame["status"]) == ["ok"]
    (record,) = Store(tmp_path).records()
    parameters = record["method"]["parameters"]
    assert (parameters["alpha"], parameters["optimizer"], parameters["epochs"]) == (0.2, "sgd", 1)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("corr-ae", "is not METHOD=PRESET, such as corr-ae=paper"),
        ("corr-ae=released", "method 'corr-ae' has no preset 'released'; it has 'paper'"),
        ("cmdn=paper", "a preset is given for 'cmdn', which is not among the methods to run"),
    ],
)
def test_the_command_line_names_what_is_wrong(option, message):
    result = CliRunner().invoke(cli, ["run", "--methods", "corr-ae", "--preset", option])
    assert result.exit_code != 0
    assert message in f"{result.output} {result.exception}"


def test_presets_are_listed_with_the_parameters():
    result = CliRunner().invoke(cli, ["methods", "--parameters"])
    assert "paper: gaussian_rate=0.001" in " ".join(result.output.split())
