"""Records for tests, with all the fields of a real one, as ``tests/execution/test_runner.py`` asserts."""

from hashlib import sha256

TASKS = ("image_to_text", "text_to_image", "image_to_all", "text_to_all")
PROTOCOL = {
    "name": "paper",
    "version": 1,
    "similarity": "cosine",
    "cutoff": None,
    "denominator": "relevant",
    "keep_query": True,
    "normalisation": "none",
    "ties": "expectation",
}


def made_dataset(name="toy", **changes):
    """A dataset as a record describes it."""
    made = {
        "name": name,
        "fingerprint": ascii(name)[1:-1].encode().hex().ljust(64, "0"),
        "image_feature": "deep",
        "text_feature": "LDA",
        "source": "",
        "licence": "",
        "split": None,
        "notes": [],
        "warnings": [],
        "sizes": {"train": 80, "validation": 8, "test": 10},
        "image_dimension": 8,
        "text_dimension": 4,
        "class_names": ["cat", "dog"],
        "test_counts": [4, 6],
    }
    return {**made, **changes}


def made_record(
    method="cca",
    value=0.5,
    *,
    paper_name=None,
    family="traditional",
    version=1,
    parameters=None,
    seed=None,
    dataset="toy",
    protocol="paper",
    **changes,
):
    """A record whose four MAPs are ``value``, or the four values given.

    ``dataset`` and ``protocol`` are names, or all that a record holds of them.
    """
    values = [value] * 4 if isinstance(value, float) else value
    maps = dict(zip(TASKS, values, strict=True))
    maps["bimodal_average"] = (values[0] + values[1]) / 2
    maps["allmodal_average"] = (values[2] + values[3]) / 2
    dataset = made_dataset(dataset) if isinstance(dataset, str) else dataset
    protocol = {**PROTOCOL, "name": protocol} if isinstance(protocol, str) else protocol
    parameters = parameters or {}
    pairs = dataset["sizes"]["test"]
    cell = (dataset["name"], method, seed, protocol["name"], sorted(parameters.items()))
    made = {
        "schema": 1,
        "key": sha256(ascii(cell).encode()).hexdigest()[:16],
        "status": "ok",
        "dataset": dataset,
        "method": {
            "name": method,
            "paper_name": paper_name or method.upper(),
            "family": family,
            "uses_labels": False,
            "citation": "",
            "version": version,
            "code_version": str(version),
            "origin": "package",
            "parameters": parameters,
            "practical": [],
            "preset": None,
            "defaults": {},
        },
        "configuration": {
            "dataset": None,
            "split": 0,
            "method": method,
            "code_version": str(version),
            "plugin": None,
            "parameters": {},
            "seed": seed,
            "protocol": protocol["name"],
            "measures": [],
            "profile": None,
            "threads": 1,
        },
        "seed": seed,
        "protocol": protocol,
        "map": maps,
        "standard_error": dict.fromkeys(maps, 0.0125),
        "category_map": {task: [maps[task], *[None] * (len(dataset["class_names"]) - 1)] for task in TASKS},
        "chance": None,
        "queries": dict.fromkeys(TASKS, pairs),
        "gallery": dict(zip(TASKS, (pairs, pairs, 2 * pairs, 2 * pairs), strict=True)),
        "dimension": 8,
        "fitted": {},
        "transductive": False,
        "durations": {"fit": 1.5, "transform": 0.25, "processor": 1.25, "evaluate": 0.125, "total": 50.0},
        "peak_memory_bytes": 1000,
        "weights": 24,
        "threads": 1,
        "fence": {},
        "limits": {"deadline": None, "memory": None},
        "error": None,
        "log": "",
        "provenance": {},
    }
    return {**made, **changes}


def on_split(record, seed):
    """The record as it would be of the split that was drawn with that seed."""
    whole = record["dataset"]
    drawn = {name: whole[name] for name in ("name", "fingerprint")} | {"seed": seed}
    split = {
        **whole,
        "name": f"{whole['name']} split {seed}",
        "fingerprint": f"{seed:064x}",
        "split_of": drawn,
    }
    return {**record, "dataset": split, "key": f"{seed}{record['key'][1:]}"}


NUMBERS = ("map", "standard_error", "category_map", "queries", "gallery", "dimension")
"""What a failed cell does not have."""


def failed_record(method="cca", status="failed", *, error=None, **changes):
    """A record of a cell that failed."""
    nothing = dict.fromkeys(NUMBERS)
    return made_record(method, **{**nothing, "status": status, "error": error, **changes})


def made_error(type="Error", exit_status=None, message="a message"):
    """The error of a failed cell as its record holds it."""
    return {"type": type, "message": message, "traceback": "", "exit_status": exit_status}


def record_of(method, **tuning):
    """A record of a method whose parameters a search chose, of which ``tuning`` says more."""
    record = made_record(method, paper_name=method)
    record["method"]["tuning"] = {"profile": "tuned", **tuning}
    return record
