"""Records of CM-GANs and its ablations for tests, and the tables that are made of them."""

import csv
import io

from made_records import made_dataset, made_record

from cmbench.report.ablation import render

PAPER = {
    "IV": {
        "cmgans-none": "CM-GANs without ws&sc",
        "cmgans-ws": "CM-GANs with ws",
        "cmgans-sc": "CM-GANs with sc",
        "cmgans": "CM-GANs",
    },
    "V": {"cmgans-inter": "CM-GANs only inter", "cmgans": "CM-GANs"},
    "VI": {"cmgans-cae": "CM-GANs-CAE", "cmgans": "CM-GANs"},
}
NAMES = {name: label for rows in PAPER.values() for name, label in rows.items()}
PARAMETERS = {"tie": "tied", "w_semantic": 1.0, "learning_rate": 0.001}


def dataset(name="toy", **changes):
    made = made_dataset(
        name,
        image_feature="VGG19 fc7",
        text_feature="WordCNN",
        sizes={"train": 800, "validation": 100, "test": 100},
        image_dimension=4096,
        text_dimension=300,
        test_counts=[40, 60],
    )
    return {**made, **changes}


def record(name="cmgans", value=0.5, *, seed=0, data=None, **parameters):
    """A record of that method with these bi-modal MAPs, or one that is both."""
    to_text, to_image = (value, value) if isinstance(value, float) else value
    return made_record(
        name,
        (to_text, to_image, 0.9, 0.9),
        paper_name=NAMES.get(name),
        family="deep",
        parameters={**PARAMETERS, "random_state": seed, **parameters},
        seed=seed,
        dataset=data or dataset(),
    )


def sections(text):
    """The rows below the heading of every pipe table, by the number of the paper's table."""
    found = {}
    for part in text.split("#### Table ")[1:]:
        lines = [line for line in part.splitlines() if line.startswith("|")]
        cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
        assert cells[0][:4] == ["Method", "image→text", "text→image", "bi-modal average"]
        found[part.partition(":")[0]] = cells[2:]
    return found


def csv_rows(cells):
    return list(csv.DictReader(io.StringIO(render(cells, format="csv"))))
