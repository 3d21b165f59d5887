"""What every method has to keep, as checks that serve the command line and pytest alike.

A check is a function of a ``Subject``, a method with the parameters it is tried with, and raises
``NonconformityError`` with one sentence that names the remedy. A method that cannot keep a check says so,
with a reason, in the class attribute ``nonconforming`` ::

    nonconforming = {"seeds_differ": "the seed draws a few rows for a width, which seldom changes it"}

``check`` runs all of them and returns what came out; ``parametrize_with_checks`` makes tests of them ::

    @parametrize_with_checks([MyMethod], {MyMethod: {"epochs": 3}})
    def test_my_method_conforms(subject, check):
        check(subject)
"""

from __future__ import annotations

import inspect
import pickle
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
from sklearn.base import clone

from cmbench.datasets.draft import Split
from cmbench.errors import CmbenchError, MethodError
from cmbench.evaluation.evaluator import bimodal_map
from cmbench.methods.contract import Method
from cmbench.methods.easy_pairs import (
    IMAGE_WIDTH,
    Subject,
    chosen_parts,
    easy_pairs,
    mapped,
    pairs_of,
    parts_of,
)

RTOL, ATOL = 1e-3, 1e-4  # what rounding in float32 may change, magnified where outputs are standardised
MARGIN = 0.1  # by which the MAP on the easy pairs must pass chance


class NonconformityError(MethodError):
    """A method does not keep what every method has to keep."""


Check = Callable[[Subject], None]
Status = Literal["passed", "failed", "expected", "skipped"]


@dataclass(frozen=True)
class Finding:
    """What came out of a check: ``message`` tells what failed, or why a failure is expected."""

    check: str
    status: Status
    message: str = ""


class Skipped(Exception):
    """A check does not apply to the method; the text says why."""


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
                "records "
                "state a setting that was not run; store it as it is, and convert it in fit"
            )
    defaults = {name: each.default for name, each in inspect.signature(subject.method).parameters.items()}
    plain = subject.method() if inspect.Parameter.empty not in defaults.values() else method
    for name, default in defaults.items():
        if plain is not method and getattr(plain, name) is not default and getattr(plain, name) != default:
            raise NonconformityError(
                f"the constructor changes the default of {name!r} from {default!r} to "
                f"{getattr(plain, name)!r}; "
                "store it as it is, and convert it in fit"
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
    before = _global_states()
    mapped(subject.fitted(train, validation), test)
    changed = [name for name, state in _global_states().items() if state != before[name]]
    if changed:
        raise NonconformityError(
            f"fit or transform uses the global random state of {' and '.join(changed)}; draw from a "
            "generator "
            "of its own, seeded with self.random_state"
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
                "it "
                "learned from test items; use statistics of the training pairs, computed in fit"
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
                "numbers, "
                f"({len(test)}, k) with k of at least 1"
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
            "images "
            "still the partner of row i of the texts, and do both transforms map into the same space?"
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


def _without_a_category(split: Split) -> Split:
    return replace(split, labels=np.zeros_like(split.labels))


def _with_nan(split: Split) -> Split:
    images = split.images.copy()
    images[3, 2] = np.nan
    return replace(split, images=images)


def _mismatched(split: Split) -> Split:
    return replace(split, texts=split.texts[:-1])


def refuses_what_it_cannot_learn_from(subject: Subject) -> None:
    """NaN and mismatched rows are errors with a message, and so is one category where labels are used."""
    train, validation, _ = easy_pairs()
    broken = {"NaN in the images": _with_nan(train), "a text missing": _mismatched(train)}
    if subject.method.uses_labels:
        broken["one category alone"] = _without_a_category(train)
    for what, split in broken.items():
        with _told(f"training pairs with {what}"):
            subject.fitted(split, validation)


def refuses_features_of_another_width(subject: Subject) -> None:
    """Features of another width than in training are an error with a message."""
    test = easy_pairs()[2]
    narrower = replace(test, images=test.images[:, :-1].copy(), texts=test.texts[:, :-1].copy())
    with _told("features of another width"):
        mapped(subject.example, narrower)


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Expect an error that says something, about what the method was given."""
    try:
        yield
    except (CmbenchError, ValueError) as error:
        if str(error).strip():
            return
        raise NonconformityError(f"{what} raise an error without a message; say what is wrong") from error
    except Exception as error:
        raise NonconformityError(
            f"{what} raise {type(error).__name__}, which a user does not understand; raise MethodError with "
            "what is wrong and the remedy (check_training_pairs in cmbench.methods.views.inputs does)"
        ) from error
    raise NonconformityError(
        f"{what} are accepted without a word; raise MethodError with what is wrong and the remedy"
    )


def learns_from_few_rows(subject: Subject) -> None:
    """Fewer training pairs than features are learned from, or refused with a message."""
    train, validation, test = easy_pairs()
    few = replace(
        train,
        **{name: getattr(train, name)[:8] for name in ("images", "texts", "labels", "ids")},
        image_parts=chosen_parts(train.image_parts, np.arange(8)),
        text_parts=chosen_parts(train.text_parts, np.arange(8)),
    )
    try:
        found = mapped(subject.fitted(few, validation), test)
    except CmbenchError:
        return
    except Exception as error:
        raise NonconformityError(
            f"8 pairs of {IMAGE_WIDTH} features raise {type(error).__name__} ({error}); regularise, or raise "
            "MethodError that says how many are needed"
        ) from error
    if not all(np.isfinite(rows).all() for rows in found):
        raise NonconformityError(f"8 pairs of {IMAGE_WIDTH} features give NaN; a covariance may be singular")


def survives_pickling(subject: Subject) -> None:
    """A fitted method, pickled and read in a process of its own, maps alike."""
    test = easy_pairs()[2]
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "method.pickle", Path(folder) / "mapped.npz"
        try:
            path.write_bytes(pickle.dumps((subject.example, test)))
        except Exception as error:
            raise NonconformityError(
                f"a fitted method cannot be pickled ({error}); keep no lambda, file or generator in it"
            ) from error
        home = [subject.method.__module__, inspect.getsourcefile(subject.method) or ""]
        command = [sys.executable, "-P", "-c", _UNPICKLE, str(path), str(out), *home, *sys.path]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else done.returncode
            raise NonconformityError(f"a pickled method cannot be used in another process ({last})")
        with np.load(out, allow_pickle=False) as file:
            again = [file["images"], file["texts"]]
    here = mapped(subject.example, test)
    if not all(np.allclose(one, two, rtol=RTOL, atol=ATOL) for one, two in zip(here, again, strict=True)):
        raise NonconformityError("a pickled method maps otherwise; fitted state is kept outside the object")


_UNPICKLE = """
import importlib.util, pickle, sys
sys.path += [entry for entry in sys.argv[5:] if entry not in sys.path]
import numpy as np
try:
    importlib.import_module(sys.argv[3])
except ImportError:  # a plugin, which is a file and not a module on the path
    for end, letter in enumerate(sys.argv[3]):
        if letter == ".":
            sys.modules.setdefault(sys.argv[3][:end], type(sys)(sys.argv[3][:end]))
    spec = importlib.util.spec_from_file_location(*sys.argv[3:5])
    sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[spec.name])
from cmbench.methods.easy_pairs import mapped
with open(sys.argv[1], "rb") as file:
    method, test = pickle.load(file)
images, texts = mapped(method, test)
np.savez(sys.argv[2], images=images, texts=texts)
"""


def goes_on_from_its_checkpoint(subject: Subject) -> None:
    """A fit that is interrupted after its first checkpoint ends, when run again, as if it had not been."""
    if "checkpoint" not in subject.method.practical:
        raise Skipped("keeps no checkpoint")
    train, validation, test = easy_pairs()
    often = {"checkpoint_seconds": 0.0} if "checkpoint_seconds" in subject.arguments else {}
    with tempfile.TemporaryDirectory() as folder:
        _interrupted(subject, train, validation, {"checkpoint": folder, **often})
        resumed = subject.fitted(train, validation, checkpoint=folder, **often)
    if not all(
        np.array_equal(*both)
        for both in zip(mapped(subject.example, test), mapped(resumed, test), strict=True)
    ):
        raise NonconformityError(
            "a fit that went on from its checkpoint ends otherwise; save the states of optimisers and of "
            "random "
            "generators with the weights"
        )


class _Interruption(BaseException):
    """Ends a fit from within, as a kill does: no handler for errors catches it."""


def _interrupted(subject: Subject, train: Split, validation: Split, changes: Mapping[str, Any]) -> None:
    """Fit until a checkpoint has been written, and stop there."""
    folder = Path(changes["checkpoint"])

    def watch(frame: Any, event: str, argument: Any) -> Any:
        if event == "call" and any(path.name[0] != "." for path in folder.iterdir()):
            raise _Interruption
        return None

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        subject.fitted(train, validation, **changes)
    except _Interruption:
        pass
    finally:
        sys.setprofile(before)


def gives_the_same_on_a_gpu(subject: Subject) -> None:
    """Trained on a GPU, where there is one, it retrieves about as well."""
    torch = sys.modules.get("torch")
    if "device" not in subject.arguments:
        raise Skipped("has no device")
    if torch is None or not torch.cuda.is_available():
        raise Skipped("there is no GPU")
    train, validation, test = easy_pairs()
    maps = [
        bimodal_map(*mapped(subject.fitted(train, validation, device=device), test), test.labels)
        for device in ("cpu", "cuda")
    ]
    if abs(maps[0] - maps[1]) > MARGIN:
        raise NonconformityError(
            f"MAP is {maps[0]:.3f} on the processor and {maps[1]:.3f} on the GPU; do all tensors of a loss "
            "lie "
            "on one device, in one precision?"
        )


def takes_time_as_pairs_do(subject: Subject) -> None:
    """Eight times the pairs take at most forty times as long: a cubic method would not end on real data."""
    train, validation, _ = easy_pairs()
    large = pairs_of("train", 8 * len(train), 5)
    seconds = []
    for split in (train, large):
        start = time.process_time()
        subject.fitted(split, validation)
        seconds.append(time.process_time() - start)
    if seconds[1] > 2 and seconds[1] > 40 * seconds[0]:
        raise NonconformityError(
            f"{len(large)} pairs take {seconds[1]:.1f} s of processor time and {len(train)} take "
            f"{seconds[0]:.1f} s; avoid matrices of pairs by pairs, or solve them by a low-rank factor"
        )


CHECKS: tuple[Check, ...] = (
    stores_its_parameters,
    can_be_cloned,
    gives_usable_representations,
    beats_chance,
    maps_row_by_row,
    repeats_itself,
    leaves_global_numbers_alone,
    seeds_differ,
    leaves_its_input_alone,
    says_whether_it_uses_labels,
    looks_at_parts,
    refuses_what_it_cannot_learn_from,
    refuses_features_of_another_width,
    learns_from_few_rows,
    survives_pickling,
    goes_on_from_its_checkpoint,
    gives_the_same_on_a_gpu,
    takes_time_as_pairs_do,
)


def check(method: type[Method], parameters: Mapping[str, Any] | None = None) -> list[Finding]:
    """Return what came out of every check of a method, with these parameters in place of its defaults."""
    subject = Subject(method, parameters or {})
    return [finding_of(each, subject) for each in CHECKS]


def finding_of(check: Check, subject: Subject) -> Finding:
    """Run a check and return what came out; an error of the method counts as a failure."""
    reasons, name = subject.method.nonconforming, check.__name__
    try:
        check(subject)
    except Skipped as reason:
        return Finding(name, "skipped", str(reason))
    except NonconformityError as error:
        message = str(error)
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
    else:
        return Finding(name, "passed")
    return Finding(name, "expected", reasons[name]) if name in reasons else Finding(name, "failed", message)


def parametrize_with_checks(
    methods: Sequence[type[Method]], parameters: Mapping[type[Method], Mapping[str, Any]] | None = None
) -> Any:
    """Return a decorator that runs a test with ``subject`` and ``check`` for every method and check.

    A check that a method says it cannot keep is an expected failure, with the method's reason. Needs pytest.
    """
    import pytest

    subjects = [Subject(method, (parameters or {}).get(method, {})) for method in methods]
    cases = [
        pytest.param(
            subject, check, id=f"{subject.method.name}-{check.__name__}", marks=_marks(subject, check, pytest)
        )
        for subject, check in product(subjects, CHECKS)
    ]
    return pytest.mark.parametrize(("subject", "check"), cases)


def _marks(subject: Subject, check: Check, pytest: Any) -> list[Any]:
    reason = subject.method.nonconforming.get(check.__name__)
    return [] if reason is None else [pytest.mark.xfail(reason=reason, strict=True)]
