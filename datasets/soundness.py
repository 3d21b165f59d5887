"""Whether numbers on a dataset mean anything: rows in two splits, and validation pairs that cannot choose.

A dataset may keep every rule of the contract and still make fools of those who trust its table. What is
found here stops a run (``Finding.stops``) where the numbers would mean nothing, and otherwise stands as a
warning on the terminal, in the record and under the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from cmbench.datasets.category_names import doubtful_names
from cmbench.datasets.constancy import all_the_same, counting, still_in_training
from cmbench.datasets.draft import (
    FULL_NAMES,
    Draft,
    Labels,
    Split,
    base_name,
    before_limit,
    category_counts,
    row_slices,
)
from cmbench.datasets.formats.division import helpful_share
from cmbench.datasets.repetitions import (
    ALIKE,
    MOST_PRODUCTS,
    ROWS_AT_ONCE,
    SAME,
    NearCopies,
    Place,
    Repeated,
    near_copies,
    repetitions,
)
from cmbench.datasets.rules import cut_while_sorted
from cmbench.errors import DatasetError, listed

FEW_PAIRS = 20
"""With fewer validation pairs, the standard error of a MAP is larger than most differences of settings."""

FEW_PRODUCTS = 1e10
"""Multiplications in the search for near-copies before a run, about half a second on one core."""

FEW_COLUMNS = 0.1
"""The share of the columns of features that training may well lack: rare words, say."""

TRAINED = "trained on"
"""What cards say of features whose networks have learned from the dataset."""


@dataclass(frozen=True)
class Finding:
    """Something about a dataset that its users have to know.

    Parameters
    ----------
    sentence : what it is, with numbers, names and the remedy
    stops : whether numbers would mean nothing, so that a run is refused
    repeated : whether it is refused for pairs that stand in two splits, which a user may allow
    by_category : whether it matters only where relevance goes by category, and not by pair
    one_split : the names of two splits, of which each is the other; empty for any other finding
    """

    sentence: str
    stops: bool = False
    repeated: bool = False
    by_category: bool = False
    one_split: tuple[str, ...] = ()


def findings(draft: Draft, *, thorough: bool = False) -> tuple[Finding, ...]:
    """Return what is questionable about a dataset that keeps the rules, the worst first.

    Near-copies are found by a product of matrices; unless ``thorough``, large datasets are looked at in part.
    """
    near = near_copies(draft, most_products=MOST_PRODUCTS if thorough else FEW_PRODUCTS)
    all_findings = [
        *_nothing_to_learn(draft.train),
        *_repetitions(draft),
        *(_rounded_copies(copies, draft) for copies in near if copies.same),
        *_choosing(draft),
        *_comparing(draft),
        *_trained_on_test(draft),
        *(_near_copies(copies, draft) for copies in near if len(copies.images) > len(copies.same)),
        *_counting(draft),
        *_still_in_training(draft),
        *_categories(draft),
    ]
    return tuple(sorted(all_findings, key=lambda finding: not finding.stops))


def _nothing_to_learn(train: Split) -> Iterator[Finding]:
    """Yield what no method can be fitted to: a single pair, or a view in which all pairs are the same."""
    if len(train) < 2:
        yield Finding("there is 1 training pair; no method learns from fewer than 2", stops=True)
        return
    for name in ("images", "texts"):
        rows = getattr(train, name)
        if rows.shape[1] == 0:
            yield Finding(f"{name} have no features (0 columns); see how the file was made", stops=True)
        elif all_the_same(rows):
            yield Finding(
                f"the {name} of all {len(train)} training pairs are the same; see how the file was made",
                stops=True,
            )


def _still_in_training(draft: Draft) -> Iterator[Finding]:
    """Yield how many features have one value in training and others later, where they are not just a few."""
    if len(draft.train) < 2:
        return
    for modality, rows in draft.train.views.items():
        width = rows.shape[1]
        later = [split.views[modality] for _, split in draft.splits[1:]]
        still = still_in_training(rows, later, fewest=FEW_COLUMNS * width)
        if FEW_COLUMNS * width <= len(still) < width:  # all are told of as rows that are the same
            yield Finding(
                f"{len(still)} of {width} {modality} features are constant in training and vary in other "
                "splits, so that nothing can be learned of them: methods leave them out or take them for "
                f"noise, and results may be too low; {_more_varied(draft)}"
            )


def _counting(draft: Draft) -> Iterator[Finding]:
    """Yield the columns that count rows, as the index of a table: those of sorted rows tell categories."""
    for modality in draft.train.views:
        splits = [split.views[modality] for _, split in draft.splits]
        for column in counting(splits).tolist():
            first = ", ".join(f"{number:g}" for number in splits[0][:3, column].tolist())
            yield Finding(
                f"column {column} of the {modality} features counts rows ({first}, ... in training), as an "
                "index that was written along does, and may tell categories; leave it out (of pandas, with "
                "index=False)"
            )


def _more_varied(draft: Draft) -> str:
    limited = before_limit(base_name(draft))[1]
    if limited:
        return "a larger --limit may do"
    return "more training pairs may help, or see how the features of the training pairs were made"


def refuse_unsound(name: str, questionable: Sequence[Finding], *, allow_repeated: bool = False) -> None:
    """Raise ``DatasetError`` for findings on the dataset ``name`` that stop a run.

    ``allow_repeated`` lets pairs that stand in two splits pass.
    """
    stopping = [
        finding for finding in questionable if finding.stops and not (finding.repeated and allow_repeated)
    ]
    if not stopping:
        return
    allowing = (
        ". To see what the numbers would be, allow it (--allow-repeated, or run(..., allow_repeated=True)); "
        "the table then says so"
    )
    sentences = "; ".join(finding.sentence for finding in stopping)
    raise DatasetError(
        f"dataset {name!r}: {sentences}{allowing if all(finding.repeated for finding in stopping) else ''}"
    )


def _repetitions(draft: Draft) -> Iterator[Finding]:
    repeats = repetitions(draft)
    for repeated in repeats.pairs:
        sentence, one_split = _repeated_pairs(repeated, draft)
        yield Finding(sentence, stops=True, repeated=True, one_split=one_split)
    for repeated in repeats.images:
        yield Finding(_repeated_images(repeated, draft, "with other texts"))
    for repeated in repeats.pictures:
        yield Finding(_repeated_images(repeated, draft, "by their names, with other features"))
    if repeats.two_labels:
        (first, second), *others = repeats.two_labels
        more = f" (and {len(others)} more)" if others else ""
        yield Finding(
            f"the same pair has two labels: {_named(first, draft)} and {_named(second, draft)}{more}; "
            "correct the labels, or drop the pair"
        )
    for name, count in repeats.within.items():
        yield Finding(f"{count} pairs of {name} stand in it more than once; keep each once")
    yield from _images_with_several_texts(draft, repeats.distinct_images)
    yield from _rows_of_zeros(draft, repeats.zeros)


def _repeated_pairs(repeated: Repeated, draft: Draft) -> tuple[str, tuple[str, ...]]:
    """Return what is to be said of pairs in two splits, and the two splits if each is the other."""
    first, second = FULL_NAMES[repeated.first], FULL_NAMES[repeated.second]
    one_split: tuple[str, ...] = ()
    if len(repeated.rows) == repeated.of == len(dict(draft.splits)[repeated.first]):
        what = f"the {first} set is the {second} set, all {repeated.of} pairs of it"
        one_split = (repeated.first, repeated.second)
    else:
        what = (
            f"{len(repeated.rows)} of {repeated.of} {second} pairs stand in {first} too: "
            f"{_both(repeated, draft)}"
        )
    return f"{what}; keep each pair in one split", one_split


def _repeated_images(repeated: Repeated, draft: Draft, how: str) -> str:
    return (
        f"the images of {len(repeated.rows)} of {repeated.of} {FULL_NAMES[repeated.second]} pairs stand in "
        f"{FULL_NAMES[repeated.first]} too, {how}: {_both(repeated, draft)}; keep all pairs of an "
        "image in one split"
    )


def _rows_of_zeros(draft: Draft, zeros: Mapping[tuple[str, str], Sequence[int]]) -> Iterator[Finding]:
    splits = dict(draft.splits)
    for (name, side), rows in zeros.items():
        split = splits[name]
        why = ", as those of a text without a known word" if side == "texts" else ""
        yield Finding(
            f"the {side} of {len(rows)} of {len(split)} {FULL_NAMES[name]} pairs have features of zeros alone"
            f"{why}: {listed([str(split.ids[row]) for row in rows])}; nothing is found by them, so see how "
            "they were made, or drop the pairs"
        )


def _images_with_several_texts(draft: Draft, distinct: dict[str, int]) -> Iterator[Finding]:
    captioned = {  # by captions, and no accident
        name: len(split) for name, split in draft.splits[1:] if 2 * distinct[name] <= len(split)
    }
    if not (captioned and draft.class_names):
        return
    counts = (
        f"the {pairs} {FULL_NAMES[name]} pairs have {distinct[name]} different images"
        for name, pairs in captioned.items()
    )
    average = sum(captioned.values()) / sum(distinct[name] for name in captioned)
    yield Finding(
        f"{' and '.join(counts)}, so an image has {average:.3g} texts on average, and a gallery of images "
        "holds each as often; --protocol pairs counts each picture once, and its own texts alone as relevant",
        by_category=True,
    )


def _trained_on_test(draft: Draft) -> Iterator[Finding]:
    """Yield that the features of a split drawn anew come from networks that know its test pairs."""
    features = {"image": draft.card.image_feature, "text": draft.card.text_feature}
    trained = [modality for modality, feature in features.items() if TRAINED in feature]
    if draft.card.split_of and trained:
        yield Finding(
            f"the networks that made the {' and '.join(trained)} features were trained on the training pairs "
            "of the dataset's own split, among which are test pairs of this one, so that its numbers are too "
            "high; for several splits, use features of networks that were trained elsewhere"
        )


def _both(repeated: Repeated, draft: Draft) -> str:
    """Return the first few of the rows with their originals, by their ids."""
    splits = dict(draft.splits)
    ids = [
        f"{splits[repeated.second].ids[row]} ({repeated.first}: {splits[repeated.first].ids[original]})"
        for row, original in zip(repeated.rows, repeated.originals, strict=True)
    ]
    return listed(ids)


def _named(place: Place, draft: Draft) -> str:
    name, row = place
    split = dict(draft.splits)[name]
    label = split.labels[row]
    held = [int(label)] if label.ndim == 0 else np.flatnonzero(label).tolist()
    return f"{split.ids[row]} ({name}) {', '.join(draft.class_names[category] for category in held)!r}"


def _rounded_copies(copies: NearCopies, draft: Draft) -> Finding:
    ids = dict(draft.splits)[copies.second].ids
    return Finding(
        f"{len(copies.same)} of {copies.of} {FULL_NAMES[copies.second]} pairs are pairs of "
        f"{FULL_NAMES[copies.first]} but for rounding or scale (cosines of images and texts above {SAME:g})"
        f"{_looked(copies)}: {listed([ids[row] for row in copies.same])}; keep each pair in one split",
        stops=True,
        repeated=True,
    )


def _near_copies(copies: NearCopies, draft: Draft) -> Finding:
    first, second = FULL_NAMES[copies.first], FULL_NAMES[copies.second]
    ids = dict(draft.splits)[copies.second].ids
    same = {*copies.same}
    images, pairs = ([row for row in rows if row not in same] for rows in (copies.images, copies.pairs))
    with_texts = f"; of {len(pairs)} the text too" if pairs else ""
    return Finding(
        f"{len(images)} {second} images are near-copies (cosine above {ALIKE:g}) of {first} "
        f"images{_looked(copies)}: {listed([ids[row] for row in images])}{with_texts}; look whether they "
        "are the same pictures"
    )


def _looked(copies: NearCopies) -> str:
    return "" if copies.compared == copies.of else f" ({copies.compared} of {copies.of} were compared)"


def _categories(draft: Draft) -> Iterator[Finding]:
    """Yield what is strange about the categories, unless the card says it already."""
    used = np.unique(np.concatenate([split.categories for _, split in draft.splits]))
    unused = np.setdiff1d(np.arange(len(draft.class_names)), used)
    if len(unused):
        names = listed([draft.class_names[category] for category in unused])
        yield Finding(
            f"{len(unused)} of {len(draft.class_names)} categories have no pair in any split ({names}), and "
            "count all the same; number the others without gaps, or correct class_names"
        )
    for sentence in doubtful_names(draft.class_names, partial(_ids_of, draft=draft)):
        if sentence not in draft.card.notes:
            yield Finding(sentence)


def _ids_of(name: str, draft: Draft) -> list[str]:
    category = draft.class_names.index(name)
    has_it = {
        split: split.labels[:, category] == 1 if split.is_multi_label else split.labels == category
        for _, split in draft.splits
    }
    return [str(identifier) for split, chosen in has_it.items() for identifier in split.ids[chosen]]


def _choosing(draft: Draft) -> Iterator[Finding]:
    """Yield what keeps the validation pairs from telling settings of a method apart."""
    validation = draft.validation
    if len(validation) < 2:
        yield Finding(
            f"there is {len(validation)} validation pair, which every setting ranks first; "
            f"{_more_validation_pairs(draft)}",
            stops=True,
        )
        return
    if _all_relevant(validation.targets, validation.targets):
        yield Finding(
            f"all {len(validation)} validation pairs are of one category ({_category(draft)}), so every "
            f"setting has the MAP 1; {_more_validation_pairs(draft)}",
            stops=True,
        )
        return
    yield from _same_rows(validation, "validation")
    yield from _little_to_choose(draft)
    yield from _sorted_by_category(draft)


def _more_validation_pairs(draft: Draft, *, than: tuple[int, int] = (0, 0)) -> str:
    """Return why validation pairs have to suffice, and how they do: by a larger limit, drawn, or others."""
    share = helpful_share(
        draft.train, len(draft.class_names), enough=FEW_PAIRS, than=than, most_products=FEW_PRODUCTS
    )
    if before_limit(base_name(draft))[1]:
        remedy = "a larger --limit leaves more of them"
    elif share is not None:
        remedy = f"'cmbench datasets convert IN -o OUT --validation {share}' draws others from training"
    else:
        remedy = "add others, since those drawn from the training pairs would choose no better"
    return f"methods choose parameters by the MAP of the validation pairs; {remedy}"


def _comparing(draft: Draft) -> Iterator[Finding]:
    """Yield what keeps the test pairs from telling methods apart."""
    test = draft.test
    gallery = test if draft.retrieval is None else draft.retrieval
    if len(gallery) < 2:
        yield Finding(f"there is {len(gallery)} pair to rank, so every method has the MAP 1", stops=True)
    elif draft.class_names and _all_relevant(test.targets, gallery.targets):
        yield Finding(
            f"each of the {len(test)} test pairs shares a category with each pair to rank, so every method "
            "has the MAP 1; take test pairs of several categories",
            stops=True,
        )
    else:
        yield from _same_rows(test, "test")


def _all_relevant(queries: Labels, gallery: Labels) -> bool:
    """Return whether each item is relevant to each query, so that no ranking is better than another."""
    if queries.ndim == 1:
        return len(np.unique(np.concatenate([queries, gallery]))) == 1
    blocks = (queries[rows] for rows in row_slices(len(queries), ROWS_AT_ONCE))
    return all(bool((block @ gallery.T > 0).all()) for block in blocks)


def _category(draft: Draft) -> str:
    validation = draft.validation
    if not draft.class_names:
        return "one picture"
    if validation.is_multi_label:
        return "each shares a label with each"
    return repr(draft.class_names[int(validation.labels[0])])


def _same_rows(split: Split, name: str) -> Iterator[Finding]:
    consequence = "all candidates tie" if name == "validation" else "all of them tie in every ranking"
    for modality, rows in (("image", split.images), ("text", split.texts)):
        if all_the_same(rows):
            yield Finding(
                f"all {name} pairs have the same {modality} features, so {consequence}; look at how "
                "the features were made",
                stops=True,
            )


def _little_to_choose(draft: Draft) -> Iterator[Finding]:
    validation, categories = draft.validation, len(draft.class_names)
    counts = np.array(category_counts(validation.labels, categories), dtype=np.int64)
    trained = np.array(category_counts(draft.train.labels, categories), dtype=np.int64) > 0
    scarce = [draft.class_names[label] for label in np.flatnonzero((counts < 2) & trained)]
    if len(validation) >= FEW_PAIRS and not scarce:
        return
    remedy = _more_validation_pairs(draft, than=(int((counts > 1).sum()), len(validation)))
    if len(validation) < FEW_PAIRS:
        yield Finding(
            f"there are {len(validation)} validation pairs, too few to tell settings apart but by luck; "
            f"{remedy}"
        )
    if scarce:
        chosen_by = "the others" if len(scarce) < trained.sum() else "single pairs, or by none"
        yield Finding(
            f"{len(scarce)} of {int(trained.sum())} categories have fewer than two validation pairs "
            f"({listed(scarce)}), so settings are chosen by {chosen_by}; {remedy}"
        )


def _sorted_by_category(draft: Draft) -> Iterator[Finding]:
    """Yield that pairs sorted by category were cut into splits, which then have different categories."""
    sorted_ranges = cut_while_sorted(draft)
    if sorted_ranges:
        yield Finding(
            f"the pairs seem to have been sorted by category when they were divided ({sorted_ranges}); "
            "shuffle them before, or draw by category"
        )
