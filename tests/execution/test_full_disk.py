"""A full disk: an error of the run that names it, never a signal, never the failure of a method."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cmbench
from cmbench.datasets.contract import Dataset
from cmbench.datasets.draft import Split
from cmbench.datasets.formats.numpy_files import save_array, save_blocks, save_npz
from cmbench.disk import is_full, tells_of_full_disk
from cmbench.errors import StoreError
from cmbench.store import Store

HOSTILE = str(Path(__file__).parents[1] / "plugins" / "hostile.py")
mounting = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only root on Linux may mount a small disk"
)


def mounted(place, size):
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], capture_output=True, text=True
    )
    if done.returncode != 0:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path):
    """A function that makes a disk of some size; all are gone at the end."""
    made = []

    def make(size):
        place = tmp_path / f"disk-{len(made)}"
        mounted(place, size)
        made.append(place)
        return place

    yield make
    for place in made:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def run(toy_file, store, methods, *options):
    command = [sys.executable, "-P", "-m", "cmbench", "run", "--dataset", str(toy_file), "--methods", methods]
    command += ["--store", str(store), "--plugin", HOSTILE, "--threads", "1", "--memory", "none", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture
def toy_file(toy, tmp_path):
    save_npz(tmp_path / "toy.npz", toy)
    return tmp_path / "toy.npz"


@mounting
def test_a_full_disk_is_told_from_one_that_has_room(disk):
    place = disk("4m")
    assert not is_full(place)
    with pytest.raises(OSError, match="No space") as error, (place / "filler").open("wb") as filler:
        filler.write(bytes(8_000_000))
    assert tells_of_full_disk(error.value)
    assert is_full(place)
    (place / "filler").unlink()
    assert not is_full(place)


@mounting
def test_blocks_on_a_full_disk_are_an_error_and_no_signal(disk):
    blocks = (np.ones((4096, 100), np.float32) for _ in range(10))
    with pytest.raises(OSError, match="No space"):
        save_blocks(disk("4m") / "rows.npy", blocks, dtype=np.dtype(np.float32), shape=(40960, 100))


@mounting
def test_an_array_on_a_full_disk_is_an_error_with_a_number(disk):
    with pytest.raises(OSError, match="No space"):
        save_array(disk("1m") / "rows.npy", np.ones((4096, 100), np.float32))


@mounting
@pytest.mark.parametrize("large", ["train", "test"])
def test_a_disk_too_small_for_the_features_is_named_with_the_remedy(toy, disk, large):
    """Those of one split are."""
    random = np.random.default_rng(0)

    def split(name, pairs):
        images, texts = (random.random((pairs, width), dtype=np.float32) for width in (100, 8))
        ids = np.array([f"{name}-{number}" for number in range(pairs)])
        return Split(images, texts, np.arange(pairs) % 4, ids)

    splits = [split(name, 2000 if name == large else 40) for name in ("train", "val", "test")]
    dataset = Dataset("toy", *splits, toy.class_names)
    with pytest.raises(StoreError, match=r"cannot be written or read \(No space left on device\); see that"):
        cmbench.run(dataset, ["cfa"], store=disk("300k") / "store", threads=1, memory="none")


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("values", [np.arange(60, dtype=np.float32), np.array(["ant", "bee"] * 30)])
def test_an_array_is_saved_as_numpy_saves_it(tmp_path, values, order):
    rows = np.asarray(values.reshape(20, 3), order=order)
    save_array(tmp_path / "rows.npy", rows)
    np.save(tmp_path / "same.npy", rows)
    assert (tmp_path / "rows.npy").read_bytes() == (tmp_path / "same.npy").read_bytes()


def test_blocks_are_the_array_that_numpy_reads(tmp_path):
    rows = np.arange(60, dtype=np.float32).reshape(20, 3)
    blocks = (rows[::-1][start : start + 7] for start in range(0, 20, 7))
    save_blocks(tmp_path / "rows.npy", blocks, dtype=rows.dtype, shape=rows.shape)
    np.testing.assert_array_equal(np.load(tmp_path / "rows.npy"), rows[::-1])
    np.save(tmp_path / "same.npy", rows[::-1].copy())
    assert (tmp_path / "rows.npy").read_bytes() == (tmp_path / "same.npy").read_bytes()


@mounting
def test_a_method_that_fills_the_disk_has_no_record_and_the_run_says_why(toy_file, disk):
    store = disk("6m") / "store"
    done = run(toy_file, store, "cfa,fillsthedisk", "--jobs", "1")
    assert done.returncode == 1
    assert "the disk is full; make room, and run the same command again" in done.stderr
    assert "Traceback" not in done.stderr
    assert [record["method"]["name"] for record in Store(store).records()] == ["cfa"]
    again = run(toy_file, store, "cfa")
    assert again.returncode == 0


def test_a_method_that_finds_no_room_elsewhere_has_no_record_and_the_others_run(toy, tmp_path):
    with pytest.raises(StoreError, match=r"no room on a disk for toy findsnoroom; make room"):
        cmbench.run(toy, ["findsnoroom", "cfa"], store=tmp_path, plugins=[HOSTILE], threads=1, memory="none")
    assert [record["method"]["name"] for record in Store(tmp_path).records()] == ["cfa"]


@mounting
@pytest.mark.slow
def test_no_size_of_disk_ends_a_run_by_a_signal_or_fails_a_method(toy_file, disk):
    """From too small for the features to large enough for everything."""
    sizes = [
        f"{kilobytes}k" for kilobytes in (4, 8, 12, 16, 20, 28, 36, 44, 52, 64, 80, 100, 130, 170, 300, 4000)
    ]
    assert len(sizes) == 16
    statuses = []
    for size in sizes:
        store = disk(size) / "store"
        done = run(toy_file, store, "cfa,cca,kcca", "--jobs", "2")
        statuses.append(done.returncode)
        assert done.returncode in (0, 1), (size, done.returncode, done.stderr)
        assert "Traceback" not in done.stderr, (size, done.stderr)
        if done.returncode == 1:
            assert "No space left" in done.stderr or "disk is full" in done.stderr or "no room" in done.stderr
            assert "FileExistsError" not in done.stderr
        assert {record["status"] for record in Store(store).records()} <= {"ok"}, size
    assert statuses[0] == 1
    assert statuses[-1] == 0
