"""What records show in words: each sentence is about what the records hold, and says what they cannot."""

import numpy as np
import pytest
from made_records import TASKS, failed_record, made_dataset, made_record
from scipy import stats

from cmbench.methods.registry import BUILT_IN, CONTROLS
from cmbench.report.findings import BEYOND, findings, render, summary

PAIRS = 200
BASE = np.random.default_rng(0).uniform(0.1, 0.6, PAIRS)


class Runs:
    """Records with AP of each query, which differ from the others' by a shift and some noise."""

    def __init__(self):
        self.records, self.held = [], {}

    def add(self, method, shift, *, dataset="toy", trials=40, like=None, seeds=(None,), **parameters):
        sizes = {"train": 80, "validation": 8, "test": PAIRS}
        for seed in seeds:
            made = made_record(
                method,
                dataset=made_dataset(dataset, sizes=sizes),
                paper_name={"cmgans": "CM-GANs"}.get(method),
                parameters={**parameters, **({} if seed is None else {"random_state": seed})},
                seed=seed,
            )
            noise = np.random.default_rng(len(self.records) + 1).normal(0, 0.05, PAIRS)
            ap = BASE + shift + noise - noise.mean()
            made["map"] = dict.fromkeys(made["map"], float(ap.mean()))
            made["method"]["tuning"] = {"profile": "p", "trials": trials, **({"like": like} if like else {})}
            self.records.append(made)
            self.held[made["key"]] = {f"ap_{task}": ap for task in TASKS}
        return self

    def arrays(self, record):
        return self.held[record["key"]]

    def found(self, **options):
        return findings(self.records, arrays=self.arrays, **options)


def test_the_first_group_and_the_place_of_the_method_are_told():
    runs = Runs().add("cmgans", 0.2).add("jrl", 0.199).add("cca", 0.0)
    (found,) = runs.found()
    assert found.in_first is True
    best = f"{BASE.mean() + 0.2:.3f}"
    assert found.sentences[:3] == (
        f"Highest bi-modal average: CM-GANs {best}.",
        f"Not told apart from it: JRL {BASE.mean() + 0.199:.3f} (of 3 methods).",
        f"CM-GANs {best} has place 1 of 3.",
    )
    (other,) = runs.found(method="cca")
    assert other.in_first is False


def test_controls_that_learn_nothing_take_no_place():
    (found,) = Runs().add("random", 0.3).add("jrl", 0.2).add("cmgans", 0.1).add("majority", 0.0).found()
    assert f"Highest bi-modal average: RANDOM {BASE.mean() + 0.3:.3f}." in found.sentences
    assert "Not told apart from it: none (of 2 methods)." in found.sentences
    assert f"CM-GANs {BASE.mean() + 0.1:.3f} has place 2 of 2." in found.sentences


def test_ablations_that_were_tuned_for_themselves_are_tested_against_the_full_model():
    runs = Runs().add("cmgans", 0.2, rate=1).add("cca", 0.3)
    runs.add("cmgans-cae", 0.1, rate=2).add("cmgans-ws", 0.1999, rate=3)
    runs.add("cmgans-sc", 0.25, like="cmgans", rate=1)
    (found,) = runs.found()
    assert found.above_variants is False
    (sentence,) = [each for each in found.sentences if "less its ablations" in each]
    assert "CMGANS-CAE" in sentence
    assert "+0.100, p = 0.0002" in sentence
    assert "CMGANS-SC" not in sentence
    assert "place 2 of 2" in " ".join(found.sentences)  # ablations do not compete
    (above,) = Runs().add("cmgans", 0.2, rate=1).add("cca", 0.3).add("cmgans-cae", 0.1, rate=2).found()
    assert above.above_variants is True


def test_the_summary_counts_datasets_and_names_those_of_which_nothing_can_be_said():
    runs = Runs().add("cmgans", 0.2, dataset="a").add("cca", 0.0, dataset="a")
    runs.add("cmgans", 0.0, dataset="b").add("cca", 0.2, dataset="b")
    runs.add("cmgans", 0.1, dataset="c").add("cca", 0.1, dataset="c")
    runs.held[runs.records[-1]["key"]] = {}
    assert summary(runs.found()) == [
        "CM-GANs is the best, or cannot be told apart from the best, on 1 of 2 datasets (a).",
        "Of c this cannot be said, for the reasons given there.",
    ]
    assert "Not tested: no values per query are stored of CCA." in render(runs.records, arrays=runs.arrays)


def test_unequal_budgets_single_seeds_and_failures_are_told():
    runs = Runs().add("cmgans", 0.2, seeds=(0,)).add("cca", 0.0, trials=3).add("jrl", 0.1, seeds=(0, 1))
    runs.records.append(failed_record("kcca", "timeout", dataset=runs.records[0]["dataset"]))
    (found,) = runs.found()
    assert found.sentences[-3:] == (
        "Tuned with a smaller budget than others: CCA.",
        "With one finished seed, of whose chance nothing is known: CM-GANs.",
        "With cells that gave no result: KCCA (1).",
    )


def test_p_values_are_those_of_a_paired_test():
    runs = Runs().add("cmgans", 0.2, rate=1).add("cca", 0.3).add("cmgans-cae", 0.195, rate=2)
    (found,) = runs.found()
    (sentence,) = [each for each in found.sentences if "less its ablations" in each]
    first, second = (runs.arrays(runs.records[at])["ap_image_to_text"] for at in (0, 2))
    expected = stats.ttest_rel(first, second).pvalue
    assert float(sentence.split("p = ")[1].split(" ")[0]) == pytest.approx(expected, abs=0.03)


def test_methods_beyond_the_paper_are_measured_by_chance_cca_and_deep_sm():
    runs = Runs().add("cmgans", 0.1)
    runs.add("cca", 0.0).add("deep-sm", 0.2).add("sm", 0.25).add("acmr", 0.1).add("triplet", -0.05)
    (found,) = runs.found()
    (sentence,) = [each for each in found.sentences if "beyond the paper" in each]
    level = BASE.mean()
    assert sentence == (
        "Of 3 methods beyond the paper, above chance 0.623: none; "  # of categories of 4 and 6 items
        f"above CCA {level:.3f}: all but TRIPLET {level - 0.05:.3f}; "
        f"above DEEP-SM {level + 0.2:.3f}: SM {level + 0.25:.3f}."
    )
    assert found.beyond["CCA"] == {"SM": True, "ACMR": True, "TRIPLET": False}


def test_the_summary_says_where_methods_beyond_the_paper_are_above_which_others():
    runs = Runs()
    for dataset, shift in (("a", 0.1), ("b", -0.1)):
        runs.add("cca", 0.0, dataset=dataset).add("deep-sm", 0.2, dataset=dataset)
        runs.add("sm", 0.25, dataset=dataset).add("dscmr", shift, dataset=dataset)
    told = summary(runs.found())
    assert told[-2:] == [
        "Methods beyond the paper that are above CCA, by their means: "
        "in every table that has them: SM; in some: DSCMR (1 of 2).",
        "Methods beyond the paper that are above DEEP-SM, by their means: "
        "in every table that has them: SM; in none: DSCMR.",
    ]
    assert not any("beyond the paper" in each for each in summary(Runs().add("cca", 0.0).found()))


def test_every_method_of_the_group_beyond_but_controls_is_known_here():
    there = {name for name, home in BUILT_IN.items() if ".beyond." in home}
    assert set(BEYOND) == there - set(CONTROLS)
