"""What is current in a store: of each dataset the card, of each method the code, as the last run found them.

A run writes both beside the records, before its first cell:

* ``current/FINGERPRINT.json``: what the dataset's card said, and which code each method had. A card that
  was corrected since, for the same arrays, therefore stands in tables without running anything again; and
  code that was changed and changed back is known to be the newest, although its records are not. Of the code
  for splits that were drawn anew, what is noted for the dataset's own counts, which every run begins with.
* ``sources/DIGEST/``: the files of a plugin's code, once for each version of it. ``DIGEST`` are the last
  digits of the code version in its records.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cmbench.disk import check_plain, locked, replacing, replacing_folder, writing_to
from cmbench.errors import CmbenchWarning, StoreError
from cmbench.records import Record, base_dataset
from cmbench.schema import REMEDY_FOR_NOTES, Problem, finished_at, problems_of_note

LARGEST_SOURCE = 5_000_000
"""Bytes of a plugin's code that are kept; the largest files of more are left out, and named."""
LEFT_OUT = "LEFT_OUT.txt"
_SAYS_NOTHING = ("", "unknown", None)


def note(folder: Path, fingerprint: str, card: Mapping[str, Any], code: Mapping[str, str]) -> None:
    """Write down what a run knows of a dataset, where it is not what the store has noted.

    ``card`` are the fields of a record's ``dataset`` that its arrays do not determine; ``code`` is the code
    version of each method.
    """
    path = _path(folder, fingerprint)
    if _updated(_read(path), card, code) == _read(path):
        return
    with writing_to(path, raising=StoreError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.parent / ".lock"):  # another run may be noting other methods
            content = _updated(_read(path), card, code)
            with replacing(path) as beside:
                text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False)
                beside.write_text(f"{text}\n", encoding="utf-8", errors="backslashreplace")


def _updated(known: Mapping[str, Any], card: Mapping[str, Any], code: Mapping[str, str]) -> dict[str, Any]:
    """Return what is known with the newer values; a field of a card that says nothing replaces none."""
    said = {name: value for name, value in card.items() if value not in _SAYS_NOTHING}
    return {"dataset": {**known.get("dataset", {}), **said}, "code": {**known.get("code", {}), **code}}


def bring_notes(source: Path, into: Path, records: Iterable[Record]) -> None:
    """Note in a store what another one has noted, where the first says nothing else.

    ``records`` are those of both stores together, as they are now in the first: where the two do not agree on
    the newest code of a method, it is that of the record that was finished last.
    """
    by_dataset: dict[str, dict[str, list[Record]]] = {}
    for record in records:
        stem = _path(into, base_dataset(record)["fingerprint"]).stem
        by_dataset.setdefault(stem, {}).setdefault(record["method"]["name"], []).append(record)
    for path in _notes(source):
        theirs, ours = _read(path), _read(_path(into, path.stem))
        if not theirs:
            continue
        code = {**theirs.get("code", {}), **ours.get("code", {})}
        for method, version in theirs.get("code", {}).items():
            rivals = by_dataset.get(path.stem, {}).get(method)
            if code[method] != version and rivals:
                code[method] = code_of(max(rivals, key=finished_at))
        note(into, path.stem, {**theirs.get("dataset", {}), **ours.get("dataset", {})}, code)


def with_card(folder: Path, record: dict[str, Any]) -> dict[str, Any]:
    """Return the record with the card that its dataset had in the last run."""
    return with_cards(folder, [record])[0]


def with_cards(folder: Path, records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the records, each with the card that its dataset had in the last run."""
    cards: dict[str, dict[str, Any]] = {}
    found = []
    for record in records:
        fingerprint = record["dataset"]["fingerprint"]
        if fingerprint not in cards:
            cards[fingerprint] = _read(_path(folder, fingerprint)).get("dataset", {})
        newest = cards[fingerprint]
        found.append({**record, "dataset": {**record["dataset"], **newest}} if newest else record)
    return found


def newest_code(folder: Path, records: Sequence[Record]) -> list[Record]:
    """Return the records of the newest code of each method, on each dataset under each protocol.

    Splits of a dataset that were drawn anew are of that dataset. A ``CmbenchWarning`` says what is left out.
    """
    newest, older = divided_by_code(folder, records)
    tell_of_older(older, remedy="--all-versions shows them")
    return newest


def divided_by_code(folder: Path, records: Sequence[Record]) -> tuple[list[Record], list[Record]]:
    """Return the records of the newest code of each method, on each dataset under each protocol, and others.

    That is the code of the last run, or where the store does not say, that of the record finished last.
    """
    rivalries = [_rivalry(record) for record in records]
    rivals: dict[str, list[Record]] = {}
    for rivalry, record in zip(rivalries, records, strict=True):
        rivals.setdefault(rivalry, []).append(record)
    newest = {rivalry: newest_version(folder, found) for rivalry, found in rivals.items()}
    is_newest = [code_of(each) == newest[rivalry] for rivalry, each in zip(rivalries, records, strict=True)]
    older = [record for record, newer in zip(records, is_newest, strict=True) if not newer]
    return [record for record, newer in zip(records, is_newest, strict=True) if newer], older


def tell_of_older(records: Sequence[Record], *, remedy: str) -> None:
    """Warn that records are left out, where there are any; ``remedy`` says how they are shown."""
    if records:
        names = ", ".join(sorted({record["method"]["name"] for record in records}))
        warnings.warn(
            f"{len(records)} cell(s) of other code than the newest are left out ({names}); {remedy}, "
            "and 'cmbench clean' removes those that were run again",
            CmbenchWarning,
            stacklevel=4,
        )


def newest_version(folder: Path, rivals: Sequence[Record]) -> str:
    """Return the newest code version of records of one method on one dataset, splits of it among them."""
    versions = {code_of(record) for record in rivals}
    noted = _read(_path(folder, base_dataset(rivals[0])["fingerprint"])).get("code", {})
    last = noted.get(rivals[0]["method"]["name"])
    return str(last) if last in versions else code_of(max(rivals, key=finished_at))


def code_of(record: Record) -> str:
    """Return the version of the method's code that a record is of."""
    method = record["method"]
    return str(method.get("code_version", method["version"]))


def _rivalry(record: Record) -> str:
    dataset, method = base_dataset(record)["fingerprint"], record["method"]["name"]
    return json.dumps([dataset, method, dict(record["protocol"])], sort_keys=True)


def source_folder(folder: Path, code_version: str) -> Path:
    """Return where a store keeps the code of a plugin."""
    return folder / "sources" / code_version.rpartition("-")[2]


def keep_source(folder: Path, code_version: str, files: Mapping[str, bytes]) -> None:
    """Keep the files of a plugin's code, once for each version; those beyond ``LARGEST_SOURCE`` are named."""
    place = source_folder(folder, code_version)
    if place.is_dir():
        return
    kept = _fitting(files)
    with writing_to(place, raising=StoreError):
        (folder / "current").mkdir(parents=True, exist_ok=True)
        with locked(folder / "current" / ".lock"):  # another run may be keeping the same code
            place.parent.mkdir(exist_ok=True)
            _keep(place, kept, files)


def _keep(place: Path, kept: Sequence[str], files: Mapping[str, bytes]) -> None:
    if not place.is_dir():
        with replacing_folder(place) as beside:
            for name in kept:
                path = beside / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(files[name])
            _name_the_rest(beside, {name: len(files[name]) for name in files if name not in kept})


def _fitting(files: Mapping[str, bytes]) -> list[str]:
    kept, total = [], 0
    for name in sorted(files, key=lambda name: len(files[name])):
        total += len(files[name])
        if total <= LARGEST_SOURCE:
            kept.append(name)
    return kept


def _name_the_rest(folder: Path, sizes: Mapping[str, int]) -> None:
    if not sizes:
        return
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{name} ({size} bytes)\n" for name, size in sizes.items()]
    head = f"Not kept, because the code is larger than {LARGEST_SOURCE} bytes:\n"
    (folder / LEFT_OUT).write_text("".join([head, *lines]), encoding="utf-8", errors="backslashreplace")
    warnings.warn(
        f"the code of a plugin is larger than {LARGEST_SOURCE / 1e6:.0f} MB, so that the store does not keep "
        f"{', '.join(sizes)}; its key covers them all the same",
        CmbenchWarning,
        stacklevel=2,
    )


def _path(folder: Path, fingerprint: str) -> Path:
    return folder / "current" / f"{fingerprint[:32]}.json"


def damaged_notes(folder: Path) -> list[Problem]:
    """Return which notes of a store cannot be read; all else counts them as none."""
    return [read for read in map(_content, _notes(folder)) if isinstance(read, Problem)]


def _notes(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "current").glob("*.json") if not path.name.startswith("."))


def _read(path: Path) -> dict[str, Any]:
    content = _content(path)
    return {} if isinstance(content, Problem) else content


def _content(path: Path) -> dict[str, Any] | Problem:
    """Return what is noted in a file, nothing where there is none, or what is wrong with it."""
    try:
        check_plain(path)
        content = json.loads(path.read_text(encoding="utf-8"))
        reason = next(problems_of_note(content), "")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except RecursionError:
        reason = "it is nested too deeply"
    except (OSError, ValueError) as error:
        reason = str(error)
    return Problem(path, reason, kind="note of a dataset", remedy=REMEDY_FOR_NOTES) if reason else content
