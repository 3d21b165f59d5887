"""How one parameter at a time moves the validation MAP of CM-GANs: explore.py FEATURE_FILE

Trains on the training pairs and looks at the validation pairs only; the test pairs are not read. Prints for
each variant its validation MAP, the round whose state is kept, rounds run, and seconds.
"""

import sys
import time
from pathlib import Path

import cmbench
from cmbench.methods.cmgans.method import CMGANs

STANDARDISED = {"post": "zscore_train"}
FIVE_STEPS = [
    {},
    STANDARDISED,
    {**STANDARDISED, "preprocessing": "zscore"},
    {**STANDARDISED, "preprocessing": "rownorm"},
    {**STANDARDISED, "learning_rate": 2e-4},
    {**STANDARDISED, "learning_rate": 3e-3},
    {**STANDARDISED, "batch_size": 32},
    {**STANDARDISED, "weight_decay": 1e-3},
    {**STANDARDISED, "weight_decay": 1e-2},
    {**STANDARDISED, "w_semantic": 10.0},
    {**STANDARDISED, "w_inter": 0.1, "w_intra": 0.1},
    {**STANDARDISED, "w_intra": 0.1},
    {**STANDARDISED, "w_inter": 3.0},
    {**STANDARDISED, "mismatch": "anchor"},
    {"representation": "softmax"},
]
DECAYED = {**STANDARDISED, "generator_steps": 1, "weight_decay": 1e-3}
ONE_STEP = [
    {**STANDARDISED, "generator_steps": 1},
    {**STANDARDISED, "generator_steps": 1, "w_inter": 0.1, "w_intra": 0.1},
    DECAYED,
    {**DECAYED, "weight_decay": 2e-3},
    {**DECAYED, "w_inter": 0.1, "w_intra": 0.1},
    {**DECAYED, "w_inter": 3.0},
    {**DECAYED, "w_intra": 0.1},
    {**DECAYED, "w_semantic": 10.0},
    {**DECAYED, "learning_rate": 5e-4},
    {**DECAYED, "mismatch": "anchor"},
    {**DECAYED, "preprocessing": "zscore"},
    {**DECAYED, "preprocessing": "rownorm"},
]


def main(path: Path) -> None:
    dataset = cmbench.load_dataset(path)
    for variants, length in (
        (FIVE_STEPS, {"patience": 4, "eval_every": 10}),
        (ONE_STEP, {"patience": 6, "eval_every": 5}),
    ):
        for variant in variants:
            start = time.perf_counter()
            method = CMGANs(**length, **variant, threads=1).fit(dataset.train, dataset.validation)
            seconds = time.perf_counter() - start
            rounds = f"{method.best_iteration_:4}/{method.iterations_:4}"
            print(f"{method.validation_map_:.4f} {rounds} {seconds:5.0f} s  {variant}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
