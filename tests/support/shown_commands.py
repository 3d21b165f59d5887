"""Commands that documents show, held against the help of those that there are."""

import re

from click.testing import CliRunner

from cmbench.cli.main import cli

GROUPS = ("datasets", "features", "plot")


def unknown_words(command):
    """Return the words of a command line that its help does not know: the command itself, or options."""
    words = command.split()[1:]
    verb = words[:2] if words[0] in GROUPS else words[:1]
    result = CliRunner().invoke(cli, [*verb, "--help"])
    if result.exit_code:
        return verb
    options = [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]
    return [option for option in options if not re.search(rf"(?<![\w-]){option}(?![\w-])", result.output)]
