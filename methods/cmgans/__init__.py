"""CM-GANs: cross-modal generative adversarial networks."""

from cmbench.methods.cmgans.method import (
    CMGANs,
    CMGANsCAE,
    CMGANsInter,
    CMGANsNone,
    CMGANsPosterior,
    CMGANsRelease,
    CMGANsSC,
    CMGANsWS,
)

__all__ = [
    "CMGANs",
    "CMGANsCAE",
    "CMGANsInter",
    "CMGANsNone",
    "CMGANsPosterior",
    "CMGANsRelease",
    "CMGANsSC",
    "CMGANsWS",
]
