"""CM-GANs as the authors' released training program runs it."""

from __future__ import annotations

import os
from typing import ClassVar

from cmbench.methods.cmgans import CMGANs


class CMGANsRelease(CMGANs):
    """CM-GANs with the choices of the released program (PKU-ICST-MIPL/CM-GANS_TOMM2019).

    Differs from ``CMGANs`` in LeakyReLU of slope 0.2, a class head for each modality, second
    encoder layers that are equal at the start only (the program asks for sharing, and then
    undoes it by moving each network to the GPU on its own), one batch for the discriminators and
    all generator steps of a round, and a fixed number of epochs without a look at validation,
    after which the last state is kept. The rest is as in ``CMGANs``: among it the learning rate
    halved every 100 epochs, so that little happens after the 1,000th of the 2,000.

    Parameters
    ----------
    epochs : int
    others : as in ``CMGANs``; ``eval_every`` is how often the curves have a point

    Examples
    --------
    >>> CMGANsRelease(epochs=400).tie
    'init_only'
    """

    name: ClassVar[str] = "cmgans-release"
    paper_name: ClassVar[str] = "CM-GANs (release)"

    def __init__(
        self,
        embedding: int = 1024,
        hidden: int = 1024,
        discriminator_width: int = 512,
        *,
        epochs: int = 2000,
        generator_steps: int = 5,
        mismatch: str = "own",
        w_inter: float = 1.0,
        w_intra: float = 1.0,
        w_semantic: float = 1.0,
        learning_rate: float = 1e-3,
        halve_every: int = 100,
        batch_size: int = 64,
        eval_every: int = 10,
        preprocessing: str = "none",
        post: str = "none",
        gradient_clip: float | str = "off",
        device: str = "auto",
        precision: str = "auto",
        threads: int | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_seconds: float = 60.0,
        random_state: int = 0,
    ) -> None:
        super().__init__(
            embedding,
            hidden,
            discriminator_width,
            activation="leaky",
            head="separate",
            tie="init_only",
            resample=False,
            stopping="none",
            epochs=epochs,
            generator_steps=generator_steps,
            mismatch=mismatch,
            w_inter=w_inter,
            w_intra=w_intra,
            w_semantic=w_semantic,
            learning_rate=learning_rate,
            halve_every=halve_every,
            batch_size=batch_size,
            eval_every=eval_every,
            preprocessing=preprocessing,
            post=post,
            gradient_clip=gradient_clip,
            device=device,
            precision=precision,
            threads=threads,
            checkpoint=checkpoint,
            checkpoint_seconds=checkpoint_seconds,
            random_state=random_state,
        )
