"""Batches of training rows in which, over an epoch, each row comes once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cmbench.methods.pair_sampler import Index


class EpochBatches:
    """Rows in a new random order each epoch, in batches of one size; what is left over waits.

    An epoch depends on its number, the seed and ``stream`` alone, so that an interrupted training
    needs no state to go on, and trainings of different streams do not share their order.

    Parameters
    ----------
    n_rows : how many rows there are
    batch : cut to ``n_rows``; the incomplete last batch of an epoch is left out

    Examples
    --------
    >>> batches = EpochBatches(5, batch=2, seed=0, stream="pairs")
    >>> batches.rounds, [len(index) for index in batches.epoch(0)]
    (2, [2, 2])
    """

    def __init__(self, n_rows: int, *, batch: int, seed: int, stream: str) -> None:
        self.size = min(batch, n_rows)
        self.rounds = n_rows // self.size
        self._n_rows, self._seed, self._stream = n_rows, seed, tuple(stream.encode())

    def epoch(self, number: int) -> Iterator[Index]:
        """Yield the row numbers (batch,) of each round of epoch ``number``."""
        random = np.random.default_rng([self._seed, number, *self._stream])
        order = random.permutation(self._n_rows)[: self.rounds * self.size]
        return iter(order.reshape(self.rounds, self.size))
