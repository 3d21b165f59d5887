"""Limits as people write and read them, and what a machine or container has."""

import os
import subprocess
import sys

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmbench.errors import CmbenchError
from cmbench.limits import (
    DEFAULT_DEADLINE,
    Limits,
    available_cores,
    default_memory,
    duration_text,
    parse_duration,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("1.5h", 5400),
        (" 10 m ", 600),
        ("2H", 7200),
        ("1d", 86400),
        (4, 4),
        (2.5, 2.5),
        ("none", None),
        ("None", None),
        (None, None),
    ],
)
def test_a_duration_is_read_as_seconds(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("500MB", 500_000_000),
        ("2GB", 2 * 10**9),
        ("2GiB", 2 * 2**30),
        ("1.5 gib", 3 * 2**29),
        (1024, 1024),
        ("3KiB", 3072),
        (10**9, 10**9),
        ("none", None),
        (None, None),
    ],
)
def test_a_size_is_read_as_bytes(text, size):
    found = parse_size(text)
    assert found == size
    assert found is None or isinstance(found, int)


@pytest.mark.parametrize(("parse", "wanted"), [(parse_duration, "5s, 5m, 5h"), (parse_size, "5GB")])
def test_a_text_without_a_unit_is_asked_for_one(parse, wanted):
    with pytest.raises(CmbenchError, match=f"'5' has no unit.*write one of .*{wanted}"):
        parse("5")
    assert parse(5) == 5


@pytest.mark.parametrize(
    "text",
    ["", "soon", "10x", "10 mm", "-5s", -5, "0", 0, "1h30m", "nan", "inf", "1e3", "h", "5s 6s", "10GB"],
)
def test_what_is_no_duration_is_named_with_examples(text):
    with pytest.raises(CmbenchError, match=r"is not a deadline such as 90s, 10m, 3h or none") as caught:
        parse_duration(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["", "much", "2 gallons", "-1GB", "0GB", "10m", "1GB2"])
def test_what_is_no_size_is_named_with_examples(text):
    with pytest.raises(CmbenchError, match=r"is not a size such as 500MB, 2GB or none"):
        parse_size(text)


@given(st.integers(1, 10**6), st.sampled_from(["s", "m", "h", "d"]))
def test_a_number_with_a_unit_is_that_many_units(number, unit):
    assert parse_duration(f"{number}{unit}") == number * parse_duration(f"1{unit}")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (10.4, "10 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (119.7, "2 min"),
        (90, "1 min 30 s"),
        (3599.6, "1 h 0 min"),
        (7384, "2 h 3 min"),
        (90061, "25 h 1 min"),
    ],
)
def test_a_duration_reads_well(seconds, text):
    assert duration_text(seconds) == text


@given(st.floats(0, 10**6), st.floats(0, 10**6))
def test_a_longer_duration_never_reads_shorter(one, other):
    def seconds(text):
        units = {"s": 1, "min": 60, "h": 3600}
        words = text.split()
        return sum(float(number) * units[unit] for number, unit in zip(words[::2], words[1::2], strict=True))

    short, long = sorted((one, other))
    assert seconds(duration_text(short)) <= seconds(duration_text(long))


def test_the_default_deadline_is_one():
    assert parse_duration(DEFAULT_DEADLINE) > 60


def test_limits_read_as_one_phrase():
    assert str(Limits(90.0, 2 * 10**9, 4)) == "deadline 1 min 30 s, at most 2.0 GB, 4 thread(s)"
    assert str(Limits(None, None, 1)) == "no deadline, no memory limit, 1 thread(s)"


def test_the_memory_of_a_cell_is_its_share_of_four_fifths_of_what_is_free():
    free = psutil.virtual_memory().available
    alone, shared = default_memory(1), default_memory(4)
    assert 0 < alone <= 0.85 * free
    assert shared == pytest.approx(alone / 4, rel=0.1)


def default_memory_under(limit):
    code = "from cmbench.limits import default_memory; print(default_memory(1))"
    done = subprocess.run(
        ["sh", "-c", f'{limit}; exec "$0" -P -c "$1"', sys.executable, code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of a shell on the address space")
@pytest.mark.parametrize("option", ["-v", "-d"])
def test_the_limit_of_the_shell_is_a_limit_of_each_cell(option):
    assert default_memory_under(f"ulimit -S {option} 1000000") <= 0.8 * 1000000 * 1024
    assert default_memory_under("true") == pytest.approx(default_memory(1), rel=0.2)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no processor affinity on this system")
def test_only_the_processors_this_process_may_use_count():
    one = next(iter(os.sched_getaffinity(0)))
    code = (
        f"import os; os.sched_setaffinity(0, {{{one}}});"
        "from cmbench.limits import available_cores; print(available_cores())"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
    assert available_cores() == len(os.sched_getaffinity(0))
