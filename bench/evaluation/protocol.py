"""Protocols: named, versioned, frozen answers to every question an evaluation leaves open."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from cmbench.errors import EvaluationError

Denominator = Literal["relevant", "min", "retrieved"]


Normalisation = Literal["none", "test-zscore"]


TASKS = ("image_to_text", "text_to_image", "image_to_all", "text_to_all")


AVERAGES = {
    "bimodal_average": ("image_to_text", "text_to_image"),
    "allmodal_average": ("image_to_all", "text_to_all"),
}


@dataclass(frozen=True)
class Protocol:
    """How representations become MAP. Results of two protocols never share a table.

    Parameters
    ----------
    name, version : which protocol; a change of behaviour raises the version
    similarity : cosine, the only one; a zero vector has similarity 0 to everything
    cutoff : ranks looked at, or None for the full ranking
    denominator : what AP divides by. ``relevant`` is all relevant items R of the gallery,
        ``min`` is min(R, cutoff), ``retrieved`` is the relevant items within the cut-off.
        Without a cut-off all three are R.
    keep_query : whether the query itself stays in the all-modal gallery, as a relevant item
    normalisation : ``none``, or ``test-zscore``: each dimension gets zero mean and unit
        sample standard deviation over the test set, of the query side in bi-modal tasks and
        of both sides in all-modal tasks
    ties : expectation, the only one: AP is its mean over all orders of equally similar items
        (McSherry & Najork, ECIR 2008)
    """

    name: str
    version: int = 1
    similarity: Literal["cosine"] = "cosine"
    cutoff: int | None = None
    denominator: Denominator = "relevant"
    keep_query: bool = True
    normalisation: Normalisation = "none"
    ties: Literal["expectation"] = "expectation"

    def __post_init__(self) -> None:
        if self.cutoff is not None and self.cutoff < 1:
            raise EvaluationError(f"cutoff is {self.cutoff}; use 1 or more, or None for the full ranking")

    def as_dict(self) -> dict[str, Any]:
        """Return every field, for a record."""
        return asdict(self)


PAPER = Protocol("paper")


RELEASE = Protocol("release", normalisation="test-zscore")


PROTOCOLS = {protocol.name: protocol for protocol in (PAPER, RELEASE)}


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
