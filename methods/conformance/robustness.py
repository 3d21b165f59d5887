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
from cmbench.methods.conformance.memory import peak_growth
from cmbench.methods.conformance.subject import (
    ATOL,
    IMAGE_WIDTH,
    MARGIN,
    RTOL,
    NonconformityError,
    Skipped,
    Subject,
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


def _with_infinity(split: Split) -> Split:
    texts = split.texts.copy()
    texts[5, 1] = np.inf
    return replace(split, texts=texts)


def _mismatched(split: Split) -> Split:
    return replace(split, texts=split.texts[:-1])


def refuses_what_it_cannot_learn_from(subject: Subject) -> None:
    """NaN and mismatched rows are errors with a message, and so is one category where labels are used."""
    train, validation, _ = easy_pairs()
    broken = {
        "NaN in the images": _with_nan(train),
        "infinity in the texts": _with_infinity(train),
        "a text missing": _mismatched(train),
    }
    if subject.method.uses_labels:
        broken["one category alone"] = _without_a_category(train)
    for what, split in broken.items():
        with _told(f"training pairs with {what}"):
            subject.fitted(split, validation)


def copes_with_an_unseen_category(subject: Subject) -> None:
    """Validation pairs of a category without training pairs are learned with, or refused with a message.

    Labels of training then have a gap: three categories are left, called 0, 1 and 3.
    """
    train, validation, test = easy_pairs()
    fewer = train.take(np.flatnonzero(train.labels != 2))
    try:
        found = mapped(subject.fitted(fewer, validation), test)
    except CmbenchError:
        return
    except Exception as error:
        raise NonconformityError(
            f"validation pairs of a category without training pairs raise {type(error).__name__} ({error}); "
            "count classes with np.unique(train.labels), and raise MethodError for others (class_numbers in "
            "cmbench.methods.views.inputs does)"
        ) from error
    if not all(np.isfinite(rows).all() for rows in found):
        raise NonconformityError(
            "a category without training pairs gives NaN; do not divide by the number of its pairs"
        )


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
    few = train.take(np.arange(8))
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
            "random generators with the weights"
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
            "lie on one device, in one precision?"
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


def takes_memory_as_pairs_do(subject: Subject) -> None:
    """Twice the pairs take about twice the memory: a matrix of pairs by pairs fills any, on real data.

    Of few pairs, what a fit takes anyhow hides a matrix, and systems count by many pages: a doubt is enough
    to try four times as many, of which the growth is plain, and blocks of a fixed size are full.
    """
    halves, wholes = _memories_of_fits(subject, MANY)
    if max(wholes) < max(LARGE, 1.5 * min(halves)):
        return
    halves, wholes = _memories_of_fits(subject, 4 * MANY)
    half, whole = max(halves), min(wholes)
    if whole >= 2.2 * half:
        raise NonconformityError(
            f"{4 * MANY} pairs take {whole / 1e6:.0f} MB and {2 * MANY} take {half / 1e6:.0f} MB, as if "
            "there were a matrix of pairs by pairs, which would fill 80 GB for 100,000 pairs; compute it in "
            "blocks, or use a low-rank factor"
        )


MANY = 800
LARGE = 1_500_000  # bytes; a matrix of MANY by MANY takes 2.5 MB in float32


def _memories_of_fits(subject: Subject, size: int) -> tuple[list[int], list[int]]:
    """Return what two fits to half of so many pairs take, and two to all of them."""
    few, many = ([_memory_of_fit(subject, pairs) for _ in range(2)] for pairs in (size // 2, size))
    return few, many


def _memory_of_fit(subject: Subject, size: int) -> int:
    """Return how many bytes more than before are in use at most while so many pairs are learned from."""
    pairs, validation = pairs_of("train", size, 5), easy_pairs()[1]
    once = {name: 1 for name in subject.arguments if name.endswith("epochs") and name != "eval_epochs"}
    grown = peak_growth(lambda: subject.fitted(pairs, validation, **once))
    if grown is None:
        raise Skipped("this system does not tell how much memory a fit took at most")
    return grown
