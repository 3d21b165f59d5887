"""When published values stand beside measured ones, and that they are the published ones."""

import csv
import io
from importlib.resources import files

import numpy as np
import pytest
from made_records import PROTOCOL, made_dataset, made_record, on_split
from printed_tables import cells_of

from cmbench.datasets.raw.splits import read_splits, shipped_splits
from cmbench.report.published import published_dataset, published_maps
from cmbench.report.records import Group
from cmbench.report.table import render, table

SIZES = {
    "wikipedia": (2173, 231, 462),
    "pascal_sentence": (800, 100, 100),
    "xmedianet": (32000, 4000, 4000),
}


def dataset(of, **changes):
    """The dataset ``of`` as the paper has it, but for the changes."""
    made = made_dataset(
        of,
        sizes=dict(zip(("train", "validation", "test"), SIZES[of], strict=True)),
        image_feature="VGG19 fc7",
        image_dimension=4096,
        text_feature="WordCNN (Kim 2014)",
        text_dimension=300,
    )
    return {**made, **changes}


def record(paper_name, data, **protocol):
    return made_record(
        paper_name.lower(),
        0.25,
        paper_name=paper_name,
        family="deep",
        dataset=data,
        protocol={**PROTOCOL, **protocol},
    )


def corresponds(data, **protocol):
    return published_dataset(Group((record("CCA", data, **protocol),)))


@pytest.mark.parametrize(
    ("name", "published"),
    [("wikipedia", "Wikipedia"), ("pascal_sentence", "Pascal Sentence"), ("xmedianet", "XMediaNet")],
)
def test_the_papers_datasets_with_the_papers_features_and_sizes_correspond(name, published):
    assert corresponds(dataset(name)) == published
    assert corresponds(dataset(name, name=published, image_feature="4096-d VGG-19, layer fc7")) == published
    assert corresponds(dataset(name), normalisation="test-zscore") == published


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "nus-wide"},
        {"name": "wikipedia-small"},
        {"image_feature": "MobileNetV2 pool"},
        {"image_feature": "VGG19 fc6"},
        {"image_feature": "VGG16 fc7"},
        {"image_feature": "vgg19 (random weights, seed 0) fc7"},
        {"image_dimension": 1280},
        {"text_feature": "LSA of TF-IDF"},
        {"text_dimension": 50},
        {"sizes": {"train": 2173, "validation": 0, "test": 693}},
        {"sizes": {"train": 800, "validation": 100, "test": 100}},
    ],
)
def test_anything_else_does_not_correspond(changes):
    assert corresponds(dataset("wikipedia", **changes)) is None


@pytest.mark.parametrize(
    ("split", "is_published"),
    [
        (None, True),
        ({"origin": "file wikipedia.csv, shipped with cmbench"}, True),
        ({"origin": "lists of the collection"}, True),
        ({"origin": "file wikipedia.csv, given"}, False),
        ({"origin": "drawn by cmbench with seed 0, 80/10/10"}, False),
        ({}, False),
        ("shipped with cmbench", False),
    ],
)
def test_another_split_of_the_same_sizes_does_not_correspond(split, is_published):
    assert (corresponds(dataset("wikipedia", split=split)) == "Wikipedia") is is_published


def test_pairs_that_were_divided_anew_do_not_correspond():
    whole = record("CCA", dataset("wikipedia"))
    assert published_dataset(Group((on_split(whole, 1),))) is None
    assert published_dataset(Group((whole, on_split(whole, 1)))) is None


def test_origins_of_shipped_splits_end_as_is_expected():
    origin = read_splits(shipped_splits("wikipedia")).origin
    assert corresponds(dataset("wikipedia", split={"origin": origin})) == "Wikipedia"


@pytest.mark.parametrize("protocol", [{"cutoff": 50}, {"keep_query": False}])
def test_a_protocol_with_a_cutoff_or_without_the_query_does_not_correspond(protocol):
    assert corresponds(dataset("wikipedia"), **protocol) is None


def real_dataset(path, name):
    with np.load(path, allow_pickle=False) as arrays:
        sizes = [len(arrays[f"labels_{split}"]) for split in ("train", "val", "test")]
        return {
            "name": name,
            "fingerprint": "0" * 64,
            "image_feature": str(arrays["image_feature"]),
            "text_feature": str(arrays["text_feature"]),
            "image_dimension": arrays["images_test"].shape[1],
            "text_dimension": arrays["texts_test"].shape[1],
            "sizes": dict(zip(("train", "validation", "test"), sizes, strict=True)),
            "class_names": arrays["class_names"].tolist(),
        }


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("wikipedia_cnn128_lda50.npz", "wikipedia"),
        ("wikipedia_sift128_lda10.npz", "wikipedia"),
        ("pascal_sentence_mnv2_lsa300.npz", "pascal_sentence"),
    ],
)
def test_real_datasets_with_other_features_get_no_published_column(real_data, file, name):
    text = render([record("CCA", real_dataset(real_data / file, name))])
    assert "ublished" not in text


def test_every_value_of_tables_one_to_three_is_given_and_no_other():
    text = files("cmbench.report").joinpath("published_map.csv").read_text(encoding="utf-8")
    rows = [row for row in csv.DictReader(text.splitlines()) if row["table"] in ("I", "II", "III")]
    expected = {(row["dataset"], row["method"], row["task"]): row["map"] for row in rows}
    assert len(rows) == len(expected) == 66 + 66 + 33
    found = {
        (value.dataset, value.method, value.task): f"{value.map:.3f}"
        for name in SIZES
        for value in published_maps(Group((record("CCA", dataset(name)),))).values()
    }
    assert found == expected


def test_published_averages_stand_in_columns_of_their_own_with_source_and_confidence():
    text = render([record(name, dataset("pascal_sentence")) for name in ("CM-GANs", "DCCA", "mine")])
    heading = cells_of(text, "Method")
    assert heading[-2:] == ["published bi-modal average", "published all-modal average"]
    assert cells_of(text, "CM-GANs")[-3:] == ["**0.250**", "0.604", "0.641"]
    assert cells_of(text, "DCCA")[-2:] == ["0.539", "0.605"]
    assert cells_of(text, "mine")[-2:] == ["\u2013", "\u2013"]
    assert (
        "Published values, Table II of arXiv 1710.05106 (CM-GANs, DCCA): source arXiv 1710.05106 Table II; "
        "confidence high." in text
    )


def test_unknown_published_values_are_dashes_and_sources_of_other_confidence_are_told_apart():
    made = table([record(name, dataset("wikipedia")) for name in ("CCL", "CCA")])
    assert made.published
    text = render([record(name, dataset("wikipedia")) for name in ("CCL", "CCA")])
    assert cells_of(text, "CCL")[-2:] == ["0.481", "\u2013"]
    sources = [line for line in made.footer if line.startswith("Published")]
    assert [line.rsplit("confidence ", 1)[1] for line in sources] == ["medium.", "medium-high."]


def test_a_csv_holds_all_published_values_with_source_and_confidence():
    text = render([record(name, dataset("xmedianet")) for name in ("CM-GANs", "mine")], format="csv")
    first, second = csv.DictReader(io.StringIO(text))
    assert (first["published_image_to_text"], first["published_allmodal_average"]) == ("0.567", "0.586")
    assert (first["published_source"], first["published_confidence"]) == ("arXiv 1710.05106 Table I", "high")
    assert (second["published_image_to_text"], second["published_source"]) == ("", "")


def test_a_latex_table_has_a_group_of_published_columns():
    text = render([record("CCA", dataset("wikipedia"))], format="latex")
    assert r"\multicolumn{2}{c}{Published}" in text
    assert r"\cmidrule(l){8-9}" in text
    assert r"& 0.286 & -- \\" in text
