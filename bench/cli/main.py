"""The command ``cmbench`` and its verbs, each imported when it is used."""

from __future__ import annotations

import signal
import sys
import warnings
from errno import EIO, ENOSPC, EPIPE
from importlib import import_module
from types import FrameType
from typing import Any, NoReturn

import click

from cmbench import __version__
from cmbench.cli.terminal import lead_nowhere, prepare
from cmbench.errors import CmbenchError, DamagedRecordWarning
from cmbench.output import printable

# What --help says of each verb without importing it.
VERBS = {
    "run": "Fit and evaluate methods on datasets, and print the table.",
    "plan": "Print the cells of a run, which of them are stored, and how long the others will take.",
    "tune": "Choose parameters on validation pairs, with the same budget for every method.",
    "table": "Print the results in a store as a table.",
    "compare": "Say how two methods or two stores differ, and whether by more than chance.",
    "merge": "Bring the results of other stores into one, and say what differs and what is replaced.",
    "plot": "Draw figures from the results in a store.",
    "report": "Write a page of all results that opens in any browser.",
    "show": "Show everything that a store holds about a cell.",
    "reproduce": "Run a stored cell again and compare.",
    "clean": "Remove failed cells, and those that newer code has been run for.",
    "methods": "List the methods, or describe one with all its parameters.",
    "cite": "Print BibTeX entries of the papers of methods, and of cmbench.",
    "check": "Check that a method keeps what every method has to keep.",
    "datasets": "List, describe and check datasets.",
    "features": "Make features of pictures and texts.",
}
_GOING_ON = ("run", "tune", "merge", "datasets", "features")  # what they have finished is not done again
_INTERRUPTING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
_OUTPUT_ERRORS = (EPIPE, EIO, ENOSPC)
INTERRUPTED = 130  # what shells expect after Ctrl-C


class Verbs(click.Group):
    """A group whose commands live in modules of their own name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command: click.Command = getattr(import_module(f"cmbench.cli.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.command(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="cmbench")
def cli() -> None:
    """Compare cross-modal retrieval methods on the same features, under one evaluator.

    'cmbench run' fits the methods on the built-in dataset and prints the table.
    """


def main() -> NoReturn:
    """Run the command line. Errors meant for people are one message and exit status 1.

    So are records that cannot be read; what is printed is then made from the others.
    """
    prepare()
    left_out = _tell_of_damage()
    try:
        for number in _INTERRUPTING:
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup: let it outlive its terminal
                signal.signal(number, _interrupt)
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # see __main__
            signal.signal(signal.SIGINT, signal.default_int_handler)
        status = cli.main(standalone_mode=False, prog_name="cmbench")
        sys.stdout.flush()
    except CmbenchError as error:
        click.echo(printable(f"cmbench: {error}"), err=True)
        status = 1
    except OSError as error:
        status = _output_lost(error)
    except SystemExit as ended:  # a verb's own status, or a method's last words
        status = ended.code
        if isinstance(status, str):
            click.echo(printable(f"cmbench: {status}"), err=True)
            status = 1
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except (KeyboardInterrupt, click.exceptions.Abort):  # click turns the first into the second
        verb = next((word for word in sys.argv[1:] if word in VERBS), "")
        rest = "; what is finished is kept, and the same command goes on from there"
        click.echo(f"cmbench: interrupted{rest if verb in _GOING_ON else ''}", err=True)
        status = INTERRUPTED
    status = status if isinstance(status, int) else 0
    sys.exit(1 if left_out and status == 0 else status)


def _tell_of_damage() -> list[str]:
    """Return a list that gets the message of each record that is left out; the message is printed, too."""
    told: list[str] = []
    show = warnings.showwarning

    def showing(message: Warning | str, category: type[Warning], *place: Any, **options: Any) -> None:
        if not issubclass(category, DamagedRecordWarning):
            show(message, category, *place, **options)
        elif str(message) not in told:
            told.append(str(message))
            click.echo(printable(f"cmbench: left out: {message}"), err=True)

    warnings.showwarning = showing
    return told


def _output_lost(error: OSError) -> int:
    """Return the exit status where what was asked for could not be printed; raise any other error again."""
    if error.filename is not None or error.errno not in _OUTPUT_ERRORS:
        raise error
    lead_nowhere(sys.stdout)
    if error.errno != EPIPE:  # who closes a pipe knows
        click.echo(f"cmbench: the output could not be written ({error.strerror})", err=True)
    return 1


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
