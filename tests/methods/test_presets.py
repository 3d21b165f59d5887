"""Parameters by the name of a preset: those of the published programs, and how a run takes them."""

import pytest
from click.testing import CliRunner

from cmbench.agenda import planned
from cmbench.cli.main import cli
from cmbench.datasets.formats.numpy_files import save_npz
from cmbench.errors import MethodError
from cmbench.evaluation.protocol import PAPER
from cmbench.execution.record import left_out_record
from cmbench.limits import AskedLimits
from cmbench.methods.ccl.common_space import DECAYS, RATES
from cmbench.methods.corr_ae.correspondence import RELEASED_RATES
from cmbench.methods.parameters import check_parameters
from cmbench.methods.registry import load_method, registry
from cmbench.plan import plan
from cmbench.runner import run
from cmbench.store import Store

METHODS = {name: entry.load() for name, entry in registry().entries.items()}
PRESETS = [(name, preset) for name, method in METHODS.items() for preset in method.presets]
QUICK = {"hidden": 8, "code": 8, "embedding": 8, "rbm_epochs": 1, "epochs": 1}
VARIANTS = {"corr-ae-corr": (0.8, 0.05), "corr-ae-cross": (0.2, 0.01), "corr-ae-full": (0.8, 0.05)}


def values(name, *parameters):
    method = load_method(name, preset="paper")
    return tuple(getattr(method, parameter) for parameter in parameters)


def command(tmp_path, *options):
    return CliRunner().invoke(cli, ["run", "--store", str(tmp_path / "store"), *options])


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_every_preset_is_accepted_by_its_method_and_differs_from_the_defaults(name, preset):
    method, default = load_method(name, preset=preset), load_method(name)
    check_parameters(method)
    assert method.get_params() == {**default.get_params(), **method.presets[preset]} != default.get_params()


def test_the_methods_whose_published_settings_are_known_have_the_preset():
    assert {name for name, preset in PRESETS if preset == "paper"} == {
        *VARIANTS,
        "corr-ae",
        "ccl",
        "ccl-coarse",
        "cmdn",
        *(name for name in METHODS if name.startswith("cmgans") and name != "cmgans-release"),
    }


@pytest.mark.parametrize("name", ["corr-ae", *VARIANTS])
def test_corr_ae_has_the_settings_of_the_deepnet_fork(name):
    assert values(name, "hidden", "code", "embedding") == (1024, 1024, 1024)
    assert values(name, "gaussian_rate", "binary_rate", "rbm_l2") == (0.001, 0.05, 0.001)
    assert values(name, "rbm_steps", "rbm_batch_size", "cd_steps") == (20_000, 231, 1)
    assert values(name, "optimizer", "learning_rate", "weight_decay") == ("sgd", "auto", 1e-4)
    assert 100 <= values(name, "batch_size")[0] <= 231
    assert values(name, "stopping", "post") == ("validation", "none")


@pytest.mark.parametrize(("name", "alpha", "rate"), [(name, *known) for name, known in VARIANTS.items()])
def test_each_variant_of_corr_ae_has_its_own_alpha_and_rate(name, alpha, rate):
    assert values(name, "alpha") == (alpha,)
    assert RELEASED_RATES[METHODS[name].variants[0]] == rate


def test_cm_gans_has_no_regularisation_of_ours_and_what_the_paper_leaves_open_as_released():
    released = load_method("cmgans-release").get_params()
    assert values("cmgans", "dropout", "weight_decay") == (0.0, 0.0)
    for name in ("generator_steps", "learning_rate", "halve_every", "batch_size"):
        assert values("cmgans", name) == (released[name],)


@pytest.mark.parametrize("name", ["ccl", "ccl-coarse"])
def test_ccl_has_the_settings_of_its_released_program(name):
    assert values(name, "hidden_image", "hidden_text", "code", "joint") == (2048, 1024, 1024, 2048)
    assert values(name, "gaussian_rate", "binary_rate", "joint_rate") == (0.001, 0.05, 0.01)
    assert values(name, "rbm_steps", "rbm_batch_size") == (50_000, 128)
    assert values(name, "alpha", "correlation_batch", "correlation_epochs") == (0.7, 100, 10_000 // 8)
    assert values(name, "optimizer", "learning_rate", "weight_decay") == ("sgd", "auto", "auto")
    assert (RATES["sgd"], DECAYS["sgd"]) == (1e-4, 0.004)
    assert values(name, "batch_size", "epochs", "stopping") == (80, 20_000 // 10, "none")
    assert values(name, "w_inter", "w_intra", "margin") == (1.0, 1.0, 1.0)


def test_cmdn_has_the_settings_of_its_released_program():
    assert values("cmdn", "sae_hidden", "sae_code", "first_level", "depth") == (1024, 512, 512, 4)
    assert values("cmdn", "code", "joint", "fusion", "width") == (1024, 2048, 1024, 1024)
    assert values("cmdn", "gaussian_rate", "binary_rate", "joint_rate") == (0.001, 0.05, 0.01)
    assert values("cmdn", "rbm_steps", "rbm_batch_size") == (100_000, 128)
    assert values("cmdn", "optimizer", "learning_rate", "weight_decay") == ("sgd", "auto", 1e-4)
    assert values("cmdn", "batch_size", "epochs", "stopping") == (231, 20_000 // 10, "none")


def test_epochs_of_rbms_never_end_them_before_their_steps():
    for name, preset in PRESETS:
        if preset != "paper" or name.startswith("cmgans"):
            continue
        epochs, steps = values(name, "rbm_epochs", "rbm_steps")
        assert epochs >= steps


def test_given_parameters_go_before_a_preset():
    method = load_method("corr-ae-cross", preset="paper", alpha=0.5)
    assert (method.alpha, method.optimizer) == (0.5, "sgd")


@pytest.mark.parametrize(
    ("name", "preset", "message"),
    [
        ("corr-ae", "papre", "method 'corr-ae' has no preset 'papre'; it has 'paper'"),
        ("cca", "paper", "method 'cca' has no preset 'paper'; it has none"),
        ("corrae", "paper", "unknown method 'corrae'.*known methods: "),
    ],
)
def test_a_preset_that_is_not_there_is_refused_with_those_that_are(name, preset, message):
    with pytest.raises(MethodError, match=message):
        load_method(name, preset=preset)


def test_a_method_that_is_configured_already_takes_no_preset_of_a_run(toy, tmp_path):
    method = load_method("corr-ae", epochs=3)
    with pytest.raises(MethodError, match=r"set already; .* load_method\('corr-ae', preset='paper'\)"):
        run(toy, method, presets={"corr-ae": "paper"}, store=tmp_path)


def test_a_preset_of_ccl_is_one_of_its_coarse_grain_too(toy):
    entries = registry().entries
    (cell,) = plan([toy], [(entries["ccl"], METHODS["ccl"].presets["paper"])], seeds=[0], protocol=PAPER)
    assert cell.method.name == "ccl-coarse"
    assert {**cell.parameters, **METHODS["ccl"].presets["paper"]} == cell.parameters


def test_a_run_takes_the_preset_and_what_is_set_goes_before_it(toy, tmp_path):
    method, file = "corr-ae-cross", tmp_path / "toy.npz"
    save_npz(file, toy)
    sets = [f"--set={method}.{name}={value}" for name, value in QUICK.items()]
    options = [f"--dataset={file}", f"--methods={method}", f"--preset={method}=paper"]
    result = command(tmp_path, *options, *sets)
    assert result.exit_code == 0, result.output
    (record,) = Store(tmp_path / "store").records()
    parameters = record["method"]["parameters"]
    assert {**parameters, **METHODS[method].presets["paper"], **QUICK} == parameters
    assert record["method"]["preset"] is None  # some of its values were set otherwise


def test_a_record_has_the_name_of_a_preset_only_where_nothing_else_was_set(toy):
    names = []
    for given in ({}, {"dropout": 0.5}, {"checkpoint": "kept"}):
        agenda = planned(toy, "cmdn", presets={"cmdn": "paper"}, parameters={"cmdn": given})
        record = left_out_record(agenda.cells[0], limits=AskedLimits(None, None, 1).here(1))
        names.append(record["method"]["preset"])
    assert names == ["paper", None, "paper"]


def test_a_table_names_the_rows_that_have_the_parameters_of_a_preset(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(METHODS["rcca"], "presets", {"strong": {"n_components": 3}})
    file = tmp_path / "toy.npz"
    save_npz(file, toy)
    result = command(tmp_path, f"--dataset={file}", "--methods=rcca,cca", "--preset=rcca=strong")
    assert "Parameters of preset strong, rCCA." in result.output
    shown = CliRunner().invoke(cli, ["show", "rcca", "--store", str(tmp_path / "store")]).output
    assert "preset strong" in " ".join(shown.split())
    result = command(tmp_path, f"--dataset={file}", "--methods=cca,rcca")
    assert "preset" not in result.output


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("corr-ae", "is not METHOD=PRESET, such as corr-ae=paper"),
        ("corr-ae=", "is not METHOD=PRESET, such as corr-ae=paper"),
        ("corr-ae=released", "method 'corr-ae' has no preset 'released'; it has 'paper'"),
        ("cmnd=paper", "a preset is given for 'cmnd', which is not among the methods to run: corr-ae, cca"),
    ],
)
def test_the_command_line_names_what_is_wrong(tmp_path, option, message):
    result = command(tmp_path, "--methods", "corr-ae,cca", "--preset", option)
    assert result.exit_code != 0
    assert message in f"{result.output} {result.exception}"


def test_presets_are_listed_with_the_parameters():
    result = CliRunner().invoke(cli, ["methods", "--parameters"])
    assert "paper: gaussian_rate=0.001" in " ".join(result.output.split())
    assert "presets" not in CliRunner().invoke(cli, ["methods"]).output
