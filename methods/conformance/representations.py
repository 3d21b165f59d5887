"""Checks of parameters and of what is made of items: usable, repeatable, a row for itself."""

from __future__ import annotations

import inspect
import random
import sys
from dataclasses import replace

import numpy as np
from sklearn.base import clone

from cmbench.evaluation.evaluator import bimodal_map
from cmbench.methods.conformance.subject import (
    ATOL,
    MARGIN,
    RTOL,
    NonconformityError,
    Skipped,
    Subject,
    easy_pairs,
    mapped,
    parts_of,
)


def stores_its_parameters(subject: Subject) -> None:
    """The constructor stores what it is given, untouched, under the same names."""
    given = {**subject.parameters}
    method = subject.new()
    for name in subject.arguments:
        if not hasattr(method, name):
            raise NonconformityError(f"the constructor does not store {name!r}; write self.{name} = {name}")
    for name, value in given.items():
        if getattr(method, name) is not value and getattr(method, name) != value:
            raise NonconformityError(
                f"the constructor changes {name!r} from {value!r} to {getattr(method, name)!r}, so that "
                "records state a setting that was not run; store it as it is, and convert it in fit"
            )
    defaults = {name: each.default for name, each in inspect.signature(subject.method).parameters.items()}
    plain = subject.method() if inspect.Parameter.empty not in defaults.values() else method
    for name, default in defaults.items():
        if plain is not method and getattr(plain, name) is not default and getattr(plain, name) != default:
            raise NonconformityError(
                f"the constructor changes the default of {name!r} from {default!r} to "
                f"{getattr(plain, name)!r}; store it as it is, and convert it in fit"
            )


def can_be_cloned(subject: Subject) -> None:
    """``get_params``, ``set_params`` and ``sklearn.base.clone`` work, and ``fit`` changes no parameter."""
    method = subject.new()
    try:
        copy = clone(method)
    except (RuntimeError, TypeError) as error:
        raise NonconformityError(
            f"sklearn.base.clone fails ({error}); store each argument as given"
        ) from error
    if copy.get_params() != method.get_params():
        raise NonconformityError("a clone has other parameters; the constructor must store them untouched")
    if subject.example.get_params() != method.get_params():
        raise NonconformityError("fit changes parameters; keep what it finds in attributes that end in _")


def repeats_itself(subject: Subject) -> None:
    """Two fits with one seed give the same representations, whatever global random numbers were drawn."""
    train, validation, test = easy_pairs()
    _draw_global_numbers()
    again = mapped(subject.fitted(train, validation), test)
    for one, other, modality in zip(mapped(subject.example, test), again, ("image", "text"), strict=True):
        if not np.array_equal(one, other):
            raise NonconformityError(
                f"two fits with the same seed give other {modality} representations; draw all random numbers "
                "from np.random.default_rng(self.random_state), or a torch.Generator seeded with it"
            )


def leaves_global_numbers_alone(subject: Subject) -> None:
    """``fit`` and the transforms neither draw from global random states nor set them."""
    train, validation, test = easy_pairs()
    _draw_global_numbers()  # a state that no fit leaves, not even one that sets it
    before = _global_states()
    mapped(subject.fitted(train, validation), test)
    changed = [name for name, state in _global_states().items() if state != before[name]]
    if changed:
        raise NonconformityError(
            f"fit or transform uses the global random state of {' and '.join(changed)}; draw from a "
            "generator of its own, seeded with self.random_state"
        )


def _global_states() -> dict[str, str]:
    states = {"random": repr(random.getstate()), "numpy.random": repr(np.random.get_state())}  # noqa: NPY002
    torch = sys.modules.get("torch")
    return states if torch is None else {**states, "torch": repr(torch.get_rng_state().tolist())}


def _draw_global_numbers() -> None:
    random.random()
    np.random.random()  # noqa: NPY002
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.rand(1)


def seeds_differ(subject: Subject) -> None:
    """Another ``random_state`` gives other representations."""
    if "random_state" not in subject.arguments:
        raise Skipped("has no random_state, and is run once")
    train, validation, test = easy_pairs()
    other = mapped(subject.fitted(train, validation, random_state=1), test)
    if all(np.array_equal(*both) for both in zip(mapped(subject.example, test), other, strict=True)):
        raise NonconformityError(
            "another random_state changes nothing, so that the spread over seeds would be 0; draw random "
            "numbers from it, or leave the parameter out"
        )


def maps_row_by_row(subject: Subject) -> None:
    """A row gives the same alone, in a batch, and in another order: nothing is learned from test items."""
    test = easy_pairs()[2]
    order = np.random.default_rng(0).permutation(len(test))
    whole = mapped(subject.example, test)
    shuffled = mapped(subject.example, test, order)
    alone = mapped(subject.example, test, slice(3, 4))
    for at, modality in enumerate(("images", "texts")):
        same_order = np.allclose(shuffled[at], whole[at][order], rtol=RTOL, atol=ATOL)
        if not same_order or not np.allclose(alone[at][0], whole[at][3], rtol=RTOL, atol=ATOL):
            raise NonconformityError(
                f"transform_{modality} gives an item another representation alone than among others, as if "
                "it learned from test items; use statistics of the training pairs, computed in fit"
            )


def gives_usable_representations(subject: Subject) -> None:
    """Representations are finite real matrices of one width, a row for each item, and not all the same."""
    test = easy_pairs()[2]
    images, texts = mapped(subject.example, test)
    for rows, modality in ((images, "images"), (texts, "texts")):
        name = f"transform_{modality}"
        if rows.ndim != 2 or len(rows) != len(test) or rows.shape[1] == 0 or rows.dtype.kind not in "fiu":
            raise NonconformityError(
                f"{name} returned {rows.dtype} of shape {rows.shape} for {len(test)} items; return real "
                f"numbers, ({len(test)}, k) with k of at least 1"
            )
        if not np.isfinite(rows).all():
            raise NonconformityError(
                f"{name} returned NaN or infinity; look for a division by 0 or a log of 0"
            )
        if np.ptp(rows, axis=0).max() == 0:
            raise NonconformityError(
                f"{name} returned the same row for every item; what is learned gets lost"
            )
    if images.shape[1] != texts.shape[1]:
        raise NonconformityError(
            f"images have {images.shape[1]} dimensions and texts {texts.shape[1]}; both must share one space"
        )


def beats_chance(subject: Subject) -> None:
    """On four categories that lie well apart, MAP is above that of random rankings."""
    test = easy_pairs()[2]
    found = bimodal_map(*mapped(subject.example, test), test.labels)
    shuffled = np.random.default_rng(0).permutation(test.labels)
    chance = bimodal_map(*mapped(subject.example, test), shuffled)
    if found < chance + MARGIN:
        raise NonconformityError(
            f"MAP is {found:.3f} on easy pairs, where shuffled labels give {chance:.3f}; is row i of the "
            "images still the partner of row i of the texts, and do both transforms map into the same space?"
        )


def leaves_its_input_alone(subject: Subject) -> None:
    """``fit`` and the transforms change none of the arrays they are given."""
    splits, untouched = easy_pairs(), easy_pairs()
    mapped(subject.fitted(*splits[:2]), splits[2])
    for split, before in zip(splits, untouched, strict=True):
        for name in ("images", "texts", "labels"):
            if not np.array_equal(getattr(split, name), getattr(before, name)):
                raise NonconformityError(
                    f"fit or transform changes the {name} it is given, which other cells share; work on a "
                    "copy"
                )


def says_whether_it_uses_labels(subject: Subject) -> None:
    """Other training labels change representations exactly where ``uses_labels`` says so."""
    train, validation, test = easy_pairs()
    labels = np.random.default_rng(0).permutation(train.labels)
    other = mapped(subject.fitted(replace(train, labels=labels), validation), test)
    same = all(np.array_equal(*both) for both in zip(mapped(subject.example, test), other, strict=True))
    if subject.method.uses_labels and same:
        raise NonconformityError("other training labels change nothing; set uses_labels = False")
    if not subject.method.uses_labels and not same:
        raise NonconformityError("training labels change the representations; set uses_labels = True")


def looks_at_parts(subject: Subject) -> None:
    """A method that says ``uses_parts`` maps an item by its parts too."""
    if not subject.method.uses_parts:
        raise Skipped("does not use parts")
    test = easy_pairs()[2]
    other = replace(test, image_parts=parts_of(test.images[::-1].copy(), np.random.default_rng(0)))
    if np.array_equal(mapped(subject.example, test)[0], mapped(subject.example, other)[0]):
        raise NonconformityError("other parts change no image's representation; set uses_parts = False")
