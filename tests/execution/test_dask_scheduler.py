"""What ``--scheduler`` may be: the address of a Dask scheduler, or the file that one wrote."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

import cmbench
from cmbench.errors import CmbenchError, ExecutionError
from cmbench.execution.dask import connected
from cmbench.execution.worker import code_of_cmbench

pytest.importorskip("distributed")
from distributed.comm import CommClosedError


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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"executor": "dask"}, "needs the scheduler"),
        ({"scheduler": "tcp://127.0.0.1:1"}, "only executor 'dask'"),
        ({"executor": "slurm"}, "use one of local, dask"),
    ],
)
def test_an_executor_without_what_it_needs_is_refused(toy, tmp_path, options, message):
    with pytest.raises(CmbenchError, match=message):
        cmbench.run(toy, ["cca"], store=tmp_path, **options)


def test_a_scheduler_that_is_not_there_is_named(toy, tmp_path, monkeypatch):
    monkeypatch.setattr("cmbench.execution.dask._PATIENCE", "1s")
    with pytest.raises(ExecutionError, match=r"no Dask scheduler answers at 'tcp://127\.0\.0\.1:9'"):
        cmbench.run(toy, ["cca"], store=tmp_path, executor="dask", scheduler="tcp://127.0.0.1:9")


def test_a_scheduler_that_ends_during_a_run_is_named_and_not_the_store(toy, tmp_path, monkeypatch):
    def lost(*_, **__):
        raise CommClosedError("in <TCP (closed)>: Stream is closed")

    client = SimpleNamespace(subscribe_topic=lambda *_: None, nthreads=lost, cancel=lost)
    monkeypatch.setattr("cmbench.execution.dask.connected", lambda _: nullcontext(client))
    with pytest.raises(ExecutionError, match=r"scheduler at 'tcp://127\.0\.0\.1:9' does not answer any more"):
        cmbench.run(toy, ["cca"], store=tmp_path, executor="dask", scheduler="tcp://127.0.0.1:9")


def test_what_stands_for_the_code_of_a_cmbench_is_another_where_a_file_is(tmp_path, monkeypatch):
    before = code_of_cmbench.__wrapped__()
    assert before == code_of_cmbench.__wrapped__()
    (tmp_path / "another.py").touch()
    monkeypatch.setattr("cmbench.methods.__path__", [*cmbench.methods.__path__, str(tmp_path)])
    assert code_of_cmbench.__wrapped__() != before
