"""Files of weights: what is read, what is refused, and that nothing in them is executed."""

import pickle
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from cmbench.datasets.features.own_networks import random_small_cnn, small_cnn_of
from cmbench.datasets.features.weights import (
    give_weights,
    hash_of_weights,
    read_weights,
    without_prefix,
    write_weights,
)
from cmbench.errors import DatasetError


class Touches:
    """An object that makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("legacy", [False, True])
def test_nothing_in_a_file_is_executed(tmp_path, legacy):
    torch.save(
        {"a": Touches(tmp_path / "touched")}, tmp_path / "w.pth", _use_new_zipfile_serialization=not legacy
    )
    with pytest.raises(DatasetError, match=r"w\.pth: is no state dict but a .*could run code"):
        read_weights(tmp_path / "w.pth")
    (tmp_path / "p.pth").write_bytes(pickle.dumps(Touches(tmp_path / "touched")))
    with pytest.raises(DatasetError, match="safely"):
        read_weights(tmp_path / "p.pth")
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("legacy", [False, True])
def test_files_of_both_formats_of_pytorch_are_read_as_float32(tmp_path, legacy):
    state = {"a": torch.arange(3).half(), "steps": torch.tensor(7)}
    torch.save(state, tmp_path / "w.pth", _use_new_zipfile_serialization=not legacy)
    read = read_weights(tmp_path / "w.pth")
    assert read["a"].dtype == torch.float32
    assert read["a"].tolist() == [0, 1, 2]
    assert read["steps"].dtype == torch.int64


def test_a_damaged_file_and_a_missing_one_are_named(tmp_path):
    write_weights(tmp_path / "w.pth", {"a": torch.zeros(1000)})
    content = (tmp_path / "w.pth").read_bytes()
    (tmp_path / "w.pth").write_bytes(content[: len(content) // 2])
    with pytest.raises(DatasetError, match=r"w\.pth"):
        read_weights(tmp_path / "w.pth")
    with pytest.raises(DatasetError, match="no such file of weights"):
        read_weights(tmp_path / "none.pth")


def test_a_whole_checkpoint_is_refused_with_what_to_do(tmp_path):
    torch.save({"epoch": 3, "model": {}}, tmp_path / "w.pth")
    with pytest.raises(DatasetError, match=r"a dictionary of 'epoch', 'model'.*save network.state_dict"):
        read_weights(tmp_path / "w.pth")


def test_safetensors_are_read(tmp_path):
    library = pytest.importorskip("safetensors.torch")
    library.save_file({"a": torch.arange(3.0)}, tmp_path / "w.safetensors")
    assert read_weights(tmp_path / "w.safetensors")["a"].tolist() == [0, 1, 2]
    (tmp_path / "w.safetensors").write_bytes(b"nothing")
    with pytest.raises(DatasetError, match="no readable safetensors file"):
        read_weights(tmp_path / "w.safetensors")


def test_without_safetensors_it_is_said_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "w.safetensors").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(DatasetError, match="pip install safetensors"):
        read_weights(tmp_path / "w.safetensors")


def test_weights_are_given_without_a_copy():
    with torch.device("meta"):
        network = nn.Linear(2, 3)
    weights = {"weight": torch.ones(3, 2), "bias": torch.zeros(3)}
    give_weights(network, weights, "test")
    assert network.weight.data_ptr() == weights["weight"].data_ptr()
    assert network.weight.requires_grad
    with pytest.raises(DatasetError, match=r"test: .*bias is missing; extra is not one of its keys"):
        give_weights(network, {"weight": weights["weight"], "extra": torch.zeros(1)}, "test")


def test_the_hash_is_of_names_shapes_and_numbers():
    network = nn.Linear(2, 3)
    before = hash_of_weights(network)
    assert hash_of_weights(network) == before
    other = nn.Linear(2, 3)
    other.load_state_dict(network.state_dict())
    assert hash_of_weights(other) == before
    with torch.no_grad():
        other.bias[1] += 1e-3
    assert hash_of_weights(other) != before
    assert hash_of_weights(nn.Sequential(network)) != before


PREFIXES = ("module.", "_orig_mod.", "model.", "module._orig_mod.", "state.net.")


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_prefix_of_a_wrapper_is_taken_away(tmp_path, prefix):
    state = random_small_cnn(0, 5).state_dict()
    wrapped = {f"{prefix}{key}": value for key, value in state.items()} | {"loss.weight": torch.ones(2)}
    torch.save({"epoch": 3, "state_dict": wrapped}, tmp_path / "a.pth")
    network = small_cnn_of(read_weights(tmp_path / "a.pth"), "a.pth")
    assert hash_of_weights(network) == hash_of_weights(random_small_cnn(0, 5))


def test_names_without_a_prefix_stay_as_they_are():
    state = random_small_cnn(0, 5).state_dict()
    assert without_prefix(state, state) == (state, "")
    assert without_prefix({"other": torch.ones(1)}, state)[1] == ""


def test_what_is_missing_after_a_prefix_was_taken_away_is_named_with_it():
    state = {f"module.{key}": value for key, value in random_small_cnn(0, 5).state_dict().items()}
    del state["module.hidden.bias"]
    with pytest.raises(DatasetError, match=r"hidden\.bias is missing \(after the prefix 'module\.'"):
        small_cnn_of(state, "a.pth")


STATE = nn.Linear(3, 2).state_dict()


def saved(path, content):
    torch.save(content, path)
    return path


def test_a_whole_network_is_refused_by_its_class_with_what_to_do(tmp_path):
    with pytest.raises(
        DatasetError, match=r"no state dict but a torch\.nn.*Linear.*save network\.state_dict"
    ):
        read_weights(saved(tmp_path / "w.pth", nn.Linear(3, 2)))


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "empty"),
        (b"<html>", "a web page"),
        (b"version https://git-lfs.github.com", "a pointer of Git LFS"),
    ],
)
def test_what_is_no_file_of_weights_is_named(tmp_path, content, kind):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(DatasetError, match=rf"w\.pth: is {kind}"):
        read_weights(tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: values.to_sparse(), "sparse"),
        (lambda values: values.int(), r"holds torch\.int32 and should hold torch\.float32"),
        (lambda values: values.to(torch.complex64), r"holds torch\.complex64"),
        (lambda values: values.to("meta"), "without values"),
        (lambda values: values * torch.nan, "holds NaN"),
    ],
)
def test_weights_that_are_no_ordinary_numbers_are_refused(tmp_path, change, message):
    path = saved(tmp_path / "w.pth", {**STATE, "weight": change(STATE["weight"])})
    with pytest.raises(DatasetError, match=rf"w\.pth: .*weight .*{message}"):
        give_weights(nn.Linear(3, 2), read_weights(path), path)


def test_of_two_networks_in_one_file_none_is_taken(tmp_path):
    two = {f"{name}.{key}": value for name in ("student", "teacher") for key, value in STATE.items()}
    with pytest.raises(DatasetError, match=r"w\.pth: .*prefixes 'student\.' and 'teacher\.'"):
        give_weights(nn.Linear(3, 2), two, tmp_path / "w.pth")
