"""From raw pairs to a feature dataset: right rows, nothing learnt from test pairs, the same once more."""

import json
import platform
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from cmbench.datasets.features import sides as picture_side
from cmbench.datasets.features.backbones import load_backbone
from cmbench.datasets.features.cross_fitting import stratified_folds
from cmbench.datasets.features.extraction import extract_features
from cmbench.datasets.features.fine_tuning import fine_tune
from cmbench.datasets.features.image_training import FROM_SCRATCH, LabelledPictures
from cmbench.datasets.features.pictures import regions_of
from cmbench.datasets.features.recipe import ImageRecipe, Recipe, TextRecipe
from cmbench.datasets.features.text_features import fit_text_extractor
from cmbench.datasets.features.tokens import Vocabulary
from cmbench.datasets.features.word_cnn import WordCNN, WordCNNSettings, WordCNNShape, network_features
from cmbench.datasets.features.word_vectors import WordVectors
from cmbench.datasets.formats.files import load_file
from cmbench.datasets.formats.numpy_files import save_npz
from cmbench.datasets.raw.contract import RawCard, RawDataset, RawPair
from cmbench.datasets.raw.pictures import PictureArray
from cmbench.disk import alone_in
from cmbench.errors import DatasetError
from cmbench.methods.registry import load_method

KINDS = ("pictures", "regions")
COLOURS = {"red": (200, 40, 40), "green": (40, 200, 40), "blue": (40, 40, 200)}
SETTINGS = WordCNNSettings(WordCNNShape(widths=(1, 2), maps=4), epochs=3, batch=8)
TEXT = TextRecipe(dimension=6, settings=SETTINGS)
IMAGE = ImageRecipe("small-cnn", "random", device="cpu", batch_size=7)
PLAIN = Recipe(IMAGE, TEXT)
LEARNING = replace(PLAIN, image=replace(IMAGE, training=replace(FROM_SCRATCH, epochs=3, batch_size=6)))


def pair(number, split, changed=""):
    """A noisy picture of a colour, and two sentences of which one names it; changed, a negative and more."""
    random = np.random.default_rng([number, len(split)])
    label = number % len(COLOURS)
    name, colour = list(COLOURS.items())[label]
    pixels = np.clip(random.normal(colour, 60, (20, 30, 3)), 0, 255).astype(np.uint8)
    pixels = 255 - pixels if changed else pixels
    words = (f"A {name} thing.", f"It has corner {number % 4}{changed}.")
    return RawPair(f"{split}-{number}", PictureArray(f"{split}-{number}", pixels), words, label)


def raw_pairs(changed=""):
    sizes = {"train": 24, "val": 9, "test": 12}
    splits = [
        [pair(number, split, changed if split == "test" else "") for number in range(size)]
        for split, size in sizes.items()
    ]
    card = RawCard("the tests", "CC0", "none")
    return RawDataset("colours", *splits, tuple(COLOURS), card, "by hand")


@pytest.fixture(scope="module")
def raw():
    return raw_pairs()


@pytest.fixture(scope="module")
def plain(raw, tmp_path_factory):
    return extract_features(raw, PLAIN, tmp_path_factory.mktemp("plain"))


def stacked(dataset, side):
    return np.concatenate([getattr(split, side) for _, split in dataset.splits])


def test_rows_are_those_of_the_backbone_and_of_the_word_cnn_in_the_order_of_the_pairs(raw, plain):
    backbone = load_backbone("small-cnn", "random", "cpu")
    extractor = extractor_of(raw)
    for (_, pairs), (_, split) in zip(raw.splits, plain.splits, strict=True):
        prepared = np.stack([backbone.preprocessing.apply(each.picture.read()) for each in pairs])
        np.testing.assert_allclose(split.images, backbone.features(prepared), rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(split.texts, extractor.features([each.text for each in pairs]))
        assert split.ids.tolist() == [each.id for each in pairs]
        assert split.labels.tolist() == [each.label for each in pairs]
        assert split.text_groups.tolist() == [0] * 4 + [1] * 4
        assert split.image_parts is None
    assert plain.class_names == tuple(COLOURS)


def test_the_same_recipe_gives_the_same_fingerprint_and_another_seed_another(raw, plain, tmp_path):
    again = extract_features(raw, PLAIN, tmp_path / "again")
    assert again.fingerprint == plain.fingerprint == plain.card.fingerprint
    other = replace(PLAIN, text=replace(TEXT, settings=replace(SETTINGS, seed=1)))
    assert extract_features(raw, other, tmp_path / "other").fingerprint != plain.fingerprint


@pytest.fixture
def vectors(tmp_path):
    """A file of vectors of words that all splits hold, and of some that only changed test texts do."""
    words = np.array(["a", "red", "thing", "it", "has", "and", "more", "words"])
    values = np.random.default_rng(0).normal(size=(len(words), 6)) * np.repeat([1, 50], [5, 3])[:, None]
    np.savez(tmp_path / "vectors.npz", words=words, vectors=values.astype(np.float32))
    return tmp_path / "vectors.npz"


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("folds", [None, 3])
def test_test_pairs_have_no_part_in_what_is_learnt(raw, tmp_path, folds, given, vectors):
    text = replace(TEXT, vectors=vectors if given else None)
    recipe = replace(LEARNING, text=text, folds=folds)
    one = extract_features(raw, recipe, tmp_path / "one")
    other = extract_features(raw_pairs(changed=" and more words"), recipe, tmp_path / "other")
    assert not np.array_equal(one.test.images, other.test.images)
    assert not np.array_equal(one.test.texts, other.test.texts)
    for split in ("train", "validation"):
        for side in ("images", "texts"):
            np.testing.assert_array_equal(
                getattr(getattr(one, split), side), getattr(getattr(other, split), side)
            )


@pytest.mark.parametrize(
    ("recipe", "subjects"),
    [
        (replace(PLAIN, parts=True), ["pictures", "regions"]),
        (
            replace(LEARNING, parts=True, folds=3),
            [
                f"{subject}, fold {fold} of 3"
                for fold in (1, 2, 3)
                for subject in ("epochs", *(f"{of} {kind}" for of in ("other", "training") for kind in KINDS))
            ],
        ),
    ],
)
def test_what_is_told_names_its_subject_and_never_goes_back(raw, tmp_path, recipe, subjects):
    told = {}
    extract_features(raw, recipe, tmp_path, lambda what, *numbers: told.setdefault(what, []).append(numbers))
    assert sorted(told) == sorted(["weights", *subjects, "word CNNs"])
    for what, numbers in told.items():
        done, of = zip(*numbers, strict=True)
        assert list(done) == sorted(set(done)), what
        assert set(of) == {done[-1]}, what


def test_a_backbone_that_learns_tells_categories_apart_better(raw, plain, tmp_path):
    learnt = extract_features(raw, LEARNING, tmp_path)
    assert not np.array_equal(learnt.train.images, plain.train.images)
    assert "validation accuracy" in learnt.card.image_feature
    scores = [
        LogisticRegression()
        .fit(each.train.images, each.train.labels)
        .score(each.test.images, each.test.labels)
        for each in (plain, learnt)
    ]
    assert scores[1] >= max(scores[0], 0.9)


@pytest.mark.parametrize("recipe", [PLAIN, replace(LEARNING, folds=3)])
def test_parts_are_regions_and_sentences_of_the_same_networks(raw, tmp_path, recipe):
    dataset = extract_features(raw, replace(recipe, parts=True), tmp_path / "parts")
    without = extract_features(raw, recipe, tmp_path / "without")
    np.testing.assert_array_equal(stacked(dataset, "images"), stacked(without, "images"))
    np.testing.assert_array_equal(stacked(dataset, "texts"), stacked(without, "texts"))
    for (_, pairs), (_, split) in zip(raw.splits, dataset.splits, strict=True):
        assert [len(split.image_parts[row]) for row in range(len(pairs))] == [5] * len(pairs)
        assert [len(split.text_parts[row]) for row in range(len(pairs))] == [2] * len(pairs)


def extractor_of(raw, keeps=None):
    """Return the text extractor that learns from the training texts that are kept, all by default."""
    labels = np.array([each.label for each in raw.train])
    kept = np.arange(len(labels)) if keeps is None else np.flatnonzero(keeps)
    validation = [each.text for each in raw.validation], np.array([each.label for each in raw.validation])
    texts = [raw.train[row].text for row in kept]
    return fit_text_extractor(texts, labels[kept], *validation, WordVectors.none(6), SETTINGS)


def test_a_sentence_has_the_features_of_a_text_of_its_own(raw, tmp_path):
    made = extract_features(raw, replace(PLAIN, parts=True), tmp_path)
    for (_, pairs), (_, split) in zip(raw.splits, made.splits, strict=True):
        expected = extractor_of(raw).features(pairs[5].segments)
        np.testing.assert_allclose(split.text_parts[5], expected, rtol=1e-6)
        assert not np.allclose(expected[0], expected[1])


def test_a_cross_fitted_part_has_the_features_that_the_network_of_its_fold_gives(raw, tmp_path):
    made = extract_features(raw, replace(LEARNING, parts=True, folds=3), tmp_path)
    labels = np.array([each.label for each in raw.train])
    hidden = stratified_folds(labels, 3, seed=0) == 0  # by network 0, to whose features others are mapped
    row = int(np.flatnonzero(hidden)[1])
    expected = extractor_of(raw, ~hidden).features(raw.train[row].segments)
    np.testing.assert_allclose(made.train.text_parts[row], expected, rtol=1e-6)

    seen = [each for each, out in zip(raw.train, hidden, strict=True) if not out]
    learn, check = (
        LabelledPictures([each.picture for each in pairs], np.array([each.label for each in pairs]))
        for pairs in (seen, raw.validation)
    )
    network = fine_tune(load_backbone("small-cnn", "random", "cpu"), learn, check, LEARNING.image.training)
    prepared = [
        network.backbone.preprocessing.apply(each.read()) for each in regions_of(raw.train[row].picture)
    ]
    expected = network.backbone.features(np.stack(prepared))
    np.testing.assert_allclose(made.train.image_parts[row], expected, rtol=1e-4, atol=1e-5)


def test_a_region_has_the_features_of_a_picture_of_its_own(raw, tmp_path):
    dataset = extract_features(raw, replace(PLAIN, parts=True), tmp_path)
    backbone = load_backbone("small-cnn", "random", "cpu")
    region = regions_of(raw.test[2].picture)[3]
    expected = backbone.features(backbone.preprocessing.apply(region.read())[None])[0]
    np.testing.assert_allclose(dataset.test.image_parts[2][3], expected, rtol=1e-5, atol=1e-6)


def test_ccl_with_both_grains_runs_on_extracted_parts(raw, tmp_path):
    dataset = extract_features(raw, replace(LEARNING, parts=True), tmp_path)
    method = load_method("ccl", embedding=16, gaussian_rate=1e-3, rbm_epochs=2, class_epochs=2, epochs=2)
    method.fit(dataset.train, dataset.validation)
    both = method.transform_images(dataset.test.images, dataset.test.image_parts)
    assert both.shape == (len(dataset.test), 16)
    other_parts = replace(dataset.test.image_parts, values=dataset.test.image_parts.values[::-1].copy())
    assert not np.allclose(both, method.transform_images(dataset.test.images, other_parts))


def test_the_card_says_how_and_the_file_keeps_it(raw, plain, tmp_path):
    save_npz(tmp_path / "made.npz", plain)
    card = load_file(tmp_path / "made.npz").card
    assert card == plain.card
    recipe = json.loads(card.recipe)
    assert recipe["image"]["backbone"] == "small-cnn"
    assert recipe["text"]["settings"]["epochs"] == 3
    assert [len(each) for each in recipe["image"]["found"]["weights"]] == [64]
    assert recipe["image"]["found"]["preprocessing"]["crop"] == 48
    assert set(recipe["versions"]) >= {"cmbench", "torch", "numpy"}
    assert card.image_feature.startswith("small-cnn (random weights, seed 0) (weights SHA-256 ")
    assert "Word CNN" in card.text_feature
    assert (card.source, card.licence, card.sizes) == ("the tests", "CC0", (24, 9, 12))


def test_the_card_says_where_and_how_exactly_networks_computed(raw, plain):
    recipe = json.loads(plain.card.recipe)
    image, text = recipe["image"]["found"], recipe["text"]["found"]
    assert (image["device"], image["precision"], image["library"]) == ("cpu", "float32", "")
    assert text["device"] == ("cuda" if torch.cuda.is_available() else "cpu")
    assert recipe["split"] == {"origin": "by hand", "sha256": raw.split_sha256}
    assert recipe["cpu"] == f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    assert plain.card.text_feature.endswith("; not cross-fitted")
    assert "cross-fitted" not in plain.card.image_feature, "nothing has learnt"


def test_the_card_says_the_library_of_the_network_and_no_folder_of_a_file(raw, tmp_path, monkeypatch):
    def foreign(*arguments, **settings):
        return replace(load_backbone(*arguments, **settings), library="somevision 1.2")

    path = tmp_path / "net.pt"
    with warnings.catch_warnings(action="ignore"):
        means = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())
        torch.jit.trace(means, torch.zeros(1, 3, 32, 32)).save(str(path))
    monkeypatch.setattr(picture_side, "load_backbone", foreign)
    own = {"resize": 20, "crop": 16, "mean": (0.1, 0.2, 0.3)}
    image = ImageRecipe(str(path), device="cpu", preprocessing=own)
    recipe = json.loads(extract_features(raw, replace(PLAIN, image=image), tmp_path / "w").card.recipe)
    assert recipe["image"]["backbone"] == "net.pt"
    assert recipe["image"]["preprocessing"] == {"resize": 20, "crop": 16, "mean": [0.1, 0.2, 0.3]}
    assert recipe["image"]["found"]["preprocessing"]["crop"] == 16
    assert recipe["image"]["found"]["library"] == "somevision 1.2"


def test_the_card_says_whether_features_are_cross_fitted(raw, tmp_path):
    cross_fitted = extract_features(raw, replace(LEARNING, folds=3), tmp_path)
    for feature in (cross_fitted.card.image_feature, cross_fitted.card.text_feature):
        assert "cross-fitted by 3 networks" in feature
    assert json.loads(cross_fitted.card.recipe)["folds"] == 3


def test_features_of_training_texts_are_cross_fitted_by_the_networks_of_other_folds(raw, tmp_path):
    made = extract_features(raw, replace(PLAIN, folds=3), tmp_path)
    labels = np.array([each.label for each in raw.train])
    unseen = stratified_folds(labels, 3, seed=0) == 0
    hidden = [each.text for each, out in zip(raw.train, unseen, strict=True) if out]
    np.testing.assert_array_equal(made.train.texts[unseen], extractor_of(raw, ~unseen).features(hidden))
    assert f"trained on {np.count_nonzero(~unseen)} texts" in made.card.text_feature


def test_a_backbone_that_learns_nothing_is_not_cross_fitted(raw, plain, tmp_path):
    cross_fitted = extract_features(raw, replace(PLAIN, folds=3), tmp_path)
    np.testing.assert_array_equal(stacked(cross_fitted, "images"), stacked(plain, "images"))
    assert "cross-fitted" not in cross_fitted.card.image_feature


def test_one_folder_for_two_collections_with_the_same_names_keeps_their_features_apart(raw, tmp_path):
    other = replace(
        raw,
        train=[
            replace(each, picture=PictureArray(each.picture.name, 255 - each.picture.pixels))
            for each in raw.train
        ],
    )
    work = tmp_path / "shared"
    extract_features(raw, LEARNING, work)
    with pytest.raises(DatasetError, match="another training: identity of training pictures is"):
        extract_features(other, LEARNING, work)
    extract_features(raw, PLAIN, work)
    expected = extract_features(other, PLAIN, tmp_path / "own")
    np.testing.assert_array_equal(extract_features(other, PLAIN, work).train.images, expected.train.images)


def test_a_folder_with_features_of_another_recipe_is_refused(raw, tmp_path):
    extract_features(raw, PLAIN, tmp_path)
    with pytest.raises(DatasetError, match="delete this one to start anew"):
        extract_features(raw, replace(PLAIN, image=replace(IMAGE, seed=1)), tmp_path)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (
            replace(PLAIN, folds=9),
            r"folds \(--cross-fit\) is 9, and the category 'red' has 8 training pairs; use 3",
        ),
        (replace(PLAIN, text=replace(TEXT, settings=replace(SETTINGS, epochs=0))), "epochs is 0"),
        (replace(PLAIN, text=replace(TEXT, settings=replace(SETTINGS, device="gpu"))), "device is 'gpu'"),
        (replace(LEARNING, image=replace(LEARNING.image, precision="half")), "precision is 'half'"),
    ],
)
def test_what_cannot_be_done_is_said_before_any_picture_is_read(raw, tmp_path, recipe, message):
    with pytest.raises(DatasetError, match=message):
        extract_features(raw, recipe, tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_saved_networks_make_the_same_features(raw, tmp_path):
    made = extract_features(raw, LEARNING, tmp_path / "work", save_weights=tmp_path / "networks")
    card = json.loads((tmp_path / "networks" / "networks.json").read_text())
    assert card["class names"] == list(COLOURS)
    assert card["recipe"] == json.loads(made.card.recipe)

    backbone = load_backbone("small-cnn", tmp_path / "networks" / "image.pth", "cpu")
    assert [backbone.weights_hash] == card["recipe"]["image"]["found"]["weights"]
    prepared = np.stack([backbone.preprocessing.apply(each.picture.read()) for each in raw.test])
    np.testing.assert_allclose(made.test.images, backbone.features(prepared), rtol=1e-5, atol=1e-6)

    state = dict(np.load(tmp_path / "networks" / "text.npz", allow_pickle=False))
    rows = {word: row + 2 for row, word in enumerate(state.pop("vocabulary").tolist())}
    shape = WordCNNShape(**card["text shape"])
    network = WordCNN(state["words.weight"], shape, len(COLOURS), torch.Generator())
    network.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})
    encoded = Vocabulary(rows, state["words.weight"]).encoded([each.text for each in raw.test], longest=100)
    np.testing.assert_array_equal(network_features(network, encoded), made.test.texts)


def test_networks_that_cannot_be_saved_are_refused_at_once(raw, tmp_path):
    with pytest.raises(DatasetError, match=r"leave --save-weights out, or extract without --cross-fit"):
        extract_features(raw, replace(PLAIN, folds=3), tmp_path / "w", save_weights=tmp_path / "networks")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "image.pth").write_text("precious")
    with pytest.raises(DatasetError, match=r"full is no empty folder; name a new one"):
        extract_features(raw, PLAIN, tmp_path / "w", save_weights=tmp_path / "full")
    assert not (tmp_path / "w").exists()


def test_fewer_folds_than_three_are_refused():
    with pytest.raises(DatasetError, match="folds is 2; use 3 or more"):
        Recipe(folds=2)


def test_two_extractions_do_not_share_a_folder_at_the_same_time(raw, tmp_path):
    busy = pytest.raises(DatasetError, match=r"work is in use by another extraction; .*--work")
    with alone_in(tmp_path / "work"), busy:
        extract_features(raw, PLAIN, tmp_path / "work")
    extract_features(raw, PLAIN, tmp_path / "work")
