"""Records of equal searches, of which the leaderboard is made, brought here from stores.

The runs are made by commands, which the README of ``tuned`` has, since they may take days and several
machines. Their records are brought together with the AP of each query, of which tests are made, and without
other arrays. Nothing in them names a place of the machine that ran them, or pairs of others.
"""

import json
import re
import tarfile
from collections.abc import Iterable, Mapping
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from cmbench.datasets.registry import dataset_names
from cmbench.schema import VALIDATION
from cmbench.store import Store


def collect_tuned(source: Path, folder: Path) -> None:
    """Bring the records of a store of tuned runs into ``folder``, in place of earlier ones.

    What an earlier search chose for a method goes from a dataset on which a later one chose otherwise.
    """
    store, results = Store(source), Store(folder)
    brought = store.records()
    leave_out_earlier(results, brought)
    for record in brought:
        arrays = store.arrays(record) if record["status"] == "ok" else None
        kept = None if arrays is None else per_query(arrays, named=is_shipped(record))
        results.put(to_show(record), kept)
    results.pack()


def leave_out_earlier(results: Store, brought: Iterable[dict[str, Any]]) -> None:
    """Remove the records of rows that are brought with other parameters, or of another version."""
    settings: dict[Row, list[Mapping[str, Any]]] = {}
    for record in brought:
        settings.setdefault(row_of(record), []).append(setting_of(record))
    for path in results.folder.glob("*.jsonl"):
        kept = []
        for line in path.read_text("utf-8").splitlines(keepends=True):
            record = json.loads(line)
            new, old = settings.get(row_of(record)), setting_of(record)
            if new is None or any(
                all(old[name] == each[name] for name in old if name in each) for each in new
            ):
                kept.append(line)
            else:
                results.arrays_path(record).unlink(missing_ok=True)
        path.write_text("".join(kept), encoding="utf-8")


Row = tuple[str, str, str | None]


def row_of(record: Mapping[str, Any]) -> Row:
    """Return what is one row of a table: the pairs, the method, and whose parameters it has."""
    method = record["method"]
    return record["dataset"]["fingerprint"], method["name"], (method.get("tuning") or {}).get("like")


def setting_of(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the runs of a row have in common: the version of the method, and all but the seed."""
    method = record["method"]
    parameters = {name: value for name, value in method["parameters"].items() if name != "random_state"}
    return {"code version": method["code_version"], **parameters}


def to_show(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record without places of the machine that ran it, and without names of pairs of others."""
    shown: dict[str, Any] = without_places(record if is_shipped(record) else without_names(record))
    return shown


def is_shipped(record: Mapping[str, Any]) -> bool:
    """Return whether the pairs of a record, or of a trial, come with cmbench."""
    return record["dataset"]["name"].removesuffix(VALIDATION) in dataset_names()


PLACE = re.compile(r"""(?<![\w.:/])/(?:[^/\s'"]+/)+([^/\s'"]*)""")
"""An absolute path in a text, and its last part."""


def without_places(value: Any) -> Any:
    """Return a record that has names in place of the paths of the machine that ran it."""
    if isinstance(value, dict):
        return {name: without_places(held) for name, held in value.items()}
    if isinstance(value, list):
        return [without_places(held) for held in value]
    return PLACE.sub(r"\1", value) if isinstance(value, str) else value


NAMED_PAIRS = re.compile(
    r"( too(?:, (?:by their names, with other features|with other texts))?| of zeros alone(?:, as [^:]*)?)"
    r": .*(?=; (?:keep|nothing) )"
)
"""The names of pairs in a warning of those that stand in two splits, or hold zeros alone."""


def without_names(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record whose warnings of pairs say how many, and not which."""
    dataset = record["dataset"]
    told = [NAMED_PAIRS.sub(r"\1", text) for text in dataset.get("warnings", ())]
    return record | {"dataset": dataset | ({"warnings": told} if told else {})}


def per_query(arrays: Mapping[str, Any], *, named: bool) -> dict[str, Any]:
    """Return the AP of each query, with the names and categories of test pairs if they are cmbench's own.

    Of others, which nobody has licensed for redistribution, categories are left out, and a digest stands for
    each name, by which tests find the queries of one pair.
    """
    kept = {name: held for name, held in arrays.items() if name.startswith("ap_") or name == "units"}
    if named:
        return kept | {name: arrays[name] for name in ("ids", "labels") if name in arrays}
    return kept | {"ids": np.array([sha256(str(id_).encode()).hexdigest()[:16] for id_ in arrays["ids"]])}


# What did the searches try? The records of their trials are kept without arrays, packed, since there are
# hundreds of each dataset. Unpacked they are a store again, in which ``cmbench tune`` goes on.


def keep_searches(source: Path, folder: Path) -> None:
    """Bring the records of a store of searches into an archive for each dataset, beside those it has."""
    folder.mkdir(parents=True, exist_ok=True)
    kept: dict[Path, dict[str, bytes]] = {}
    for path in sorted(source.glob("cells/*/*.json")):
        record = json.loads(path.read_text("utf-8"))
        name = validated(record)
        archive = folder / f"{name}.tar.xz"
        if archive not in kept:
            kept[archive] = unpacked(archive) if archive.exists() else {}
        text = json.dumps(to_show(record), separators=(",", ":"))
        kept[archive][str(path.relative_to(source))] = text.encode()
    for archive, files in kept.items():
        pack(files, archive)


def validated(record: Mapping[str, Any]) -> str:
    """Return the name of the dataset on whose validation pairs a trial of a search was ranked."""
    name = str(record["dataset"]["name"])
    if not name.endswith(VALIDATION):
        raise SystemExit(f"the record {record['key']} of {name} was not ranked on validation pairs")
    return name.removesuffix(VALIDATION)


def unpacked(archive: Path) -> dict[str, bytes]:
    """Return the files of an archive, by name."""
    with tarfile.open(archive) as tar:
        return {member.name: held.read() for member in tar if (held := tar.extractfile(member))}


def pack(files: Mapping[str, bytes], archive: Path) -> None:
    """Write an archive of files, the same bytes whenever and by whom it is written."""
    with tarfile.open(archive, "w:xz") as tar:
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, BytesIO(content))
