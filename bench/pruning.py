"""When a training has fallen behind earlier ones of its method, so that ending it spares more than it costs.

The rule is that of the median (D. Golovin et al., Google Vizier: a service for black-box optimization, KDD
2017, section 3.2.1) for a training of one stage. Of n stages each is a chance to fall behind; so that all of
them are as likely as one to end a training, each has the quantile q with (1 - q)^n = 1/2 in place of the
median. The rule looks at the validation scores that trainings report after each epoch, and at nothing else:
no clock takes part, so a search that is run again decides as it did.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, combinations
from math import inf

import numpy as np

from cmbench.methods.training.progress import Look

FEWEST_RIVALS = 5
"""Earlier trainings to the end, before which none is given up."""
WARM_UP = 5
"""Epochs of a stage that every training may have."""


@dataclass(frozen=True)
class Finished:
    """A training that went to its end: its looks at validation, and the score of the trial."""

    looks: tuple[Look, ...]
    score: float

    @cached_property
    def stages(self) -> dict[str, tuple[list[float], list[float]]]:
        """By stage, the epochs of looks and the best score up to each."""
        return {
            stage: (
                [look.epoch for look in self.looks if look.stage == stage],
                list(accumulate((look.score for look in self.looks if look.stage == stage), max)),
            )
            for stage in dict.fromkeys(look.stage for look in self.looks)
        }

    def best_by(self, stage: str, epoch: float) -> float | None:
        """Return the best score of a stage up to an epoch; after its end, that of the whole stage."""
        epochs, best = self.stages.get(stage, ([], []))
        looked = bisect_right(epochs, epoch)
        return best[looked - 1] if looked else None


@dataclass(frozen=True)
class Behind:
    """Where a training fell behind: after how many looks, and below which share of earlier ones."""

    looks: int
    at: Look
    best: float
    bar: float
    share: float

    def __str__(self) -> str:
        return (
            f"by epoch {self.at.epoch:g} of stage {self.at.stage} the best score was {self.best:.4f}, and "
            f"{1 - self.share:.0%} of earlier trainings had {self.bar:.4f} or more"
        )


@dataclass(frozen=True)
class PruningRule:
    """Gives a training up whose best score in a stage is below a quantile of what earlier ones had by then.

    It is the median where one stage counts, and the lower the more do. A stage counts that
    ``FEWEST_RIVALS`` earlier trainings had, from its epoch ``WARM_UP`` on, if its scores tell of the
    trial's: of two earlier trainings, the one with the better stage must more often than not have had the
    better score.
    """

    earlier: tuple[Finished, ...] = ()

    def behind(self, looks: Sequence[Look], *, judged: int = 0) -> Behind | None:
        """Return where the training with these looks fell behind first, or None.

        The first ``judged`` of them are known to be good enough.
        """
        best: dict[str, float] = {}
        for number, look in enumerate(looks, 1):
            best[look.stage] = max(look.score, best.get(look.stage, look.score))
            if number > judged and look.epoch >= WARM_UP and look.stage in self._telling:
                rivals = [rival.best_by(look.stage, look.epoch) for rival in self.earlier]
                known = [score for score in rivals if score is not None]
                bar = float(np.quantile(known, self.share)) if len(known) >= FEWEST_RIVALS else -inf
                if best[look.stage] < bar:
                    return Behind(number, look, best[look.stage], bar, self.share)
        return None

    @cached_property
    def share(self) -> float:
        """The share of earlier trainings that are below the bar of a stage."""
        return float(1 - 0.5 ** (1 / max(len(self._telling), 1)))

    @cached_property
    def _telling(self) -> frozenset[str]:
        """The stages that enough trainings had, and whose scores go with those of trials."""
        had = Counter(stage for rival in self.earlier for stage in rival.stages)
        return frozenset(
            stage for stage, times in had.items() if times >= FEWEST_RIVALS and self._tells(stage)
        )

    def _tells(self, stage: str) -> bool:
        rivals = [
            (rival.stages[stage][1][-1], rival.score) for rival in self.earlier if stage in rival.stages
        ]
        products = [(one[0] - other[0]) * (one[1] - other[1]) for one, other in combinations(rivals, 2)]
        return sum(product > 0 for product in products) > sum(product < 0 for product in products)
