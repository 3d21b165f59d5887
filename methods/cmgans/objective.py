"""What each network of CM-GANs minimises: equations 5 to 10 of the paper.

Notation: an image and a text with features h_i and h_t make a pair of class y. The generators give them
common representations s_i and s_t and reconstructed features r_i and r_t. A hat, as in ŝ_i and ĥ_i, is on a
mismatched pair: one that is drawn beside the pair and is of another category. CE is the cross-entropy. D_I,
D_T, D_Ci and D_Ct are probabilities, the logistic function of the logits of the four discriminators.

The paper maximises equations 5 to 8; the discriminators minimise their negatives ::

    L_DI  = -log D_I(h_i) - log(1 - D_I(r_i))                                        (5)
    L_DT  = -log D_T(h_t) - log(1 - D_T(r_t))                                        (6)
    L_DCi = -log D_Ci(s_i, h_i) - ½ log(1 - D_Ci(s_t, h_i)) - ½ log(1 - D_Ci(ŝ_i, ĥ_i))    (7)
    L_DCt = -log D_Ct(s_t, h_t) - ½ log(1 - D_Ct(s_i, h_t)) - ½ log(1 - D_Ct(ŝ_t, ĥ_t))    (8)

and the generators minimise ::

    L_GI = -w_inter log D_Ct(s_i, h_t) - w_intra log D_I(r_i) + w_semantic CE(head(s_i), y)     (9)
    L_GT = -w_inter log D_Ci(s_t, h_i) - w_intra log D_T(r_t) + w_semantic CE(head(s_t), y)    (10)

so an image's s is to pass as that of a text, a text's as that of an image, and each reconstruction as
original features. All terms are means over the pairs of a batch.

A consequence of (7), and alike of (8): its real pair (s_i, h_i) and its mismatched pair (ŝ_i, ĥ_i) are both
what a true image gives, and with balanced categories they have the same distribution. Where both fall alike,
the discriminator can only choose one value D for them. The loss -log D - ½ log(1 - D) is least at D = 2/3,
where it is log 1.5 + ½ log 3 = 0.955: telling these two apart teaches nothing. With ``mismatch="anchor"`` the
mismatched pair is (ŝ_i, h_i) instead, whose parts do not belong together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, l1_loss, mse_loss, softplus

from cmbench.datasets.draft import Modality
from cmbench.methods.cmgans.networks import Networks, at_least_float32
from cmbench.methods.training.trained_method import Loss
from cmbench.methods.views.inputs import MODALITIES, OTHER

if TYPE_CHECKING:
    from cmbench.methods.cmgans.method import CMGANs


@dataclass(frozen=True)
class AdversarialLosses:
    """The losses of discriminators and the adversarial term of generators, from logits of any shape.

    D is the logistic function of a logit. All losses are means over the logits.

    Parameters
    ----------
    form : the term that a generator minimises. ``"non-saturating"`` is -log D, whose slope stays steep while
        the discriminator sees through the generator. ``"saturating"`` is log(1 - D), as equations 2 to 4
        imply. ``"literal"`` is log D, the sign that is printed in equations 9 and 10; descending it, as
        Algorithm 1 says, makes the generator worse.
    scale : ``"log"`` for logarithms as above; ``"linear"`` has D in place of log D and -D in place of
        log(1 - D), as equations 3 and 4 are printed
    fake_weight : weight of each of the two kinds of fakes that an inter-modality discriminator judges

    Examples
    --------
    >>> import torch
    >>> round(AdversarialLosses().intra_modality(torch.zeros(4), torch.zeros(4)).item(), 4)  # 2 log 2
    1.3863
    """

    form: str = "non-saturating"
    scale: str = "log"
    fake_weight: float = 0.5

    def of_real(self, logits: Tensor) -> Tensor:
        """Return the loss of judging what is real: -log D."""
        # With D = 1 / (1 + exp(-x)), -log D = log(1 + exp(-x)) = softplus(-x), which never overflows
        return softplus(-logits).mean() if self.scale == "log" else -logits.sigmoid().mean()

    def of_fake(self, logits: Tensor) -> Tensor:
        """Return the loss of judging a fake: -log(1 - D)."""
        # Likewise -log(1 - D) = log(1 + exp(x)) = softplus(x)
        return softplus(logits).mean() if self.scale == "log" else logits.sigmoid().mean()

    def intra_modality(self, original: Tensor, reconstructed: Tensor) -> Tensor:
        """Return the loss of an intra-modality discriminator: the negative of equation 5 or 6."""
        return self.of_real(original) + self.of_fake(reconstructed)

    def inter_modality(self, matched: Tensor, crossed: Tensor, mismatched: Tensor) -> Tensor:
        """Return the loss of an inter-modality discriminator: the negative of equation 7 or 8.

        ``matched`` are logits of s beside its own features, ``crossed`` those of the s of the other
        modality, and ``mismatched`` those of mismatched pairs.
        """
        fakes = self.of_fake(crossed) + self.of_fake(mismatched)
        return self.of_real(matched) + self.fake_weight * fakes

    def of_generator(self, logits: Tensor) -> Tensor:
        """Return the term that a generator minimises, given the logits of what it made."""
        if self.form == "non-saturating":
            return self.of_real(logits)  # -log D: as if the fake were real
        return -self.of_fake(logits) if self.form == "saturating" else -self.of_real(logits)


def accuracy(real: Tensor, *fakes: Tensor) -> Tensor:
    """Return the share of logits on the right side of 0; real ones count one half, all fakes the other.

    >>> import torch
    >>> accuracy(torch.tensor([1.0, -1.0]), torch.tensor([-1.0, -2.0])).item()
    0.75
    """
    right = [(logits.detach() < 0).float().mean() for logits in fakes]
    return ((real.detach() > 0).float().mean() + sum(right) / len(right)) / 2


ByModality: TypeAlias = dict[Modality, Tensor]
WeightedTerms: TypeAlias = dict[str, tuple[float, Tensor]]  # weight and value of each term, by name


@dataclass(frozen=True, eq=False)
class Batch:
    """Original features of pairs, (n, d) by modality, and their class numbers (n,) counted from 0."""

    features: ByModality
    classes: Tensor


@dataclass(frozen=True, eq=False)
class Generated:
    """What the generators make of a batch, as data for the discriminators, without a graph.

    Parameters
    ----------
    common : common representations s of the pairs of the batch
    reconstructed : their reconstructed features r; empty without intra-modality discriminators
    mismatched : common representations ŝ of mismatched pairs; empty without inter-modality discriminators
    """

    common: ByModality
    reconstructed: ByModality
    mismatched: ByModality


class Objective:
    """The losses of given networks, with the weights and choices that the parameters of a method say.

    A term of weight 0 is never evaluated. The curves of each loss are returned along with it. ``variances``
    are those of the features of each modality, relative to which reconstruction errors may be measured.
    """

    def __init__(
        self, method: CMGANs, networks: Networks, variances: Mapping[Modality, float] | None = None
    ) -> None:
        self.method, self.networks = method, networks
        self.variances = variances or dict.fromkeys(MODALITIES, 1.0)
        self.adversarial = AdversarialLosses(method.generator_loss, method.loss_scale, method.fake_weight)

    def generate(self, features: ByModality, mismatched: ByModality) -> Generated:
        """Run the generators on the features of a batch and of mismatched pairs, for the discriminators."""
        generators = self.networks.generators
        with torch.no_grad():
            common = {modality: generators[modality](features[modality]) for modality in MODALITIES}
            reconstructed = {
                modality: generators[modality].decode(common[modality])
                for modality in self.networks.intra_discriminators
            }
            of_mismatched = {
                modality: generators[modality](mismatched[modality])
                for modality in self.networks.inter_discriminators
            }
        return Generated(common, reconstructed, of_mismatched)

    def intra_discriminator_loss(
        self, modality: Modality, features: ByModality, generated: Generated
    ) -> Loss:
        """Return L_DI or L_DT, equations 5 and 6."""
        discriminator = self.networks.intra_discriminators[modality]
        real = at_least_float32(discriminator(features[modality]))
        fake = at_least_float32(discriminator(generated.reconstructed[modality]))
        loss = self.adversarial.intra_modality(real, fake)
        return _with_curves(f"D_intra_{modality}", loss, accuracy(real, fake))

    def inter_discriminator_loss(
        self, modality: Modality, features: ByModality, mismatched: ByModality, generated: Generated
    ) -> Loss:
        """Return L_DCi or L_DCt, equations 7 and 8.

        ``features`` and ``mismatched`` are those that ``generated`` was made of.
        """
        own = features[modality]
        of_mismatched = mismatched[modality] if self.method.mismatch == "own" else own
        # Each input is a common representation beside features: matched, crossed and mismatched
        inputs = (
            (generated.common[modality], own),
            (generated.common[OTHER[modality]], own),
            (generated.mismatched[modality], of_mismatched),
        )
        logits = self._inter_logits(self.networks.inter_discriminators[modality], inputs)
        loss = self.adversarial.inter_modality(*logits)
        return _with_curves(f"D_inter_{modality}", loss, accuracy(*logits))

    def generator_loss(self, modality: Modality, batch: Batch) -> Loss:
        """Return L_GI or L_GT, equations 9 and 10, with the reconstruction error if it has a weight."""
        method, generator = self.method, self.networks.generators[modality]
        original, other = batch.features[modality], OTHER[modality]
        terms: WeightedTerms = {}
        curves: dict[str, Tensor] = {}
        common = generator(original)
        if method.needs_decoder:
            reconstructed = at_least_float32(generator.decode(common))
            terms |= self._reconstruction_terms(modality, original, reconstructed)
            # Far from 1 where a decoder runs away along the weights of its discriminator
            curves[f"G_{modality}_magnitude"] = reconstructed.detach().norm() / original.norm()
        if method.w_inter:
            # The discriminator of the other modality, beside the features of the partner
            logits = self.networks.inter_discriminators[other](common, batch.features[other])
            terms["inter"] = (method.w_inter, self.adversarial.of_generator(at_least_float32(logits)))
        if method.w_semantic:
            class_loss = cross_entropy(generator.classify(common), batch.classes)
            terms["semantic"] = (method.w_semantic, class_loss)
        curves |= {f"G_{modality}_{name}_loss": value.detach() for name, (_, value) in terms.items()}
        return Loss(torch.stack([weight * value for weight, value in terms.values()]).sum(), curves)

    def _reconstruction_terms(
        self, modality: Modality, original: Tensor, reconstructed: Tensor
    ) -> WeightedTerms:
        """Return the terms that depend on reconstructed features."""
        method = self.method
        terms: WeightedTerms = {}
        if method.w_intra:
            logits = at_least_float32(self.networks.intra_discriminators[modality](reconstructed))
            terms["intra"] = (method.w_intra, self.adversarial.of_generator(logits))
        if method.w_reconstruction:
            error = l1_loss if method.reconstruction == "l1" else mse_loss
            unit = self.variances[modality] if method.reconstruction == "relative" else 1.0
            terms["reconstruction"] = (method.w_reconstruction, error(reconstructed, original) / unit)
        return terms

    def _inter_logits(
        self, discriminator: nn.Module, inputs: tuple[tuple[Tensor, Tensor], ...]
    ) -> tuple[Tensor, ...]:
        """Return the logits (n, 1) of each input, a common representation beside features.

        Batch normalisation takes its statistics over each input, or with ``batch_norm="joined"`` over all.
        """
        if self.method.batch_norm == "separate":
            return tuple(at_least_float32(discriminator(*each)) for each in inputs)
        common, features = (torch.cat(each) for each in zip(*inputs, strict=True))
        logits = at_least_float32(discriminator(common, features))
        return logits.chunk(len(inputs))


def _with_curves(discriminator: str, loss: Tensor, right: Tensor) -> Loss:
    return Loss(loss, {f"{discriminator}_loss": loss.detach(), f"{discriminator}_accuracy": right})
