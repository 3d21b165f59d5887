"""A method that starts processes in every way that makes them hard to end, and then works on for long."""

import os
import subprocess
import sys
import time

from cmbench.methods.contract import Method

SLEEP = "import time; time.sleep(600)"


class Forking(Method):
    """Its processes carry the folder of the cell in their command lines."""

    name = "forking"

    def fit(self, train, validation):
        mark = os.getcwd()
        subprocess.Popen([sys.executable, "-c", SLEEP, mark])
        subprocess.Popen([sys.executable, "-c", SLEEP, mark], start_new_session=True)
        subprocess.Popen(["sh", "-c", f"nohup '{sys.executable}' -c '{SLEEP}' '{mark}' & exit"]).wait()
        if not os.fork():  # a daemon: twice forked, in a session of its own, deaf to polite signals
            os.setsid()
            if not os.fork():
                subprocess.run(
                    ["sh", "-c", f"trap '' HUP TERM INT; '{sys.executable}' -c '{SLEEP}' '{mark}'; :"]
                )
            os._exit(0)
        self._loky()
        time.sleep(600)

    def _loky(self):
        """scikit-learn's way: joblib's worker processes."""
        from joblib import Parallel, delayed

        Parallel(n_jobs=2)(delayed(abs)(number) for number in (-1, -2))

    def transform_images(self, images):
        return images[:, :2]

    def transform_texts(self, texts):
        return texts[:, :2]
