"""CM-GANs in a process that dies right after its first checkpoint, and goes on from it the next time."""

import os
from pathlib import Path

from cmbench.methods.cmgans.method import CMGANs
from cmbench.methods.training.loop import Checkpoint


class Interrupted(CMGANs):
    """The same training; ``os._exit`` leaves it no chance to tidy up."""

    name = "interrupted"

    def fit(self, train, validation):
        if not list(Path(self.checkpoint).glob("*.pt")):
            save = Checkpoint.save

            def save_and_die(checkpoint, state):
                save(checkpoint, state)
                os._exit(9)

            Checkpoint.save = save_and_die
        return super().fit(train, validation)
