"""``cmbench tune``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from cmbench.cli.options import (
    available_methods,
    dataset_option,
    limit_options,
    methods_option,
    pairs_option,
    plugin_option,
    seeds_of,
    splits_option,
    store_option_for,
)
from cmbench.errors import CmbenchError
from cmbench.evaluation.protocol import PROTOCOLS, get_protocol
from cmbench.limits import parse_duration
from cmbench.store import TUNING_STORE


def _time(_: click.Context, __: click.Parameter, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        seconds = parse_duration(text)
    except CmbenchError:
        seconds = None
    if seconds is None:
        raise click.BadParameter(f"{text!r} is no budget; give a time such as 90s, 10m or 3h")
    return seconds


@click.command()
@dataset_option
@methods_option
@plugin_option
@click.option(
    "--trials",
    type=click.IntRange(1),
    help="Settings to try for each method, the defaults first. [default: 40 if --budget is not given]",
)
@click.option(
    "--budget",
    "seconds",
    callback=_time,
    metavar="TIME",
    help="Processor time for each method on each dataset, such as 90s, 10m or 3h; a trial that has begun is "
    "finished.",
)
@click.option(
    "--seeds",
    default="0,1,2",
    show_default=True,
    callback=seeds_of,
    metavar="N or A,B,C",
    help="Seeds of the best few trials, before one is chosen. The others have the first.",
)
@click.option(
    "--protocol",
    type=click.Choice(list(PROTOCOLS)),
    default="paper",
    show_default=True,
    help="How the validation pairs are ranked.",
)
@click.option(
    "--no-pruning", is_flag=True, help="Let trainings that fall behind earlier ones go to their end."
)
@click.option(
    "--retry-failed",
    is_flag=True,
    help="Run trials again that failed, such as those for which time or memory did not suffice.",
)
@splits_option
@pairs_option
@store_option_for("Where the trials are kept; what is there is not run again.", TUNING_STORE)
@click.option(
    "--output",
    "-o",
    default="tuned.toml",
    show_default=True,
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The profile to write, for 'cmbench run --profile FILE'. What one in its place says of other "
    "datasets and methods stays.",
)
@limit_options
def tune(
    datasets: tuple[str, ...],
    methods: list[str] | None,
    plugins: tuple[str, ...],
    trials: int | None,
    seconds: float | None,
    seeds: list[int],
    protocol: str,
    no_pruning: bool,
    splits: int,
    limit: int | None,
    store: str,
    output: Path,
    **limits: Any,
) -> None:
    """Choose parameters for every method with the same budget, on validation pairs alone.

    Every method, plugins included, gets the same number of trials, or the same processor time, on each
    dataset. What is tried comes from the search space that a method's parameters declare ('cmbench methods
    NAME'); what counts is the bi-modal MAP of the validation pairs, and test pairs are not read. A training
    that has fallen behind half of the earlier ones is ended, and counts as a trial; where it has several
    stages, each has a lower bar, so that it is not ended more often. The best few settings are run again with
    other seeds, and the one with the best mean is written to the profile. A search that was interrupted goes
    on where it was.

    With --splits each way to divide the pairs has a search of its own, on its own validation pairs, so that
    'cmbench run --splits' with the profile tests nothing on pairs that a choice was made by.

    A method of which every trial fails gets nothing, and the profile has the others; under --budget it has 40
    trials to fail. The exit status is 1
    then, if nothing was chosen at all, and if a plugin could not be loaded.
    """
    from cmbench.agenda import DEFAULT_DATASETS, sound_datasets
    from cmbench.choosing import wanted
    from cmbench.output import check_output
    from cmbench.profile_files import read_profile, write_profile
    from cmbench.tuning import Budget
    from cmbench.tuning import tune as search

    check_output(output)
    if output.exists():
        read_profile(output)  # which the search adds to
    available = available_methods(plugins)
    names = wanted(methods, available)
    budget = Budget(40 if trials is None and seconds is None else trials, seconds, tuple(seeds))
    loaded = sound_datasets(datasets or DEFAULT_DATASETS, get_protocol(protocol), splits=splits, limit=limit)
    alike = {dataset.fingerprint: dataset for dataset in reversed(loaded)}
    for dataset in loaded:
        if (other := alike[dataset.fingerprint]) is not dataset:
            same, first = (each.card.loaded_from or each.name for each in (dataset, other))
            click.echo(f"{same} has the pairs of {first}, which is searched alone", err=True)
    tuned = [
        search(
            dataset,
            names,
            budget=budget,
            store=store,
            plugins=available,
            protocol=protocol,
            pruning=not no_pruning,
            told=lambda line: click.echo(line, err=True),
            **limits,
        )
        for dataset in loaded
        if dataset is alike[dataset.fingerprint]
    ]
    chosen = any(result.choices for result in tuned)
    if chosen:
        write_profile(output, output.stem, tuned, budget, protocol=protocol)
        click.echo(f"wrote {output}; use it with 'cmbench run --profile {output}'")
    failed = [f"{name} on {result.dataset}" for result in tuned for name in result.failures]
    if failed:
        click.echo(f"cmbench: no parameters were chosen for {', '.join(failed)}: all trials failed", err=True)
    if not chosen:
        click.echo(f"cmbench: nothing was chosen, so that no {output} is written", err=True)
    sys.exit(1 if failed or not chosen or (plugins and available.problems) else 0)
