"""Measure the memory of extracting features from few and from many pictures; run by hand.

    python tests/speed/extraction.py

Each number of pictures has a process of its own, which generates every picture when it is read.
Printed are peak memory and seconds of both, and the ratio of the last peak to the first; a ratio above
1.2 is a failure.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time

MIB = 2**20
HIGHEST_RATIO = 1.2


def main() -> None:
    options = parsed_options()
    if options.child:
        print(json.dumps(measured(options.pictures[0], options)))
        return
    peaks = []
    print(f"{'pictures':>9} {'peak MiB':>9} {'seconds':>8}")
    for number in options.pictures:
        found = in_a_process_of_its_own(number, options)
        peaks.append(found["peak"])
        print(f"{number:9} {found['peak'] / MIB:9.1f} {found['seconds']:8.1f}", flush=True)
    ratio = peaks[-1] / peaks[0]
    print(f"ratio of the last to the first: {ratio:.3f}")
    if ratio > HIGHEST_RATIO:
        sys.exit(f"memory grows with the number of pictures: the ratio is above {HIGHEST_RATIO}")


def parsed_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, nargs="+", default=[2_000, 20_000])
    parser.add_argument("--size", type=int, default=64, help="height and width of a picture")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def in_a_process_of_its_own(number: int, options: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, "-P", __file__, "--child", "--pictures", str(number)]
    command += ["--size", str(options.size), "--batch", str(options.batch)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def measured(number: int, options: argparse.Namespace) -> dict[str, float]:
    # imported here, because a child's peak begins with that of the process that started it
    from cmbench.datasets.features.backbones import load_backbone
    from cmbench.datasets.features.image_features import extract_image_features

    backbone = load_backbone("small-cnn", "random", "cpu")
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        pictures = GeneratedPictures(number, options.size)
        extract_image_features(pictures, backbone, folder, batch_size=options.batch)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {"peak": peak, "seconds": time.perf_counter() - start}


class GeneratedPictures:
    """Pictures of noise, none of which is there before it is asked for."""

    def __init__(self, number: int, size: int) -> None:
        self._number, self._size = number, size

    def __len__(self) -> int:
        return self._number

    def __iter__(self):
        return map(self.__getitem__, range(self._number))

    def __getitem__(self, row: int):
        return GeneratedPicture(row, self._size)


class GeneratedPicture:
    """Noise that its number decides."""

    def __init__(self, row: int, size: int) -> None:
        self.name = self.identity = f"picture {row}"
        self._row, self._size = row, size

    def read(self):
        import numpy as np

        shape = (self._size, self._size, 3)
        return np.random.default_rng(self._row).integers(256, size=shape, dtype=np.uint8)


if __name__ == "__main__":
    main()
