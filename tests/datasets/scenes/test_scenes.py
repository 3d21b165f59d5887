"""The built-in dataset: the same everywhere, balanced, ambiguous on both sides, neither easy nor hopeless."""

import re
import subprocess
import sys
from hashlib import sha256

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cmbench.datasets.registry import load_dataset
from cmbench.datasets.scenes import collection as scenes
from cmbench.datasets.scenes.captions import COLOUR_WORDS, LIGHT_WORDS, describe
from cmbench.datasets.scenes.categories import CATEGORIES
from cmbench.datasets.scenes.plans import DIFFICULTY, Chance, imagine
from cmbench.datasets.scenes.rendering import render
from cmbench.errors import DatasetError

PIXELS = "6f2c1ecd407f124f3c73df9694ebd0fc0d0ba4d8c904da1a9a83f4b63dd9ec10"
CAPTIONS = "4f94eec411031c68a5747e58fc8cfd4bb69415ee12ea384e6750b7d114ce78fd"
FINGERPRINT = "ee84b9c9de6fada50bada3b5411ab9ef9fcab976361a0eb6cb0c827c1927e974"
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def pairs():
    return scenes.generate()


@pytest.fixture(scope="module")
def dataset():
    return scenes.load()


@pytest.fixture(scope="module")
def semantic(dataset):
    """Class probabilities of the test images and texts: the representations of semantic matching."""
    return [
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
        .fit(getattr(dataset.train, side), dataset.train.labels)
        .predict_proba(getattr(dataset.test, side))
        for side in ("images", "texts")
    ]


def map_of(queries, gallery, query_labels, gallery_labels):
    unit_queries, unit_gallery = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (queries, gallery))
    scores = unit_queries @ unit_gallery.T
    relevant = query_labels[:, None] == gallery_labels[None, :]
    return np.mean([average_precision_score(r, s) for r, s in zip(relevant, scores, strict=True)])


def both_maps(images, texts, labels, gallery_labels=None):
    gallery_labels = labels if gallery_labels is None else gallery_labels
    return (
        map_of(images, texts, labels, gallery_labels),
        map_of(texts, images, labels, gallery_labels),
    )


def says(caption, word):
    return re.search(rf"\b{re.escape(word)}\b", caption.lower()) is not None


def share_that_says(captions, words):
    return np.mean([any(says(caption, word) for word in words) for caption in captions])


def test_pictures_and_captions_are_the_same_bytes_everywhere(pairs):
    assert pairs.images.shape == (1800, 96, 96, 3)
    assert pairs.images.dtype == np.uint8
    assert sha256(pairs.images.tobytes()).hexdigest() == PIXELS
    assert sha256("\n".join(pairs.captions).encode()).hexdigest() == CAPTIONS


def test_the_shipped_features_are_those_of_the_release(dataset):
    assert dataset.name == "scenes"
    assert dataset.fingerprint == dataset.card.fingerprint == FINGERPRINT
    assert (dataset.train.images.shape[1], dataset.train.texts.shape[1]) == (256, 300)
    assert np.bincount(dataset.train.text_groups).tolist() == [100, 100, 100]


@pytest.mark.slow
def test_the_command_that_made_the_features_makes_as_good_ones_again(dataset, tmp_path):
    documented = re.search(r"cmbench (features extract .*?) -o", scenes.__doc__, re.DOTALL).group(1)
    arguments = [*documented.replace("\\", " ").split(), "-o", str(tmp_path / "again.npz")]
    subprocess.run([sys.executable, "-P", "-m", "cmbench", *arguments], check=True)
    again = load_dataset(tmp_path / "again.npz")
    for split, shipped in zip(("train", "validation", "test"), dataset.splits, strict=True):
        assert getattr(again, split).ids.tolist() == shipped[1].ids.tolist()
        assert getattr(again, split).labels.tolist() == shipped[1].labels.tolist()
    for side in ("images", "texts"):
        new, old = (
            make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
            .fit(getattr(each.train, side), each.train.labels)
            .score(getattr(each.test, side), each.test.labels)
            for each in (again, dataset)
        )
        assert new == pytest.approx(old, abs=0.06)


def test_a_pair_depends_on_its_seed_and_place_only(pairs):
    for index in (0, 1234, 1799):
        category, chance = pairs.class_names[pairs.labels[index]], Chance(scenes.SEED, index)
        scene = imagine(category, chance)
        assert np.array_equal(render(scene, chance), pairs.images[index])
        assert describe(scene, chance) == pairs.captions[index]
        assert imagine(category, Chance(scenes.SEED + 1, index)) != scene
        picture, caption, name = scenes.pair(index)
        assert np.array_equal(picture, pairs.images[index])
        assert (caption, name) == (pairs.captions[index], category)
    with pytest.raises(DatasetError, match="there is no scene 1800"):
        scenes.pair(1800)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_refused_with_the_range(seed):
    with pytest.raises(DatasetError, match=rf"seed is {seed}; use 0 to"):
        scenes.generate(seed)


def test_every_category_has_60_10_and_20_pairs(dataset, pairs):
    for number, (name, split) in enumerate(dataset.splits):
        assert np.bincount(split.labels).tolist() == [scenes.ROUNDS[number]] * 20, name
        rows = pairs.splits == number
        assert np.array_equal(split.labels, pairs.labels[rows])
        assert np.array_equal(split.ids, pairs.ids[rows])
    assert dataset.card.sizes == (1200, 200, 400)
    assert dataset.class_names == tuple(CATEGORIES)


def test_the_shipped_file_is_small():
    assert scenes.FILE.stat().st_size <= 5 * MEGABYTE


def test_semantic_matching_is_neither_easy_nor_hopeless(semantic, dataset):
    for score in both_maps(*semantic, dataset.test.labels):
        assert 0.4 < score < 0.7


def test_with_shuffled_labels_the_map_is_that_of_a_random_ranking(semantic, dataset):
    labels = dataset.test.labels
    n, relevant = len(labels), 20
    harmonic = sum(1 / rank for rank in range(1, n + 1))
    random_ranking = (harmonic + (n - harmonic) * (relevant - 1) / (n - 1)) / n
    assert random_ranking == pytest.approx(0.063, abs=0.001)
    shuffled = np.random.default_rng(0).permutation(labels)
    for score in both_maps(*semantic, labels, shuffled):
        assert score == pytest.approx(random_ranking, abs=0.01)


def ridge_whitened(train, test):
    model = make_pipeline(StandardScaler(), PCA(200, svd_solver="full")).fit(train)
    variances = model[-1].explained_variance_
    scale = np.sqrt(variances + 0.1 * variances.mean())
    return model.transform(train) / scale, model.transform(test) / scale


def test_plain_correlation_finds_more_than_chance_and_less_than_labels_do(semantic, dataset):
    train_images, test_images = ridge_whitened(dataset.train.images, dataset.test.images)
    train_texts, test_texts = ridge_whitened(dataset.train.texts, dataset.test.texts)
    left, _, right = np.linalg.svd(train_images.T @ train_texts)
    found = both_maps(test_images @ left[:, :20], test_texts @ right[:20].T, dataset.test.labels)
    for plain, labelled in zip(found, both_maps(*semantic, dataset.test.labels), strict=True):
        assert 0.15 < plain < labelled - 0.1


def test_captions_name_their_category_often_but_never_always(pairs):
    captions = np.array(pairs.captions)
    for label, name in enumerate(pairs.class_names):
        own = captions[pairs.labels == label]
        assert 0.1 < share_that_says(own, [name]) < 0.7, name
        assert share_that_says(own, CATEGORIES[name].names) < 0.85, name


def test_most_categories_are_named_in_captions_of_other_categories(pairs):
    captions = np.array(pairs.captions)
    elsewhere = [
        share_that_says(captions[pairs.labels != label], CATEGORIES[name].names)
        for label, name in enumerate(pairs.class_names)
    ]
    assert np.count_nonzero(elsewhere) >= 15


def test_shared_words_and_lookalikes_connect_the_categories():
    for name, category in CATEGORIES.items():
        others = [other for other in CATEGORIES.values() if other is not category]
        assert any(set(category.shared) & set(other.shared) for other in others), name
        assert any(category.hypernyms == other.hypernyms for other in others), name
        assert set(category.lookalikes) <= set(CATEGORIES) - {name}, name


def test_hardly_a_test_caption_occurs_in_training(pairs):
    train = {caption for caption, split in zip(pairs.captions, pairs.splits, strict=True) if split == 0}
    test = [caption for caption, split in zip(pairs.captions, pairs.splits, strict=True) if split == 2]
    assert np.mean([caption in train for caption in test]) < 0.02


def test_a_caption_has_two_or_three_sentences_that_begin_with_a_capital_letter(pairs):
    for caption in pairs.captions:
        sentences = caption.rstrip(".").split(". ")
        assert len(sentences) in (2, 3), caption
        assert all(sentence[0].isupper() for sentence in sentences), caption


def test_captions_tell_the_colours_and_the_light_of_their_own_picture(pairs):
    middle = pairs.images[:, 30:66, 30:66].mean(axis=(1, 2))
    redness, brightness = middle[:, 0] - middle[:, 2], pairs.images.mean(axis=(1, 2, 3))
    red, blue = (
        np.array([any(says(caption, word) for word in COLOUR_WORDS[colour]) for caption in pairs.captions])
        for colour in ("red", "blue")
    )
    night = np.array(
        [
            any(words.lower() in caption.lower() for words in LIGHT_WORDS["night"])
            for caption in pairs.captions
        ]
    )
    assert redness[red].mean() > redness[blue].mean() + 30
    assert brightness[night].mean() < brightness[~night].mean() - 30


def test_the_difficulty_cannot_be_changed_by_accident():
    with pytest.raises(AttributeError):
        DIFFICULTY.mistaken = 0.0
    with pytest.raises(TypeError):
        DIFFICULTY.counts[1] = 1.0


def test_loading_imports_neither_pytorch_nor_scikit_learn():
    code = (
        "import sys; from cmbench.datasets.scenes.collection import load; load(); "
        "sys.exit(bool({'torch', 'sklearn'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0
