"""Runs the contract tests on this machine's accelerator and keeps what they print.

`make accelerator-check` passes the tests. This program writes one file per backend,
named after the backend and the device, to `benchmarks/results`. Without an accelerator
it says so and runs nothing.
"""

import argparse
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
#: Programs that print the name of the accelerator that a library sees, or nothing.
DEVICE = {
    "jax": (
        "import jax; found = [x for x in jax.devices() if x.platform != 'cpu'];"
        "print(found[0].device_kind if found else '')"
    ),
    "torch": (
        "import torch;"
        "print(torch.cuda.get_device_name() if torch.cuda.is_available() else '')"
    ),
    "tensorflow": (
        "import tensorflow as tf; found = tf.config.list_physical_devices('GPU');"
        "details = tf.config.experimental.get_device_details;"
        "print(details(found[0]).get('device_name', 'GPU') if found else '')"
    ),
}
#: JAX would take three quarters of the memory even if it does not compute.
ENVIRONMENT = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_CPP_MIN_LOG_LEVEL": "3"}


def find_device(backend: str) -> str:
    """Returns the name of the accelerator that a backend computes on, or ""."""
    command = [sys.executable, "-c", DEVICE[backend]]
    found = subprocess.run(
        command, env=os.environ | ENVIRONMENT, capture_output=True, text=True
    )
    if found.returncode:
        raise SystemExit(f"{backend} does not start:\n{found.stderr.strip()[-1000:]}")
    lines = found.stdout.strip().splitlines()
    return lines[-1] if lines else ""


def run_tests(backend: str, name: str, arguments: list[str]) -> int:
    """Runs the tests, writes what they print, and returns pytest's exit code."""
    command = ["-m", "pytest", "-q", "--durations=5", *arguments]
    environment = os.environ | ENVIRONMENT | {"KERAS_BACKEND": backend}
    done = subprocess.run(
        [sys.executable, *command], env=environment, stdout=subprocess.PIPE, text=True
    )
    packages = ("keras_msda", "keras", backend, "numpy")
    versions = (f"{x} {importlib.metadata.version(x)}" for x in packages)
    head = [f"device: {name}", f"host: {platform.machine()}, {os.cpu_count()} cores"]
    head += [f"versions: {', '.join(versions)}", f"tests: {' '.join(arguments)}", ""]
    # Without the path of the checkout.
    text = "\n".join(head) + done.stdout.replace(str(Path.cwd()), ".")
    words = re.sub(r"\W+", "_", f"contract {backend} {name}").lower().strip("_")
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{words}.txt"
    path.write_text(text)
    print(f"{done.stdout.strip().splitlines()[-1]}\nwrote {path}", flush=True)
    return done.returncode


def main() -> int:
    """Returns 0 if all tests pass, 1 if one fails, 2 if there is nothing to run on."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--backend", choices=DEVICE, action="append", help="only this one; jax, torch"
    )
    parser.add_argument(
        "--cpu", action="store_true", help="run even without an accelerator"
    )
    parser.add_argument("tests", nargs="+", help="files, and pytest's options after --")
    options = parser.parse_args()
    failed, names = 0, {}
    for backend in options.backend or ["jax", "torch"]:
        names[backend] = find_device(backend) or ("CPU" if options.cpu else "")
        print(f"{backend}: {names[backend] or 'no accelerator'}", flush=True)
        if names[backend]:
            failed |= bool(run_tests(backend, names[backend], options.tests))
    if not any(names.values()):
        print("Nothing was run: install a backend for your accelerator, or add --cpu.")
        return 2
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
