"""Runs Python as a user for whom modes of files count: of root, without the capabilities to pass them by."""

import subprocess
import sys

BEFORE = """
import sys
from pathlib import Path
from cmbench.execution import linux

if sys.platform == "linux":
    linux.keep_capabilities(())
argument = sys.argv[1]
"""


def as_ordinary_user(code, argument):
    """Run code in a process of its own, in which ``argument`` is a text; fail if it does."""
    subprocess.run([sys.executable, "-P", "-c", BEFORE + code, str(argument)], check=True, timeout=300)
