"""The files of a store, as tests compare them."""

import re


def files_of(store):
    """Return the names of all files, with RESULT for the digest in those of arrays."""
    names = (path.name for path in store.folder.rglob("*") if path.is_file())
    return sorted(re.sub(r"\.[0-9a-f]{8}\.npz$", ".RESULT.npz", name) for name in names)
