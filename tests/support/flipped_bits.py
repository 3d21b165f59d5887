"""Damages a feature file many times and loads it, and prints how each time ended.

    python tests/support/flipped_bits.py FORM PART COUNT SEED FOLDER

in a process of its own, since the libraries that read such files may crash; what they crashed on is then
in FOLDER. FORM is ``npy``, ``npz``, ``mat5`` or ``mat73``, PART ``header`` or ``file``. Printed, as JSON, are
the numbers of loads that gave a dataset and a message, the messages that did not name the file, and the
tracebacks of whatever else was raised.
"""

import json
import sys
import traceback
import warnings
from pathlib import Path

import h5py
import numpy as np
from scipy.io import savemat

from cmbench.datasets.formats.files import load_file
from cmbench.errors import CmbenchError

BITS = 3  # flipped at a time
HEADERS = {"npy": (0, 128), "npz": (0, 220), "mat5": (0, 256), "mat73": (512, 1312)}
"""Bytes that say what follows: of HDF5, which begins after MATLAB's own 512, the superblock and its root."""
CLASSES = np.array(["ant", "bee", "cat", "dog"])


def arrays() -> dict[str, np.ndarray]:
    random = np.random.default_rng(5)
    made: dict[str, np.ndarray] = {"class_names": CLASSES}
    for name, pairs in (("train", 16), ("val", 8), ("test", 8)):
        made[f"images_{name}"] = random.standard_normal((pairs, 3)).astype(np.float32)
        made[f"texts_{name}"] = random.standard_normal((pairs, 2)).astype(np.float32)
        made[f"labels_{name}"] = np.arange(pairs) % len(CLASSES)
    return made


def write(form: str, folder: Path) -> tuple[Path, Path]:
    """Write a dataset; return what is loaded, and the file of it that is damaged."""
    if form == "npy":
        for name, values in arrays().items():
            np.save(folder / f"{name}.npy", values)
        return folder, folder / "images_train.npy"
    path = folder / f"data.{form[:3]}"
    if form == "npz":
        np.savez(path, **arrays())
    elif form == "mat5":
        savemat(path, arrays())
    else:
        write_73(path)
    return path, path


def write_73(path: Path) -> None:
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in arrays().items():
            if values.dtype.kind == "U":
                codes = np.array([[ord(letter) for letter in word] for word in values], dtype=np.uint16)
                file.create_dataset(name, data=codes.T).attrs["MATLAB_class"] = np.bytes_("char")
            else:
                kind = "double" if values.dtype.kind == "i" else "single"
                node = file.create_dataset(name, data=np.atleast_2d(values.astype(kind)).T)
                node.attrs["MATLAB_class"] = np.bytes_(kind)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file")


def main(form: str, part: str, count: int, seed: int, folder: Path) -> dict[str, object]:
    random = np.random.default_rng(seed)
    found: dict[str, object] = {"datasets": 0, "messages": 0, "unnamed": [], "tracebacks": []}
    given, file = write(form, folder)
    whole = file.read_bytes()
    load_file(given)  # undamaged
    places = HEADERS[form] if part == "header" else (0, len(whole))
    for _ in range(count):
        content = bytearray(whole)
        for at in random.integers(*places, size=BITS):
            content[at] ^= 1 << int(random.integers(8))
        file.write_bytes(content)
        end(given, found)
    return found


def end(given: Path, found: dict) -> None:
    try:
        load_file(given)
        found["datasets"] += 1
    except CmbenchError as error:
        found["messages"] += 1
        if str(given) not in str(error):
            found["unnamed"].append(str(error))
    except BaseException:
        found["tracebacks"].append(traceback.format_exc())


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    form, part, count, seed, folder = sys.argv[1:]
    print(json.dumps(main(form, part, int(count), int(seed), Path(folder))))
