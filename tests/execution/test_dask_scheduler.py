"""What ``--scheduler`` may be: the address of a Dask scheduler, or the file that one wrote."""

import pytest

from cmbench.errors import ExecutionError
from cmbench.execution.dask import connected

pytest.importorskip("distributed")


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        ("scheduler.jsn", "'scheduler.jsn': no such file, and no address of a Dask scheduler .missing port"),
        ("8786", "'8786': no such file, and no address"),
        ("http://x:1", "'http://x:1': no address of a Dask scheduler .unknown address scheme 'http'"),
        ("tcp://x", "'tcp://x': no address of a Dask scheduler .missing port"),
        ("a:b:c", "'a:b:c': no such file, and no address"),
    ],
)
def test_no_client_is_begun_for_what_is_no_address(monkeypatch, scheduler, message):
    monkeypatch.setattr("distributed.Client", lambda **place: pytest.fail(f"a client of {place}"))
    with pytest.raises(ExecutionError, match=message), connected(scheduler):
        pass


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"import os", "is not the file of a Dask scheduler .JSONDecodeError"),
        (b"{}", "is not the file of a Dask scheduler .KeyError: 'address'"),
        (b"[1]", "is not the file of a Dask scheduler .TypeError"),
        (b"\xff\xfe\xfd", "is not the file of a Dask scheduler"),
        (b'{"address": "x"}', "no address of a Dask scheduler .missing port"),
    ],
)
def test_no_client_is_begun_for_a_file_that_no_scheduler_wrote(tmp_path, monkeypatch, content, message):
    monkeypatch.setattr("distributed.Client", lambda **place: pytest.fail(f"a client of {place}"))
    file = tmp_path / "scheduler.json"
    file.write_bytes(content)
    with pytest.raises(ExecutionError, match=message), connected(str(file)):
        pass
