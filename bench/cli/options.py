"""The options that several verbs share, and what ``--set NAME.SETTING=VALUE`` means in all of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from sys import float_info
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from cmbench.evaluation.protocol import PROTOCOLS
from cmbench.limits import DEFAULT_DEADLINE
from cmbench.store import DEFAULT_STORE

if TYPE_CHECKING:
    from cmbench.methods.registry import Registry

Command = TypeVar("Command", bound=Callable[..., Any])

FORMS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    tuple: "a list of whole numbers",
    str: "a word",
}


def settings_of(texts: Iterable[str], form: str) -> dict[str, dict[str, Any]]:
    """Return the values by name and setting: JSON, True, False or None; anything else is a string.

    ``form`` says in the error how such an option should look.

    >>> settings_of(["cca.n_components=50", "cca.solver=none", "cca.block=None"], "METHOD.PARAMETER=VALUE")
    {'cca': {'n_components': 50, 'solver': 'none', 'block': None}}
    """
    settings: dict[str, dict[str, Any]] = {}
    for text in texts:
        left, equals, value = text.partition("=")
        name, dot, setting = left.partition(".")
        if not (equals and dot):
            raise click.BadParameter(f"{text!r} is not {form}")
        if setting in settings.get(name, {}):
            raise click.BadParameter(f"{name}.{setting} is set twice; leave one of them out")
        settings.setdefault(name, {})[setting] = _value(value)
    return settings


_PYTHONS_OWN = {"True": True, "False": False, "None": None}  # as `cmbench methods` writes values


def _value(text: str) -> Any:
    try:
        return _PYTHONS_OWN[text] if text in _PYTHONS_OWN else json.loads(text)
    except ValueError:
        return text


def like_default(name: str, value: Any, default: Any) -> Any:
    """Return a value from ``settings_of`` in the type of ``default``.

    A whole number may stand for a float; tuples are of whole numbers. ``click.UsageError``
    names the setting, the value and what it should be.

    >>> like_default("image.augmented", False, True), like_default("text.widths", [2, 3], (3, 4, 5))
    (False, (2, 3))
    """
    kind = type(default)
    if kind is float and type(value) in (int, float) and abs(value) <= float_info.max:
        return float(value)
    if kind is tuple and type(value) is list and all(type(number) is int for number in value):
        return tuple(value)
    if kind in (bool, int, str) and type(value) is kind:
        return value
    raise click.UsageError(
        f"--set {name}={_written(value)}: it must be {FORMS[kind]}, such as {_written(default)}"
    )


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


class Naming(click.types.StringParamType):
    """A text that is not empty; ``noun`` says in the error what it has to name."""

    def __init__(self, noun: str) -> None:
        self.noun = noun

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        name = str(super().convert(value, param, ctx))
        if not name.strip():
            self.fail(f"{name!r} names no {self.noun}", param, ctx)
        return name


class Place(click.Path):
    """The path of a file or folder; that of a variable that is not set would be the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not str(value).strip():
            self.fail(f"{str(value)!r} names no file or folder", param, ctx)
        return super().convert(value, param, ctx)


class NamingFolder(Naming):
    """The name of a folder, which need not be there."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        name = super().convert(value, param, ctx)
        if Path(name).is_file():
            self.fail(f"{name} is a file; name a folder", param, ctx)
        return name


DATASET, FOLDER, PLUGIN = Naming("dataset"), NamingFolder("folder"), Naming("file")


_NOUNS = {"categories": "category", "queries": "query", "contrast": "method"}
"""What is named in the lists of options whose own names say it otherwise."""


def names_of(_: click.Context, parameter: click.Parameter, text: str | None) -> list[str] | None:
    """Return the names in a list with commas, None where there is none."""
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        option = parameter.name or ""
        raise click.BadParameter(f"{text!r} names no {_NOUNS.get(option, option.removesuffix('s'))}")
    return names


MOST_SPLITS = 1_000
MOST_SEEDS = 1_000_000
"""What a number of seeds may be; a larger one is meant as a seed."""


def seeds_of(context: click.Context, parameter: click.Parameter, text: str) -> list[int]:
    """Return the seeds 0 to N - 1 for a number N, or those of a list with a comma; ``5,`` is seed 5 alone."""
    count, comma, _ = text.partition(",")
    try:
        numbers = [int(seed) for seed in text.removesuffix(",").split(",")]
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is neither a number of seeds such as 3 nor a list of whole numbers such as 0,1,2"
        ) from None
    if not comma and numbers[0] > MOST_SEEDS:
        raise click.BadParameter(f"{text} seeds are more than {MOST_SEEDS}; seed {count} alone is '{count},'")
    seeds = numbers if comma else list(range(numbers[0]))
    given = context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
    if seeds and given and not comma:
        last = f"seeds 0 to {seeds[-1]}" if len(seeds) > 1 else "seed 0"
        click.echo(f"cmbench: --seeds {count} is {last}; seed {count} alone would be '{count},'", err=True)
    if not seeds:
        raise click.BadParameter(f"{text} seeds would run nothing; seed {count} alone is '{count},'")
    return seeds


dataset_option = click.option(
    "--dataset",
    "datasets",
    type=DATASET,
    multiple=True,
    metavar="NAME_OR_PATH",
    help="A dataset by name, or a feature file or folder. Repeatable. [default: emoji]",
)
methods_option = click.option(
    "--methods",
    callback=names_of,
    metavar="A,B,C",
    help="Methods to run, or the groups paper, beyond, controls. [default: paper, and those of plugins]",
)
plugin_option = click.option(
    "--plugin",
    "plugins",
    type=PLUGIN,
    multiple=True,
    metavar="FILE.py",
    help="A file that defines methods. Repeatable.",
)


def available_methods(plugins: Sequence[str]) -> Registry:
    """Return the methods that there are with plugins, and say on stderr what is wrong with these."""
    from cmbench.methods.registry import registry
    from cmbench.output import printable

    available = registry(plugins)
    for problem in available.problems:
        click.echo(printable(f"cmbench: {problem}"), err=True)
    return available


def store_option_for(told: str, default: str = DEFAULT_STORE) -> Callable[[Command], Command]:
    """Return the option that names a store; ``told`` is what a verb says that it is for."""
    return click.option(
        "--store", type=FOLDER, default=default, show_default=True, metavar="FOLDER", help=told
    )


store_option = store_option_for("Where results are kept.")
stored_datasets_option = click.option(
    "--dataset",
    "datasets",
    type=DATASET,
    multiple=True,
    help="Name, or start of a fingerprint; repeat for several. Default: all.",
)
stored_methods_option = click.option(
    "--methods",
    callback=names_of,
    metavar="A,B,C",
    help="Names separated by commas, or the groups paper, beyond, controls. Default: all.",
)


def with_records(
    methods: Sequence[str] | None, records: Sequence[Mapping[str, Any]], datasets: Sequence[str] = ()
) -> list[str]:
    """Return the methods that are named, with those of a group that have records in the place of its name.

    They are records of these datasets, of the method or of what runs in its place. A group without any stays
    as it is; where nothing is named, the list is empty.
    """
    if not methods:
        return []
    from cmbench.methods.registry import GROUPS
    from cmbench.report.records import STAND_INS, select

    there = {record["method"]["name"] for record in select(records, datasets=datasets)}
    named = (
        [name for name in GROUPS.get(method, ()) if there & {name, STAND_INS.get(name)}] or [method]
        for method in methods
    )
    return [name for members in named for name in members]


stored_protocols_option = click.option(
    "--protocol", help="NAME or NAME:VERSION. Default: all, each in tables of its own."
)
all_versions_option = click.option(
    "--all-versions", is_flag=True, help="Show the results of older code of methods too."
)

_LIMITS = (
    click.option(
        "--jobs",
        type=click.IntRange(1),
        help="Cells to run at the same time. [default: 2, where there are as many processors]",
    ),
    click.option(
        "--threads",
        type=click.IntRange(1),
        help="Threads of each cell. [default: the processors, shared by the jobs]",
    ),
    click.option(
        "--deadline",
        default=DEFAULT_DEADLINE,
        show_default=True,
        metavar="TIME",
        help="Longest time a cell may take: 90s, 10m, 3h or none.",
    ),
    click.option(
        "--memory",
        default="auto",
        show_default=True,
        metavar="SIZE",
        help="Most memory a cell may use: 2GB or none; auto is 80 % of what is free, shared by the jobs.",
    ),
    click.option(
        "--executor",
        type=click.Choice(["local", "dask"]),
        default="local",
        show_default=True,
        help="Where cells run: on this machine, or on the workers of a Dask cluster.",
    ),
    click.option(
        "--scheduler",
        metavar="ADDRESS",
        help="The Dask scheduler, such as tcp://host:8786, or the path of its file; for --executor dask.",
    ),
)


def with_options(options: Sequence[Callable[[Command], Command]]) -> Callable[[Command], Command]:
    """Return what gives a verb these options, in this order."""

    def give(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return give


limit_options = with_options(_LIMITS)


measures_option = click.option(
    "--measures",
    callback=names_of,
    metavar="A,B,C",
    help="What to measure and show: map, map@K, p@K, r@K, ndcg, ndcg@K, medr. [default: what the protocol "
    "reports, such as map]",
)


splits_option = click.option(
    "--splits",
    type=click.IntRange(1, MOST_SPLITS),
    default=1,
    show_default=True,
    metavar="N",
    help="Ways to divide the pairs: the dataset's own, and N-1 drawn anew from all its pairs, by category.",
)
pairs_option = click.option(
    "--limit",
    type=click.IntRange(1),
    metavar="N",
    help="Take N pairs of each split, by category, for a first try; a dataset of its own in tables.",
)


def _settings(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    return settings_of(texts, "METHOD.PARAMETER=VALUE, such as cca.n_components=50")


def pairs_of(form: str) -> Callable[[click.Context, click.Parameter, tuple[str, ...]], dict[str, str]]:
    """Return what reads the texts of an option that have a form such as ``METHOD=PRESET``."""

    def read(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
        for text in texts:
            if not all(text.partition("=")):
                raise click.BadParameter(f"{text!r} is not {form}")
        return dict(text.split("=", 1) for text in texts)

    return read


RUN_OPTIONS = (
    dataset_option,
    methods_option,
    click.option(
        "--set",
        "parameters",
        multiple=True,
        callback=_settings,
        metavar="METHOD.PARAMETER=VALUE",
        help="A parameter of a method; 'cmbench methods METHOD' tells which there are. Repeatable.",
    ),
    click.option(
        "--preset",
        "presets",
        multiple=True,
        callback=pairs_of("METHOD=PRESET, such as corr-ae=paper"),
        metavar="METHOD=PRESET",
        help="Named parameters of a method, such as corr-ae=paper; --set changes single ones. Repeatable.",
    ),
    click.option(
        "--profile",
        type=Naming("profile"),
        metavar="tuned|paper|FILE.toml",
        help="Parameters in place of the defaults: what 'cmbench tune' chose before, or wrote to a file, or "
        "the published ones where a method has them. --preset and --set count more.",
    ),
    click.option(
        "--like",
        type=Naming("method"),
        metavar="METHOD",
        help="Give variants of a method, such as the ablations of cmgans, what the profile has for it.",
    ),
    plugin_option,
    click.option(
        "--seeds",
        default="1",
        show_default=True,
        callback=seeds_of,
        metavar="N or A,B,C",
        help="How many seeds, 0 to N-1, or a list of them ('5,' is seed 5 alone), for methods that use "
        "chance.",
    ),
    splits_option,
    click.option(
        "--protocol",
        type=click.Choice(list(PROTOCOLS)),
        default="paper",
        show_default=True,
        help="How to evaluate.",
    ),
    measures_option,
    store_option,
    click.option("--force", is_flag=True, help="Run cells again that are in the store."),
    click.option("--retry-failed", is_flag=True, help="Run those of them again that failed."),
    click.option(
        "--allow-repeated",
        is_flag=True,
        help="Run although pairs stand in two splits, which is refused otherwise; the table says so.",
    ),
    click.option(
        "--check-determinism",
        is_flag=True,
        help="Fit every method twice with the same seed; one whose representations differ fails.",
    ),
    pairs_option,
    limit_options,
)


run_options = with_options(RUN_OPTIONS)
