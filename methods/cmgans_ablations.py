"""The five ablations of CM-GANs, tables IV to VI of its paper.

Each is ``CMGANs`` with a few parameters fixed: a weight of 0 removes a term so thoroughly that its
networks are not built. Setting a fixed parameter to another value raises ``MethodError``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from cmbench.methods.cmgans import CMGANs


class CMGANsNone(CMGANs):
    """CM-GANs without weight sharing and semantic constraint.

    The second encoder layers are two, with initial values of their own, and there is no class head.
    """

    name: ClassVar[str] = "cmgans-none"
    paper_name: ClassVar[str] = "CM-GANs without ws&sc"
    switches: ClassVar[Mapping[str, Any]] = {"tie": "none", "w_semantic": 0.0}


class CMGANsWS(CMGANs):
    """CM-GANs with weight sharing, and without the semantic constraint: there is no class head."""

    name: ClassVar[str] = "cmgans-ws"
    paper_name: ClassVar[str] = "CM-GANs with ws"
    switches: ClassVar[Mapping[str, Any]] = {"tie": "tied", "w_semantic": 0.0}


class CMGANsSC(CMGANs):
    """CM-GANs with the semantic constraint, and without weight sharing in the encoders.

    The class head is one or two as ``head`` says, which weight sharing does not cover.
    """

    name: ClassVar[str] = "cmgans-sc"
    paper_name: ClassVar[str] = "CM-GANs with sc"
    switches: ClassVar[Mapping[str, Any]] = {"tie": "none"}


class CMGANsInter(CMGANs):
    """CM-GANs with inter-modality discrimination only: no intra-modality one, hence no decoders."""

    name: ClassVar[str] = "cmgans-inter"
    paper_name: ClassVar[str] = "CM-GANs only inter"
    switches: ClassVar[Mapping[str, Any]] = {"w_intra": 0.0, "w_reconstruction": 0.0}


class CMGANsCAE(CMGANs):
    """CM-GANs without an adversary: reconstruction error and class term with weight sharing.

    There are as many generator updates as in ``CMGANs``. The paper does not say which error; ours
    is the mean square over elements, or with ``reconstruction="l1"`` the mean absolute value.
    """

    name: ClassVar[str] = "cmgans-cae"
    paper_name: ClassVar[str] = "CM-GANs-CAE"
    switches: ClassVar[Mapping[str, Any]] = {"w_inter": 0.0, "w_intra": 0.0, "w_reconstruction": 1.0}
