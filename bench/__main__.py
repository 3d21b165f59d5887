"""``python -m cmbench``, the same as the command ``cmbench``."""

import os
import sys

# ``python -m`` puts the current folder first on sys.path. In the repository's root its folders
# ``datasets`` and ``methods`` would then hide other people's packages of those names.
if sys.path and sys.path[0] in ("", os.getcwd()) and not sys.flags.safe_path:
    del sys.path[0]

from cmbench.cli.main import main

if __name__ == "__main__":
    main()
