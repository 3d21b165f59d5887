"""Checks of what goes wrong or is interrupted: bad input, few rows, pickling, kills, GPUs, sizes."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cmbench.datasets.draft import Split
from cmbench.errors import CmbenchError
from cmbench.evaluation.evaluator import bimodal_map
from cmbench.methods.conformance.subject import (
    ATOL,
    IMAGE_WIDTH,
    MARGIN,
    RTOL,
    NonconformityError,
    Skipped,
    Subject,
    chosen_parts,
    easy_pairs,
    mapped,
    pairs_of,
)


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
import importlib.util, pathlib, pickle, sys
pickled, out, name, file = sys.argv[1:5]
sys.path += [entry for entry in sys.argv[5:] if entry not in sys.path]
import numpy as np
from cmbench.methods.conformance.subject import mapped
from cmbench.methods.plugins import PREFIX, import_plugin
try:
    importlib.import_module(name)
except ImportError:  # of a file that is no module on the path
    if name.startswith(PREFIX):
        import_plugin(pathlib.Path(file))
    else:
        for end in [place for place, letter in enumerate(name) if letter == "."]:
            sys.modules.setdefault(name[:end], type(sys)(name[:end]))
        spec = importlib.util.spec_from_file_location(name, file)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
method, test = pickle.loads(pathlib.Path(pickled).read_bytes())
images, texts = mapped(method, test)
np.savez(out, images=images, texts=texts)
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
