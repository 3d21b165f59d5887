"""Methods that fail in every way a method can, for the tests of the runner."""

import ctypes
import os
import time

import numpy as np

from cmbench.methods.contract import Method


class Hostile(Method):
    """Maps both sides to their first two columns; subclasses misbehave in ``fit``."""

    def fit(self, train, validation):
        return self

    def transform_images(self, images):
        return images[:, :2]

    def transform_texts(self, texts):
        return texts[:, :2]


class SpreadsWide(Hostile):
    """Returns one column five million times, which takes no memory as long as nobody copies it."""

    def transform_images(self, images):
        return np.broadcast_to(images[:, :1], (len(images), 5_000_000))

    transform_texts = transform_images


class Raises(Hostile):
    def fit(self, train, validation):
        raise ZeroDivisionError("a fit that divides by zero")


class Exits(Hostile):
    def fit(self, train, validation):
        os._exit(3)


class ExitsCleanly(Hostile):
    def fit(self, train, validation):
        os._exit(0)


class CallsSysExit(Hostile):
    def fit(self, train, validation):
        raise SystemExit(0)


class Segfaults(Hostile):
    def fit(self, train, validation):
        print("about to read address 0", flush=True)
        ctypes.string_at(0)


class Hangs(Hostile):
    def fit(self, train, validation):
        while True:
            time.sleep(3600)


class HangsDeaf(Hostile):
    """Ignores polite signals, and leaves a process of its own in another session."""

    def fit(self, train, validation):
        import signal
        import subprocess
        import sys

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        sleep = [sys.executable, "-c", "import time; time.sleep(3600)", os.getcwd()]
        subprocess.Popen(sleep, start_new_session=True)
        while True:
            time.sleep(3600)


class Allocates(Hostile):
    def fit(self, train, validation):
        hoard = []
        while True:
            hoard.append(np.ones(4_000_000))
            time.sleep(0.005)


class ReturnsNaN(Hostile):
    def transform_texts(self, texts):
        return np.full((len(texts), 2), np.nan)


class ReturnsTooFew(Hostile):
    def transform_images(self, images):
        return images[:-1, :2]


class ReturnsObjects(Hostile):
    def transform_images(self, images):
        return np.array([[object()]] * len(images))


class ReturnsStrings(Hostile):
    def transform_images(self, images):
        return np.array([["a", "b"]] * len(images))


class RaisesMemoryError(Hostile):
    def fit(self, train, validation):
        raise MemoryError("no more")


class LeavesThreads(Hostile):
    """Behaves, but leaves a thread that never ends."""

    def fit(self, train, validation):
        import threading

        threading.Thread(target=time.sleep, args=(3600,), daemon=False).start()
        return self


class AsksForInput(Hostile):
    def fit(self, train, validation):
        input("which of the two? ")


class StopsInTheDebugger(Hostile):
    def fit(self, train, validation):
        breakpoint()


class TalksWithoutEnd(Hostile):
    """Prints 60 MB, a number a line."""

    def fit(self, train, validation):
        print("the first line")
        for start in range(0, 6_000_000, 100_000):
            print("\n".join(f"{number:9d}" for number in range(start, start + 100_000)))
        print("the last line")
        return self


class RaisesAtLength(Hostile):
    """Fails with a message of 100 MB."""

    def fit(self, train, validation):
        raise ValueError("beginning " + "x" * 100_000_000 + " end")


class FitsALot(Hostile):
    """Leaves a text of 10 MB and 5,000 numbers."""

    def fit(self, train, validation):
        self.story_ = "y" * 10_000_000
        for number in range(5_000):
            setattr(self, f"number_{number}_", number)
        return self


class FillsTheDisk(Hostile):
    """Writes to its folder until there is no room, and leaves what it wrote."""

    def fit(self, train, validation):
        with open("filler", "wb") as filler:
            while True:
                filler.write(bytes(100_000))


class FindsNoRoom(Hostile):
    """Finds a disk full that the run does not write to."""

    def fit(self, train, validation):
        raise OSError(28, "No space left on device", "/elsewhere/file")
