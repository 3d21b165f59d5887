"""``python -m cmbench``, the same as the command ``cmbench``."""

import os
import signal
import sys

# Until ``main`` can say in a sentence that it was interrupted, Ctrl-C ends the process without a traceback.
# Where it is ignored, in a job of ``nohup`` say, it stays ignored.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

# ``python -m`` puts the current folder first on sys.path. In the repository's root its folders
# ``datasets`` and ``methods`` would then hide other people's packages of those names.
if sys.path and sys.path[0] in ("", os.getcwd()) and not sys.flags.safe_path:
    del sys.path[0]

from cmbench.cli.main import main

if __name__ == "__main__":
    main()
