"""Protocols: named, versioned, frozen answers to every question an evaluation leaves open."""

from dataclasses import dataclass, fields
from typing import Any, Literal

from cmbench.errors import EvaluationError

Similarity = Literal["cosine", "hamming"]


Denominator = Literal["relevant", "min", "retrieved"]


Normalisation = Literal["none", "test-zscore"]


Relevance = Literal["category", "pair"]


BIMODAL_TASKS = ("image_to_text", "text_to_image")


ALLMODAL_TASKS = ("image_to_all", "text_to_all")


TASKS = (*BIMODAL_TASKS, *ALLMODAL_TASKS)


BIMODAL_AVERAGE, ALLMODAL_AVERAGE = "bimodal_average", "allmodal_average"


AVERAGES = {BIMODAL_AVERAGE: BIMODAL_TASKS, ALLMODAL_AVERAGE: ALLMODAL_TASKS}


_LATER_FIELDS = {"relevance": "category", "unseen_categories": False}


@dataclass(frozen=True)
class Protocol:
    """How representations become numbers. Results of two protocols never share a table.

    Parameters
    ----------
    name, version : which protocol; a change of behaviour raises the version
    similarity : ``cosine``, where a zero vector has similarity 0 to everything; or ``hamming``, which
        ranks codes by the number of bits in which they differ. Codes of 0 and 1 or of -1 and 1 are
        taken as they are; of real numbers, a bit is 1 where the number is above 0.
    cutoff : ranks looked at by MAP, or None for the full ranking
    denominator : what AP divides by. ``relevant`` is all relevant items R of the gallery,
        ``min`` is min(R, cutoff), ``retrieved`` is the relevant items within the cut-off.
        Without a cut-off all three are R.
    keep_query : whether the query itself stays in the all-modal gallery, as a relevant item
    normalisation : ``none``, or ``test-zscore``: each dimension gets zero mean and unit
        sample standard deviation over the test set, of the query side in bi-modal tasks and
        of both sides in all-modal tasks
    ties : expectation, the only one: every measure is its mean over all orders of equally similar
        items (McSherry & Najork, ECIR 2008)
    relevance : ``category``, items with the same label, or of several labels with one in common;
        or ``pair``, a picture and its own texts, one or several, in the two bi-modal tasks alone.
        Each distinct picture is then one item of the gallery and one query.
    unseen_categories : whether test pairs may be of categories that no training pair has
    """

    name: str
    version: int = 1
    similarity: Similarity = "cosine"
    cutoff: int | None = None
    denominator: Denominator = "relevant"
    keep_query: bool = True
    normalisation: Normalisation = "none"
    ties: Literal["expectation"] = "expectation"
    relevance: Relevance = "category"
    unseen_categories: bool = False

    def __post_init__(self) -> None:
        if self.cutoff is not None and self.cutoff < 1:
            raise EvaluationError(f"cutoff is {self.cutoff}; use 1 or more, or None for the full ranking")
        if self.normalisation != "none" and (self.similarity, self.relevance) != ("cosine", "category"):
            raise EvaluationError(
                f"normalisation {self.normalisation!r} goes with cosine and relevance by category alone"
            )

    @property
    def by_pair(self) -> bool:
        """Whether a picture and its own texts are relevant to each other, and nothing else is."""
        return self.relevance == "pair"

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that are evaluated."""
        return BIMODAL_TASKS if self.by_pair else TASKS

    @property
    def averages(self) -> dict[str, tuple[str, ...]]:
        """The averages of tasks that are evaluated, by name."""
        return {name: tasks for name, tasks in AVERAGES.items() if set(tasks) <= set(self.tasks)}

    @property
    def measures(self) -> tuple[str, ...]:
        """What is reported beside MAP unless other measures are asked for."""
        return ("r@1", "r@5", "r@10", "medr") if self.by_pair else ()

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, for a record and for the key of a cell.

        Fields that came after the first records are left out where they have the value those were
        made with, so that keys stay.
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if _LATER_FIELDS.get(name, _NEVER) != value}


_NEVER = object()


PAPER = Protocol("paper")


RELEASE = Protocol("release", normalisation="test-zscore")


PAIRS = Protocol("pairs", relevance="pair")
"""Flickr30K, MS-COCO: which of the texts belongs to the picture, and which picture to the text."""


ZERO_SHOT = Protocol("zeroshot", unseen_categories=True)
"""``paper``, with categories in test that training lacks."""


HAMMING = Protocol("hamming", similarity="hamming")
"""``paper``, with codes ranked by their Hamming distance."""


PROTOCOLS = {protocol.name: protocol for protocol in (PAPER, RELEASE, PAIRS, ZERO_SHOT, HAMMING)}


def task_text(task: str) -> str:
    """Return a task as people read it.

    >>> task_text("image_to_text")
    'image→text'
    """
    return task.replace("_to_", "→")


def get_protocol(protocol: str | Protocol) -> Protocol:
    """Return the protocol of that name, or the protocol itself.

    >>> get_protocol("paper").keep_query
    True
    """
    if isinstance(protocol, Protocol):
        return protocol
    if protocol not in PROTOCOLS:
        known = ", ".join(PROTOCOLS)
        raise EvaluationError(f"unknown protocol {protocol!r}; known protocols: {known}")
    return PROTOCOLS[protocol]
