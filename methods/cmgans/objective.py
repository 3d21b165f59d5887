"""What each update of CM-GANs minimises: equations 5 to 10, the class term, and reconstruction.

With s the common representations, r the reconstructions, h the original features of images (i) and
texts (t), and a hat on pairs of another category, the discriminators minimise ::

    L_DI  = -log D_I(h_i) - log(1 - D_I(r_i))                                 (5, and 6 for texts)
    L_DCi = -log D_Ci(s_i, h_i) - ½ log(1 - D_Ci(s_t, h_i)) - ½ log(1 - D_Ci(ŝ_i, ĥ_i))    (7)
    L_DCt = -log D_Ct(s_t, h_t) - ½ log(1 - D_Ct(s_i, h_t)) - ½ log(1 - D_Ct(ŝ_t, ĥ_t))    (8)

and the generators ::

    L_GI = -log D_Ct(s_i, h_t) - log D_I(r_i) + CE(head(s_i), y)                              (9)
    L_GT = -log D_Ci(s_t, h_i) - log D_T(r_t) + CE(head(s_t), y)                             (10)

so each tries to pass as the other modality. In (7) the real pair and the mismatched fake are both
true pairs of training items, and with balanced categories they have one distribution: the
discriminator learns nothing from telling them apart. Its best answer to them is 2/3, and the least
of the loss is log 1.5 + ½ log 3. With ``mismatch="anchor"`` the fake is (ŝ_i, h_i) instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, l1_loss, mse_loss, softplus

from cmbench.datasets.draft import Modality
from cmbench.methods.cmgans.networks import Generator, Networks
from cmbench.methods.views.inputs import OTHER

GeneratorForm: TypeAlias = Literal["non-saturating", "saturating", "literal"]
Scale: TypeAlias = Literal["log", "linear"]


@dataclass(frozen=True)
class AdversarialLosses:
    """What discriminators and generators minimise, given logits of any shape.

    Parameters
    ----------
    form : what a generator minimises
        ``"non-saturating"`` -log D, whose slope never vanishes while D sees through the generator;
        ``"saturating"`` log(1 - D), what equations 2 to 4 imply; ``"literal"`` +log D, the sign as
        printed in equations 9 and 10 with the descent of Algorithm 1, which works against itself.
    scale : ``"log"``, or ``"linear"`` with D for log D and -D for log(1 - D), as equations 3 and 4 print
    fake_weight : of each of the two fakes of an inter-modality discriminator

    Examples
    --------
    >>> import torch
    >>> round(AdversarialLosses().intra(torch.zeros(4), torch.zeros(4)).item(), 4)  # 2 log 2
    1.3863
    """

    form: GeneratorForm = "non-saturating"
    scale: Scale = "log"
    fake_weight: float = 0.5

    def real(self, logits: Tensor) -> Tensor:
        """Return the loss of judging ``logits`` against 1: -log D."""
        return softplus(-logits).mean() if self.scale == "log" else -logits.sigmoid().mean()

    def fake(self, logits: Tensor) -> Tensor:
        """Return the loss of judging ``logits`` against 0: -log(1 - D)."""
        return softplus(logits).mean() if self.scale == "log" else logits.sigmoid().mean()

    def intra(self, original: Tensor, reconstructed: Tensor) -> Tensor:
        """Return the loss of an intra-modality discriminator, the negative of equation 5 or 6."""
        return self.real(original) + self.fake(reconstructed)

    def inter(self, matched: Tensor, crossed: Tensor, mismatched: Tensor) -> Tensor:
        """Return the loss of an inter-modality discriminator, the negative of equation 7 or 8."""
        return self.real(matched) + self.fake_weight * (self.fake(crossed) + self.fake(mismatched))

    def generator(self, logits: Tensor) -> Tensor:
        """Return an adversarial term of equation 9 or 10, to be minimised by the generator."""
        if self.form == "non-saturating":
            return self.real(logits)
        return -self.fake(logits) if self.form == "saturating" else -self.real(logits)


def share_right(real: Tensor, *fakes: Tensor) -> Tensor:
    """Return the accuracy at D = 1/2, with the real and the fake side counting one half each.

    >>> import torch
    >>> share_right(torch.tensor([1.0, -1.0]), torch.tensor([-1.0, -2.0])).item()
    0.75
    """
    right = [(logits.detach() < 0).float().mean() for logits in fakes]
    return ((real.detach() > 0).float().mean() + sum(right) / len(right)) / 2


Views: TypeAlias = dict[Modality, Tensor]
Terms: TypeAlias = dict[str, tuple[float, Tensor]]  # weight and value of each


@dataclass(frozen=True, eq=False)
class Batch:
    """Original features of matched pairs by modality, and their classes (n,) counted from 0."""

    views: Views
    classes: Tensor


@dataclass(frozen=True, eq=False)
class Outcome:
    """A loss to minimise, and the scalars worth watching, by name, out of the graph."""

    loss: Tensor
    watched: dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Generated:
    """What the generators made of a batch, as data for the discriminators."""

    common: Views
    reconstructed: Views


@dataclass(frozen=True)
class Objective:
    """Weights and readings of the terms; see ``CMGANs`` for their meaning.

    A term of weight 0 is never evaluated.
    """

    losses: AdversarialLosses = field(default_factory=AdversarialLosses)
    w_inter: float = 1.0
    w_intra: float = 1.0
    w_semantic: float = 1.0
    w_reconstruction: float = 0.0
    reconstruction: Literal["mse", "l1"] = "mse"
    mismatch: Literal["own", "anchor"] = "own"
    batch_norm: Literal["separate", "joined"] = "separate"

    def generate(self, networks: Networks, views: Views) -> Generated:
        """Run the generators without a graph; reconstructions only if a discriminator wants them."""
        with torch.no_grad():
            common = self.encode(networks, views)
            reconstructed = {name: decode(networks.generators[name], common[name]) for name in networks.intra}
        return Generated(common, reconstructed)

    def encode(self, networks: Networks, views: Views) -> Views:
        """Return common representations by modality, without a graph."""
        with torch.no_grad():
            return {name: networks.generators[name](rows) for name, rows in views.items()}

    def intra(self, networks: Networks, name: Modality, original: Tensor, generated: Generated) -> Outcome:
        """Return equation 5 or 6 for one intra-modality discriminator."""
        discriminator = networks.intra[name]
        real = wide(discriminator(original))
        fake = wide(discriminator(generated.reconstructed[name]))
        return self._judged(f"D_intra_{name}", self.losses.intra(real, fake), real, fake)

    def inter(
        self,
        networks: Networks,
        name: Modality,
        views: Views,
        strangers: Views,
        made: tuple[Generated, Views],
    ) -> Outcome:
        """Return equation 7 or 8 for one inter-modality discriminator.

        ``views`` and ``strangers`` are the original features of the batch and of the mismatched
        pairs, and ``made`` what the generators made of both.
        """
        generated, strange = made
        original = views[name]
        beside = strangers[name] if self.mismatch == "own" else original
        pairs = (
            (generated.common[name], original),
            (generated.common[OTHER[name]], original),
            (strange[name], beside),
        )
        real, crossed, mismatched = self._logits(networks.inter[name], pairs)
        loss = self.losses.inter(real, crossed, mismatched)
        return self._judged(f"D_inter_{name}", loss, real, crossed, mismatched)

    def generator(self, networks: Networks, name: Modality, batch: Batch) -> Outcome:
        """Return equation 9 or 10: the weighted terms of one generator on a batch."""
        generator, other = networks.generators[name], OTHER[name]
        common = generator(batch.views[name])
        terms: Terms = {}
        watched: dict[str, Tensor] = {}
        if self.w_intra or self.w_reconstruction:
            original, reconstructed = batch.views[name], wide(decode(generator, common))
            terms |= self._reconstruction_terms(networks, name, original, reconstructed)
            watched[f"G_{name}_magnitude"] = reconstructed.detach().norm() / original.norm()
        if self.w_inter:
            logits = networks.inter[other](common, batch.views[other])
            terms["inter"] = (self.w_inter, self.losses.generator(wide(logits)))
        if self.w_semantic:
            terms["semantic"] = (self.w_semantic, cross_entropy(classify(generator, common), batch.classes))
        watched |= {f"G_{name}_{key}_loss": value.detach() for key, (_, value) in terms.items()}
        return Outcome(torch.stack([weight * value for weight, value in terms.values()]).sum(), watched)

    def _reconstruction_terms(
        self, networks: Networks, name: Modality, original: Tensor, reconstructed: Tensor
    ) -> Terms:
        terms: Terms = {}
        if self.w_intra:
            logits = wide(networks.intra[name](reconstructed))
            terms["intra"] = (self.w_intra, self.losses.generator(logits))
        if self.w_reconstruction:
            distance = mse_loss if self.reconstruction == "mse" else l1_loss
            terms["reconstruction"] = (self.w_reconstruction, distance(reconstructed, original))
        return terms

    def _logits(
        self, discriminator: nn.Module, pairs: tuple[tuple[Tensor, Tensor], ...]
    ) -> tuple[Tensor, ...]:
        """Return logits of each pair, every pair its own batch to the normalisation or all one."""
        if self.batch_norm == "separate":
            return tuple(wide(discriminator(common, original)) for common, original in pairs)
        commons, originals = zip(*pairs, strict=True)
        logits: Tensor = discriminator(torch.cat(commons), torch.cat(originals))
        return wide(logits).chunk(len(pairs))

    def _judged(self, name: str, loss: Tensor, real: Tensor, *fakes: Tensor) -> Outcome:
        accuracy = share_right(real, *fakes)
        return Outcome(loss, {f"{name}_loss": loss.detach(), f"{name}_accuracy": accuracy})


def wide(values: Tensor) -> Tensor:
    """Return values of half precision as float32, and others as they are."""
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values


def decode(generator: Generator, common: Tensor) -> Tensor:
    """Return the reconstruction (n, d) of common representations."""
    assert generator.decoder is not None, "no decoder was built"
    reconstructed: Tensor = generator.decoder(common)
    return reconstructed


def classify(generator: Generator, common: Tensor) -> Tensor:
    """Return class logits (n, c) of common representations."""
    assert generator.head is not None, "no class head was built"
    logits: Tensor = generator.head(common)
    return wide(logits)
