"""Does with all methods what training does, while Python watches for what is unsafe.

A program: prints one line of JSON. Python reports what it opens, connects to, starts
and unpickles to `watch`.
"""

import json
import resource
import sys
from pathlib import Path

WATCHED = ("socket.", "urllib.", "http.", "ftplib.", "smtplib.", "os.system")
WATCHED += ("subprocess.Popen", "pickle.find_class")
#: Made by an interpreter alone, without a connection.
QUIET = {"socket.__new__", "socket.gethostname"}
found = {"import": [], "layers": []}
now = "import"


def watch(event, arguments):
    """Notes what is watched; its caller goes on."""
    if event.startswith(WATCHED) and event not in QUIET:
        found[now].append(f"{event} {arguments}"[:200])


def mix_by_all(folder):
    """Builds, calls, saves and loads a layer of every method."""
    import keras
    import numpy as np

    import keras_msda as msda

    images = np.random.default_rng(1).random((4, 8, 8, 1)).astype("float32")
    names = []
    for name, method in msda.layers.METHODS.items():
        layer = method.layer(num_classes=4, seed=1)
        layer(images, np.arange(4))
        model = keras.Sequential([keras.Input((8, 8, 1)), layer])
        model.save(folder / "model.keras")
        keras.saving.load_model(folder / "model.keras")
        names.append(name)
    return names


def read_in_little_memory(path):
    """Returns what is said of a picture of 100 megapixels where 100 MB are free."""
    from keras_msda.datasets import _pictures

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + 100 * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    try:
        _pictures.read_picture(path)
    except ValueError as error:
        return str(error)
    return "nothing"


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    # Keras and TensorFlow are imported first: what they do is theirs.
    import keras  # noqa: F401
    import tensorflow  # noqa: F401

    sys.addaudithook(watch)
    import keras_msda  # noqa: F401

    now = "layers"
    names = mix_by_all(folder)
    said = read_in_little_memory(folder / "large.png")
    print(json.dumps({"found": found, "names": names, "said": said}))
