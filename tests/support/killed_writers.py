"""Kills in the middle of writing: at any change of a file's name."""

import itertools
import os
from pathlib import Path


class Killed(BaseException):
    """Stands for a kill: nothing may catch it but what runs whatever happens."""


def kill_at(step, monkeypatch, suffixes=(".json", ".npz")):
    """Let the file system end the writer at its ``step``-th change of names; return how many there were."""
    steps = itertools.count(1)
    passed = []

    def dying(original):
        def change(*arguments, **options):
            if Path(arguments[0]).suffix not in suffixes:
                return original(*arguments, **options)
            passed.append(next(steps))
            if passed[-1] >= step:
                raise Killed
            return original(*arguments, **options)

        return change

    for name in ("replace", "rename", "unlink"):  # pathlib goes through these
        monkeypatch.setattr(os, name, dying(getattr(os, name)))
    return passed
