"""What the READMEs of results say is so: numbers of profiles and records, commands, and links."""

import json
import re
import tomllib
from collections import Counter, defaultdict
from pathlib import Path
from statistics import mean

import defaults
import equal_searches
import pytest
from shown_commands import unknown_words

from cmbench.methods.parameters import parameters_of
from cmbench.methods.registry import DEFAULT_METHODS, registry
from cmbench.store import Store

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"
READMES = {path.parent.name: path.read_text("utf-8") for path in sorted(RESULTS.glob("**/README.md"))}
TUNED = " ".join(READMES["tuned"].split())
ABLATIONS = {"cmgans-none", "cmgans-ws", "cmgans-sc", "cmgans-inter", "cmgans-cae"}
OF_INTEL = {"sm", "scm", "ridge", "lcfs", "jfssl"}
NAMES = {
    "emoji": "emoji",
    "fashion_mnv2_lsa300": "fashion products",
    "scenes": "scenes",
    "pascal_efflite2_lsa300": "Pascal Sentence, Lite2",
    "pascal_sentence_mnv2_lsa300": "Pascal Sentence",
    "wikipedia_cnn128_lda50": "Wikipedia, CNN",
    "wikipedia_sift128_lda10": "Wikipedia, SIFT",
}


@pytest.fixture(scope="module")
def searches():
    """What the profiles have of each method, by dataset and method."""
    found = {}
    for path in (ROOT / "bench" / "tuned").glob("*.toml"):
        datasets = tomllib.loads(path.read_text(encoding="utf-8"))["datasets"]
        found |= {name: dataset["methods"] for name, dataset in datasets.items()}
    return found


@pytest.fixture(scope="module")
def rows():
    """The finished tuned records of parameters of their own, by dataset, protocol and method."""
    found = defaultdict(list)
    for record in Store(RESULTS / "tuned").records():
        if record["status"] == "ok" and "like" not in record["method"].get("tuning", {}):
            place = record["dataset"]["name"], record["protocol"]["name"], record["method"]["name"]
            found[place].append(record)
    return found


def test_what_searches_are_said_to_have_cost_is_what_the_profiles_have(searches):
    spent = {
        dataset: {name: entry["processor_seconds"] for name, entry in methods.items()}
        for dataset, methods in searches.items()
    }
    scenes, emoji, cnn, sift = (spent[name] for name in ("scenes", "emoji", *sorted(spent)[-2:]))
    sums = sum(scenes.get(name, 0) for name in {*DEFAULT_METHODS, "ccl-coarse"}), sum(emoji.values())
    assert len(emoji) == 20
    for template, values in (
        ("The eleven took {} seconds of processor time, {} of them for", (sums[0], scenes["cmgans"])),
        ("The search of CM-GANs took {} seconds of a processor", (emoji["cmgans"],)),
        ("the nineteen others took {} together", (sums[1] - emoji["cmgans"],)),
        (
            "CMDN took {}, CCL {}, DSCMR {} and Corr-AE {}",
            map(emoji.get, ("cmdn", "ccl-coarse", "dscmr", "corr-ae")),
        ),
        ("It took {} seconds of a processor, where that of Deep-SM took {}", (cnn["cmgans"], cnn["deep-sm"])),
        ("{} seconds of a processor, DSCMR {} and CM-GANs {}", map(sift.get, ("corr-ae", "dscmr", "cmgans"))),
        (
            "took more: weight sharing alone {}, neither of both {}, CAE {}",
            map(sift.get, ("cmgans-ws", "cmgans-none", "cmgans-cae")),
        ),
    ):
        assert template.format(*(f"{round(seconds, -1):,.0f}" for seconds in values)) in TUNED
    assert f"that of SM, all of its 18 settings, {cnn['sm']:.0f}" in TUNED
    assert max(sift, key=lambda name: sift[name] * (name not in ABLATIONS)) == "corr-ae"


def test_searches_with_failed_trials_are_those_that_are_named(searches):
    failed = {(name, entry["failed"]) for methods in searches.values() for name, entry in methods.items()}
    assert {each for each in failed if each[1]} == {("ccl-coarse", 7), ("cmdn", 6), ("cmgans-none", 1)}


def test_minutes_of_a_row_are_those_of_its_records(rows):
    table = re.findall(r"^\| (?!dataset)(\w[^|]+) \| ([^a-z\n]+) \|$", READMES["tuned"], re.MULTILINE)
    columns = ("cmgans", "cmdn", "ccl-coarse", "corr-ae", "dcca", "dscmr")
    minutes = {
        place: sum(record["durations"].get("processor", 0) for record in records) / 60
        for place, records in rows.items()
    }
    told = {
        f"{title}/{method}": int(number)
        for title, numbers in table
        if numbers.count("|") == len(columns) - 1
        for method, number in zip(columns, numbers.split(" | "), strict=True)
        if number.isdigit()
    }
    assert told == {
        f"{NAMES[dataset]}/{method}": round(spent)
        for (dataset, protocol, method), spent in minutes.items()
        if protocol == "paper" and method in columns
    }
    others = {place: spent for place, spent in minutes.items() if place[2] not in (*columns, *ABLATIONS)}
    long = {method: round(spent) for (dataset, _, method), spent in others.items() if spent > 3}
    assert all("fashion" in dataset for (dataset, _, _), spent in others.items() if spent > 3)
    told = re.search(r"on the fashion products ((?:\S+ \d+(?:, | and )?)+)\.", TUNED)[1]
    names = {
        "Deep-SM": "deep-sm",
        "SM": "sm",
        "Triplet": "triplet",
        "LCFS": "lcfs",
        "JFSSL": "jfssl",
        "ACMR": "acmr",
    }
    assert {names[name]: int(spent) for name, spent in re.findall(r"(\S+) (\d+)", told)} == long


def test_methods_that_are_said_to_have_had_another_library_name_it(rows):
    named = defaultdict(set)
    for (dataset, protocol, method), records in rows.items():
        has_named = all(record["provenance"].get("preloaded") for record in records)
        assert has_named or protocol == "paper" or method in OF_INTEL
        if has_named and protocol == "paper":
            named[dataset].add(method)
    everywhere = {"contrastive", "triplet", "acmr", "dscmr"}
    assert named["scenes"] == everywhere
    assert named["wikipedia_cnn128_lda50"] == everywhere | {"deep-sm", "dcca"} | ABLATIONS - {"cmgans-ws"}
    assert named["pascal_sentence_mnv2_lsa300"] == everywhere | ABLATIONS
    for dataset in ("emoji", "wikipedia_sift128_lda10"):
        assert named[dataset] == {place[2] for place in rows if place[0] == dataset} - OF_INTEL


def test_commits_that_records_name_are_counted(rows):
    commits = [record["provenance"]["git"] for record in Store(RESULTS / "tuned").records()]
    counts = Counter(commit["commit"][:7] if commit else None for commit in commits)
    for commit, number in counts.items():
        assert re.search(rf"[Tt]hat of {number} on|The other {number} come", TUNED)
        assert commit is None or commit in TUNED


@pytest.mark.parametrize("study", ["deep", "cmgans"])
def test_semantic_matching_beside_earlier_studies_is_that_of_its_records(rows, study):
    line = re.search(r"^\| SM \| (.*) \|$", READMES[study], re.MULTILINE)[1]
    means = {
        dataset: f"{records[0]['map']['bimodal_average']:.3f}".lstrip("0")
        for (dataset, protocol, method), records in rows.items()
        if (protocol, method) == ("paper", "sm")
    }
    order = ("wikipedia_cnn128_lda50", "wikipedia_sift128_lda10", "pascal_sentence_mnv2_lsa300")
    assert re.findall(r"\.\d+", line) == [means[dataset] for dataset in order]


def test_what_is_said_of_the_updates_of_generators_is_what_searches_chose(searches):
    parameters = {parameter.name: parameter for parameter in parameters_of(registry()["cmgans"].load())}
    said = " ".join(parameters["generator_steps"].meaning.split())
    five = [
        chosen
        for methods in searches.values()
        if (chosen := methods["cmgans"]["parameters"])["generator_steps"] == 5
    ]
    numbers = {4: "four", 5: "five", 6: "six", 7: "seven"}
    assert f"Searches chose 5 on {numbers[len(five)]} datasets of {numbers[len(searches)]}" in said
    rates, patience = ([chosen[name] for chosen in five] for name in ("learning_rate", "patience"))
    low, high = (f"{rate:.4f}".lstrip("0") for rate in (min(rates), max(rates)))
    assert f"rates of {low} to {high}, a patience of {min(patience)} to {max(patience)} epochs" in said


def test_searches_that_have_begun_are_of_datasets_for_which_nothing_was_chosen_yet(searches):
    for path in sorted((RESULTS / "tuned" / "searches" / "begun").glob("*.tar.xz")):
        records = [json.loads(text) for text in equal_searches.unpacked(path).values()]
        datasets = {equal_searches.validated(record) for record in records}
        assert datasets == {path.name.removesuffix(".tar.xz")}
        assert not datasets & {*searches}


def test_the_defaults_of_cm_gans_are_the_last_setting_of_the_study_and_better_than_those_before():
    parameters = registry()["cmgans"].load()().get_params()
    assert defaults.CHOSEN.items() <= parameters.items()
    lines = (RESULTS / "defaults" / "table.md").read_text("utf-8").split("\n")
    small = slice(len(defaults.NAMES), len(defaults.NAMES) + len(defaults.SMALL))
    before, chosen = (
        [float(cell) for cell in line.split("|")[1:-1][small]]
        for line in (lines[4], lines[3 + len(defaults.SETTINGS)])
    )
    gains = [after - earlier for earlier, after in zip(before, chosen, strict=True)]
    least, most, middle = (f"{gain:.3f}".lstrip("0") for gain in (min(gains), max(gains), mean(gains)))
    told = f"by {least} (Wikipedia, CNN) to {most} (`scenes`), and on average by {middle}"
    assert told in " ".join(READMES["defaults"].split())


COMMANDS = sorted(
    {
        line.partition("  ")[0]
        for text in READMES.values()
        for line in re.findall(r"^ {4}(cmbench .*)$", text.replace(" \\\n       ", ""), re.MULTILINE)
    }
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_exists(command):
    assert not unknown_words(command)


@pytest.mark.parametrize("study", READMES)
def test_every_link_leads_somewhere(study):
    folder = RESULTS if study == "results" else RESULTS / study
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", READMES[study])
    assert not [link for link in links if not (folder / link).exists()]
