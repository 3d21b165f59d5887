"""Files from the net, by address and pinned checksum."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import pooch
import requests

from cmbench.disk import check_writable
from cmbench.errors import DatasetError

BLOCK = 2**16  # bytes


@dataclass(frozen=True)
class Download:
    """A file on the net that is what it was.

    Parameters
    ----------
    url : str
    sha256 : str, hexadecimal in small letters, of its content
    """

    url: str
    sha256: str

    @property
    def name(self) -> str:
        """The last part of the address, without what follows ``?``; ``DatasetError`` if it is no address."""
        try:
            return PurePosixPath(unquote(urlsplit(self.url).path)).name
        except ValueError as error:
            raise DatasetError(f"{self.url} is not an address ({error}); correct it") from error

    def into(self, folder: Path) -> Path:
        """Return the file in ``folder``, under its name, after fetching what is missing.

        A file that is there and whole is not fetched again. A transfer that was cut off leaves ``NAME.part``,
        and goes on where it stopped, if the server can do that.

        Raises
        ------
        DatasetError
            For an address that cannot be reached, a folder that cannot be written, and content of another
            checksum, which is not kept.
        """
        check_writable(folder)
        target = folder / self.name
        if target.exists():
            self._verify(target)
            return target
        part = target.with_name(target.name + ".part")
        resumed = part.exists()
        if not resumed or not self._is_whole(part):
            self._fetch(part)
        if resumed and not self._is_whole(part):  # the server sent all of it again, or the file has changed
            part.unlink(missing_ok=True)
            self._fetch(part)
        if not self._is_whole(part):
            digest = pooch.file_hash(str(part), "sha256")
            part.unlink()
            raise DatasetError(
                f"{self.url}: {self._mismatch(digest)}; nothing of it was kept. See that "
                "address and checksum are of the same version of the file"
            )
        part.replace(target)
        return target

    def _fetch(self, part: Path) -> None:
        there = part.stat().st_size if part.exists() else 0
        headers = {"Range": f"bytes={there}-", "Accept-Encoding": "identity"}
        try:
            with part.open("ab") as file:
                pooch.HTTPDownloader(chunk_size=BLOCK, headers=headers if there else None)(
                    self.url, file, None
                )
        except requests.HTTPError as error:
            if there and error.response.status_code == requests.codes.requested_range_not_satisfiable:
                return  # nothing is left to send; the checksum tells whether it is the file
            raise DatasetError(self._failure(error, part)) from error
        except (OSError, requests.RequestException) as error:
            raise DatasetError(self._failure(error, part)) from error

    def _failure(self, error: Exception, part: Path) -> str:
        said = f"{self.url}: cannot be fetched ({error}); "
        if part.stat().st_size == 0:
            part.unlink()
            return said + f"see that the address is right, or put the file into {part.parent} yourself"
        return said + (
            f"what came so far is in {part}, and running the command again goes on from there; or put the "
            f"file into {part.parent} yourself"
        )

    def _is_whole(self, path: Path) -> bool:
        return path.exists() and pooch.file_hash(str(path), "sha256") == self.sha256

    def _verify(self, target: Path) -> None:
        if not self._is_whole(target):
            digest = pooch.file_hash(str(target), "sha256")
            raise DatasetError(f"{target}: {self._mismatch(digest)}; remove it, and it will be fetched again")

    def _mismatch(self, digest: str) -> str:
        return f"the SHA-256 is {digest} and should be {self.sha256}"
