"""Files that a user names: links are followed, what is no plain file is refused, modes stay."""

import os
import stat

import pytest

from cmbench.errors import ReportError
from cmbench.output import output_file, printable


def write(path, text="new"):
    with output_file(path) as beside:
        beside.write_text(text)


def test_a_symbolic_link_stays_one_and_its_target_gets_the_new_text(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "real.md", tmp_path / "link.md"
    target.write_text("old")
    link.symlink_to(target)
    write(link)
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert os.listdir(target.parent) == ["real.md"]


def test_a_link_to_nothing_makes_the_file_it_names(tmp_path):
    (tmp_path / "link.md").symlink_to(tmp_path / "later.md")
    write(tmp_path / "link.md")
    assert (tmp_path / "later.md").read_text() == "new"
    assert (tmp_path / "link.md").is_symlink()


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_an_older_file_keeps_its_mode(tmp_path, mode):
    path = tmp_path / "table.md"
    path.write_text("old")
    path.chmod(mode)
    write(path)
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", mode)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root may give a file away")
def test_an_older_file_keeps_its_owner(tmp_path):
    path = tmp_path / "table.md"
    path.write_text("old")
    os.chown(path, 12345, 23456)
    write(path)
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 23456)


def test_a_new_file_gets_the_mode_of_any_new_file(tmp_path):
    (tmp_path / "other").write_text("")
    write(tmp_path / "table.md")
    assert (tmp_path / "table.md").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("kind", ["FIFO", "folder", "device", "socket"])
def test_what_is_no_plain_file_is_refused_and_stays(tmp_path, kind):
    path = tmp_path / "place"
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/null")
    else:
        import socket

        holder = socket.socket(socket.AF_UNIX)
        holder.bind(os.fspath(path))
    before = path.stat()
    with pytest.raises(ReportError, match=f"place is a {kind}.*leave --output out"):
        write(path)
    assert (path.stat().st_ino, path.stat().st_mode) == (before.st_ino, before.st_mode)
    assert os.listdir(tmp_path) == ["place"]


def test_a_missing_folder_is_named_and_not_made(tmp_path):
    with pytest.raises(ReportError, match=r"no folder .*typo; make it first"):
        write(tmp_path / "typo" / "table.md")
    assert not (tmp_path / "typo").exists()


def test_links_in_a_circle_are_an_error_with_the_remedy(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(ReportError, match="name another file"):
        write(tmp_path / "a")


def test_after_an_error_the_older_file_is_as_it_was(tmp_path):
    path = tmp_path / "table.md"
    path.write_text("old")
    path.chmod(0o600)

    def failing():
        with output_file(path):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("old", 0o600)


def test_escape_sequences_are_written_out_and_lines_stay():
    assert printable("a\x1b[2Jb\x07\x9bc\r") == "a\\x1b[2Jb\\x07\\x9bc\\x0d"
    assert printable("± →\n\tMAP 0.5\n") == "± →\n\tMAP 0.5\n"
