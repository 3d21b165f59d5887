"""Files and folders that are replaced as a whole: none is ever half written; and their locks."""

import errno
from pathlib import Path

import numpy as np
import pytest
import torch
from ordinary_user import as_ordinary_user

from cmbench import disk
from cmbench.datasets.contract import Dataset
from cmbench.datasets.draft import Split
from cmbench.datasets.features.image_features import STATE, FeatureRows
from cmbench.datasets.features.weights import write_weights
from cmbench.datasets.formats.numpy_files import save_npz
from cmbench.disk import lock, remove_unfinished, replacing, replacing_folder
from cmbench.errors import DatasetError


def test_what_a_killed_process_had_begun_to_write_is_removed_and_nothing_else(tmp_path):
    unfinished = tmp_path / ".a-rbm1.4f3ac186.pt"
    others = [
        tmp_path / name for name in ("a-rbm1.pt", ".a-rbm12.4f3ac186.pt", ".a-rbm1.2.4f3ac186.pt", "b.pt")
    ]
    for path in (unfinished, *others):
        path.touch()
    remove_unfinished(tmp_path / "a-rbm1.pt")
    assert sorted(tmp_path.iterdir()) == sorted(others)


def test_replacing_keeps_the_old_file_when_the_block_fails_and_leaves_nothing(tmp_path):
    path = tmp_path / "deep" / "result.txt"
    with replacing(path) as beside:
        beside.write_text("old")
        assert beside.suffix == ".txt"
        assert not path.exists()

    def failing():
        with replacing(path) as beside:
            beside.write_text("half of the new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert path.read_text() == "old"
    assert [found.name for found in path.parent.iterdir()] == ["result.txt"]


def test_an_error_of_the_system_names_the_file_that_is_to_be_and_not_the_one_beside_it(tmp_path):
    for name in ("result.txt", "other.txt"):
        with pytest.raises(FileNotFoundError, match=rf"/{name}'$"):
            read_while_replacing(tmp_path / "result.txt", name)


def read_while_replacing(path, name):
    with replacing(path) as beside:
        (beside if name == path.name else path.with_name(name)).read_bytes()


def test_a_folder_that_cannot_be_written_to_is_named_and_no_file_in_it(tmp_path, monkeypatch):
    def refused(dir):
        raise PermissionError(errno.EACCES, "Permission denied", f"{dir}/tmp9scygi6x")

    monkeypatch.setattr(disk, "TemporaryFile", refused)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetError, match=f"^{tmp_path}: cannot be written or read .Permission denied"):
        disk.check_writable(Path())


def test_replacing_a_folder_leaves_the_whole_of_it_or_nothing(tmp_path):
    folder = tmp_path / "made"
    unfinished = tmp_path / ".made.unfinished"
    unfinished.mkdir()
    (unfinished / "rest").write_text("of a killed process")

    def failing():
        with replacing_folder(folder) as beside:
            beside.mkdir()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert not list(tmp_path.iterdir())
    with replacing_folder(folder) as beside:
        beside.mkdir()
        (beside / "new").write_text("whole")
        assert not folder.exists()
    assert [path.name for path in tmp_path.rglob("*")] == ["made", "new"]


def test_a_lock_has_one_holder_and_is_free_after_its_block(tmp_path):
    with lock(tmp_path / "lock"):
        assert lock(tmp_path / "lock") is None
    with lock(tmp_path / "lock"):
        assert lock(tmp_path / "lock") is None


def a_dataset():
    rows = np.eye(2, dtype=np.float32)
    splits = [Split(rows, rows, np.arange(2), np.array([name, f"{name}0"])) for name in ("a", "b", "c")]
    return Dataset("toy", *splits, class_names=("x", "y"))


def fill_disk(path, *_, **__):
    """Write half of something, as on a full disk."""
    with open(path, "wb") if isinstance(path, Path) else path as file:
        file.write(b"half")
        raise OSError(28, "No space left on device")


def write_state(folder):
    with FeatureRows(folder, rows=2, width=1, origin={"a": 1}) as rows:
        rows.append(np.ones((1, 1), dtype=np.float32))


WRITERS = {
    "weights.pth": (lambda path: write_weights(path, {"a": torch.ones(2)}), (torch, "save", 1)),
    "dataset.npz": (lambda path: save_npz(path, a_dataset()), (np, "savez", 0)),
    STATE: (lambda path: write_state(path.parent), (Path, "write_text", 0)),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_leaves_the_older_file_and_nothing_else(tmp_path, monkeypatch, name):
    write, (owner, writer, position) = WRITERS[name]
    write(tmp_path / name)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with monkeypatch.context() as patched:
        patched.setattr(owner, writer, lambda *arguments, **_: fill_disk(arguments[position]))
        with pytest.raises(OSError, match="No space"):
            write(tmp_path / name)
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert after.keys() == before.keys()
    assert after[name] == before[name]


def test_folders_that_their_maker_has_closed_are_removed_and_what_links_lead_to_stays(tmp_path):
    (tmp_path / "left" / "closed" / "inner").mkdir(parents=True)
    (tmp_path / "left" / "closed" / "inner" / "file").touch()
    (tmp_path / "left" / "read-only").mkdir()
    (tmp_path / "left" / "read-only" / "file").touch()
    (tmp_path / "other").mkdir(mode=0o500)
    (tmp_path / "left" / "link").symlink_to(tmp_path / "other")
    for folder, mode in (("closed/inner", 0), ("closed", 0), ("read-only", 0o500), ("", 0o500)):
        (tmp_path / "left" / folder).chmod(mode)
    as_ordinary_user(
        "from cmbench.disk import remove_folder; remove_folder(Path(argument))", tmp_path / "left"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["other"]
    assert (tmp_path / "other").stat().st_mode & 0o777 == 0o500


def test_weights_written_twice_are_the_same_bytes(tmp_path):
    for name in ("one.pth", "two.pth"):
        write_weights(tmp_path / name, {"a": torch.arange(3.0)})
    assert (tmp_path / "one.pth").read_bytes() == (tmp_path / "two.pth").read_bytes()
