"""Runs features one after the other and says how each went."""

import time


def run(features):
    for name, fn in features.items():
        try:
            fn()
            print("ok", name, flush=True)
        except Exception as err:  # pylint: disable=broad-except
            print("FAIL", name, type(err).__name__, " ".join(str(err).split()), flush=True)


def equal(got, want):
    if got != want:
        raise AssertionError(f"got {got!r}, want {want!r}")


def again(fn):
    """Repeats fn while it fails, for at most 5 s."""
    end = time.monotonic() + 5
    while True:
        try:
            return fn()
        except Exception:  # pylint: disable=broad-except
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
