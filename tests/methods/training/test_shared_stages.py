"""Stages that fits of other settings take over end as if they had been trained."""

from dataclasses import replace

import numpy as np
import pytest
from representations import represented

from cmbench.errors import MethodError
from cmbench.methods.ccl.method import CCLCoarse
from cmbench.methods.cmdn.method import CMDN
from cmbench.methods.corr_ae.method import CorrAEFull

pytestmark = pytest.mark.filterwarnings("ignore::cmbench.methods.views.inputs.MethodWarning")

STACK = {"code": 8, "rbm_epochs": 4, "rbm_batch_size": 16, "batch_size": 16, "epochs": 2, "device": "cpu"}
CODES = {"hidden_image": 10, "hidden_text": 9, "joint": 11, "width": 8, "class_batch": 16, "class_epochs": 2}
FEW = {
    CorrAEFull: {**STACK, "hidden": 10, "embedding": 6, "alpha": 0.5},
    CCLCoarse: {**STACK, **CODES, "embedding": 6, "correlation_epochs": 2, "correlation_batch": 16},
    CMDN: {
        **STACK,
        **CODES,
        "rbm_epochs": 8,
        "first_level": 12,
        "fusion": 7,
        "sae_hidden": 9,
        "sae_code": 5,
        "sae_rate": 0.02,
    },
}
LATER = {"dropout": 0.3, "weight_decay": 0.01, "learning_rate": 0.01}
"""What only stages with labels, or both modalities, depend on."""
EARLIER = {
    "random_state": 1,
    "preprocessing": "zscore",
    "gaussian_rate": 0.005,
    "binary_rate": 0.02,
    "rbm_l2": 0.1,
    "rbm_epochs": 9,
    "rbm_batch_size": 20,
    "cd_steps": 2,
    "rbm_patience": 1,
    "code": 7,
}
OF_AUTOENCODERS = {"pretrain": "dae", "rbm_epochs": 40, "dae_rate": 0.02}


def fitted(toy, kind, **parameters):
    return kind(**{**FEW[kind], **parameters}).fit(toy.train, toy.validation)


def assert_alike(one, other, toy):
    """Both fits ended in the same networks, by the same curves."""
    assert np.array_equal(represented(one, toy.test), represented(other, toy.test))
    assert one.curves_.keys() == other.curves_.keys()
    assert all(np.array_equal(one.curves_[name], other.curves_[name], equal_nan=True) for name in one.curves_)


@pytest.mark.parametrize("kind", FEW)
def test_what_learns_without_labels_is_trained_once_for_settings_of_later_stages(toy, tmp_path, kind):
    fitted(toy, kind, pretrained=tmp_path)
    taken = fitted(toy, kind, pretrained=tmp_path, **LATER)
    alone = fitted(toy, kind, **LATER)
    assert_alike(taken, alone, toy)
    shared = {name.rpartition("-")[0] for name in (path.name for path in tmp_path.rglob("*.pt"))}
    assert {"rbm1_image", "rbm2_text"} <= {name.removeprefix("coarse_") for name in shared}
    assert len(shared) == {CorrAEFull: 4, CCLCoarse: 7, CMDN: 11}[kind]
    assert taken.resumed_at_ > alone.resumed_at_ == 0


@pytest.mark.parametrize("changed", EARLIER)
def test_a_stage_that_depends_on_what_differs_is_trained_anew(toy, tmp_path, changed):
    fitted(toy, CorrAEFull, pretrained=tmp_path)
    before = set(tmp_path.rglob("*.pt"))
    setting = {changed: EARLIER[changed]}
    taken = fitted(toy, CorrAEFull, pretrained=tmp_path, **setting)
    assert_alike(taken, fitted(toy, CorrAEFull, **setting), toy)
    assert set(tmp_path.rglob("*.pt")) > before


@pytest.mark.parametrize("changed", [{"corruption": 0.4}, {"dae_rate": 0.03}])
def test_so_it_is_with_autoencoders(toy, tmp_path, changed):
    fitted(toy, CorrAEFull, pretrained=tmp_path, **OF_AUTOENCODERS)
    setting = {**OF_AUTOENCODERS, **changed}
    taken = fitted(toy, CorrAEFull, pretrained=tmp_path, **setting)
    assert_alike(taken, fitted(toy, CorrAEFull, **setting), toy)
    assert len([*tmp_path.rglob("dae_*.pt")]) == 4


def test_other_pairs_share_nothing(toy, tmp_path):
    fitted(toy, CorrAEFull, pretrained=tmp_path)
    other = replace(toy.train, images=toy.train.images + np.float32(0.5), texts=toy.train.texts[:, ::-1])
    method = CorrAEFull(**FEW[CorrAEFull], pretrained=tmp_path).fit(other, toy.validation)
    assert method.resumed_at_ == 0


def test_methods_do_not_share_a_folder_and_nor_do_their_versions(toy, tmp_path):
    fitted(toy, CorrAEFull, pretrained=tmp_path)
    (folder,) = tmp_path.iterdir()
    assert folder.name == f"corr-ae-full-{CorrAEFull.version}"


def test_a_damaged_end_is_named_with_the_remedy(toy, tmp_path):
    fitted(toy, CorrAEFull, pretrained=tmp_path)
    (file,) = tmp_path.rglob("rbm1_text-*.pt")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(MethodError, match=r"rbm1_text-.*\.pt is not a readable .*; delete it"):
        fitted(toy, CorrAEFull, pretrained=tmp_path)
