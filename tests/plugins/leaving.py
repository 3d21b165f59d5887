"""A method that leaves in its folder what no honest child leaves, and ends its process itself."""

import json
import os
from pathlib import Path

import numpy as np

from cmbench.methods.contract import Method

OK = {
    "status": "ok",
    "durations": {"fit": 0.1, "transform": 0.1},
    "fitted": {},
    "transductive": False,
    "weights": 0,
    "warnings": [],
    "repeats": False,
    "peak_memory_bytes": 1000,
    "accelerator": None,
}


class Leaving(Method):
    """``outcome`` is written as it is; ``way`` names what else is odd. The rest is as it should be."""

    name = "leaving"

    def __init__(self, outcome: str = "", way: str = "", rows: int = 48):
        self.outcome = outcome
        self.way = way
        self.rows = rows

    def fit(self, train, validation):
        random = np.random.RandomState(0)
        for name in ("images", "texts"):
            np.save(f"{name}.npy", random.standard_normal((self.rows, 2)))
        np.savez("curves.npz")
        Path("outcome.json").write_text(self.outcome or json.dumps(OK))
        if self.way:
            getattr(self, self.way)()
        os._exit(0)

    def fifo(self):
        os.remove("outcome.json")
        os.mkfifo("outcome.json")

    def folder(self):
        os.remove("outcome.json")
        os.mkdir("outcome.json")

    def link_to_itself(self):
        os.rename("outcome.json", "real.json")
        os.symlink("real.json", "outcome.json")

    def huge(self):
        with open("outcome.json", "r+b") as file:
            file.truncate(10**12)

    def representations_fifo(self):
        os.remove("texts.npy")
        os.mkfifo("texts.npy")

    def representations_linked(self):
        os.rename("texts.npy", "real.npy")
        os.link("real.npy", "texts.npy")

    def representations_that_claim_a_terabyte(self):
        with open("texts.npy", "wb") as file:
            header = {"descr": "<f8", "fortran_order": False, "shape": (self.rows, 60_000)}
            np.lib.format.write_array_header_1_0(file, header)

    def wide_representations(self):
        for name in ("images", "texts"):
            with open(f"{name}.npy", "wb") as file:
                header = {"descr": "<f8", "fortran_order": False, "shape": (self.rows, 5_000_000)}
                np.lib.format.write_array_header_1_0(file, header)
                file.truncate(file.tell() + self.rows * 5_000_000 * 8)

    def curves_over_the_labels(self):
        np.savez("curves.npz", labels=np.zeros(48))

    def bomb_of_curves(self):
        np.savez_compressed("curves.npz", curve_loss=np.zeros(10**8))

    def nested(self):
        """Three thousand folders in each other, more than Python calls go."""
        for _ in range(3000):
            os.mkdir("d")
            os.chdir("d")

    def nothing(self):
        import shutil

        shutil.rmtree(os.getcwd(), ignore_errors=True)

    def transform_images(self, images):
        raise NotImplementedError

    def transform_texts(self, texts):
        raise NotImplementedError
