"""What a dataset is: three splits of image-text pairs, class names and a card."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cmbench.datasets.draft import Card, Draft, Parts, Split
from cmbench.datasets.rules import broken_rules
from cmbench.datasets.soundness import Finding, findings
from cmbench.datasets.together import belonging_together
from cmbench.errors import DatasetError

__all__ = ["Card", "Dataset", "Parts", "Split"]


@dataclass(frozen=True, eq=False)
class Dataset(Draft):
    """A named dataset that keeps the contract; breaking a rule raises ``DatasetError``.

    The rules stand in ``cmbench.datasets.rules``: right types, equal lengths, finite features,
    labels within the classes, every validation and test class present in training, no id twice.
    """

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """What makes numbers on this dataset questionable; every row is read once for it."""
        return findings(self)

    def findings_under(self, *, by_pair: bool) -> tuple[Finding, ...]:
        """Return what makes numbers questionable where pairs, or categories, decide what is relevant."""
        return tuple(finding for finding in self.findings if not (by_pair and finding.by_category))

    @cached_property
    def test_units(self) -> NDArray[np.int64] | None:
        """For each test pair the row of the first one that it belongs with; None where each stands alone."""
        groups = belonging_together([self.test], self.card.shared_after)
        if len(groups) == len(self.test):
            return None
        units = np.empty(len(self.test), dtype=np.int64)
        for rows in groups:
            units[rows] = rows[0]
        return units

    def __post_init__(self) -> None:
        broken = [problem for _, problems in broken_rules(self) for problem in problems]
        if broken:
            raise DatasetError(f"dataset {self.name!r}: " + "; ".join(broken))
