"""The method contract, the registry, and one file per method."""

if __name__ != "cmbench.methods":
    raise ImportError(
        f"this folder is the package 'cmbench.methods', but it was imported as {__name__!r}: "
        "the root of the cmbench repository is on sys.path. Install cmbench "
        "(pip install -c constraints.txt .) and run from another folder, or use the 'cmbench' command."
    )
