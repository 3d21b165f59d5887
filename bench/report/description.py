"""Everything a record says, for reading."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cmbench.limits import duration_text

_PACKAGES = ("cmbench", "numpy", "scipy", "scikit-learn", "torch")


def describe(record: Mapping[str, Any]) -> str:
    """Return a record as text: one fact a line, errors with their traceback."""
    lines = [f"{record['dataset']['name']} / {record['method']['paper_name']}  ({record['status']})"]
    lines += [f"  {name:<12} {value}" for name, value in _facts(record) if value not in (None, "")]
    error = record["error"]
    if error:
        lines += ["", *("  " + line for line in error["traceback"].rstrip().splitlines())]
    return "\n".join(lines)


def _facts(record: Mapping[str, Any]) -> list[tuple[str, Any]]:
    dataset, provenance = record["dataset"], record["provenance"]
    error = record["error"]
    sizes = dataset["sizes"]
    git = provenance["git"]
    return [
        ("key", record["key"]),
        ("error", error and f"{error['type']}: {error['message']}"),
        *((task, f"{value:.4f}") for task, value in (record["map"] or {}).items()),
        ("preset", record["method"].get("preset")),
        ("parameters", _plain(record["method"]["parameters"])),
        ("fitted", _plain(record["fitted"])),
        ("seed", record["seed"]),
        ("protocol", f"{record['protocol']['name']} version {record['protocol']['version']}"),
        (
            "dataset",
            f"{sizes['train']}/{sizes['validation']}/{sizes['test']} pairs, {dataset['fingerprint'][:16]}",
        ),
        ("images", f"{dataset['image_dimension']}-d, {dataset['image_feature']}"),
        ("texts", f"{dataset['text_dimension']}-d, {dataset['text_feature']}"),
        (
            "durations",
            ", ".join(f"{k} {duration_text(v)}" for k, v in record["durations"].items() if v is not None),
        ),
        ("memory", f"{record['peak_memory_bytes'] / 1e6:.0f} MB at most, {record['threads']} thread(s)"),
        ("log", record["log"]),
        ("packages", ", ".join(f"{name} {provenance['packages'].get(name)}" for name in _PACKAGES)),
        ("machine", f"{provenance['processor']}, Python {provenance['python']}, {provenance['platform']}"),
        ("accelerator", provenance["accelerator"] and provenance["accelerator"]["name"]),
        ("source", git and f"commit {git['commit'][:12]}{' with local changes' if git['dirty'] else ''}"),
        ("finished", provenance["finished"]),
    ]


def _plain(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={json.dumps(value)}" for name, value in sorted(values.items()))
