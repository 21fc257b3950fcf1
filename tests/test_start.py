"""How the command line starts: at once, in silence, and ready to be stopped."""

import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import keras_msda as msda
from keras_msda import _methods, _start
from keras_msda.layers import METHODS
from tests.support import listening

HEAVY = {"tensorflow", "jax", "torch", "keras", "scipy", "numpy", "matplotlib", "PIL"}
ROOT = str(Path(msda.__file__).parent.parent)
MODULE = ["-m", "keras_msda"]
IMPORTED = re.compile(r"import time: +\d+ \| +\d+ \| +([\w.]+)\n")
LOG = (
    b"WARNING: All log messages before absl::InitializeLog() is called are written\n"
    b"I0000 00:00:1795745243.044545     930 port.cc:153] oneDNN is on\n"
    b"E0000 00:00:1795745243.044925   22 cuda_platform.cc:52] failed call to cuInit\n"
    b"2024-10-30 12:00:00.123456: W tensorflow/core/x.cc:4] something\n"
)


def start(*arguments, **settings):
    """Starts Python in a process of its own, which names each module it imports."""
    environment = os.environ | {"PYTHONPATH": ROOT}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    return subprocess.Popen(
        listening.python("-X", "importtime", *arguments),
        env=environment,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **settings},
        text=True,
    )


def end(process):
    """Returns the exit code, both outputs, and the imported modules."""
    printed, errors = process.communicate(timeout=120)
    modules = set(IMPORTED.findall(errors))
    said = re.sub(r"import time: .*\n", "", errors)
    return process.returncode, printed, said, modules


@pytest.fixture(params=["module", "script"])
def program(request, tmp_path):
    """How the command line is started: by Python's `-m`, or as what pip installs."""
    if request.param == "module":
        return MODULE
    script = tmp_path / "keras-msda"
    script.write_text("import sys\nfrom keras_msda.cli import main\nsys.exit(main())\n")
    return [str(script)]


QUICK = {
    "help": (["--help"], 0),
    "train": (["train", "--help"], 0),
    "preview": (["preview", "--help"], 0),
    "inspect": (["inspect", "--help"], 0),
    "experiment": (["experiment", "--help"], 0),
    "card": (["card", "--help"], 0),
    "version": (["--version"], 0),
    "no command": ([], 2),
    "unknown command": (["trane"], 2),
    "unknown method": (["inspect", "--method", "cutmx"], 2),
    "range": (["train", "--epochs", "0"], 2),
    "another method's option": (["inspect", "--method", "fmix", "--grid", "3"], 2),
    "config": (["experiment", "no-such.yaml"], 2),
    "unknown card": (["card", "cutmx"], 2),
    "place": (["train", "--in", "pipeline", "--method", "manifold"], 2),
}


@pytest.mark.processes
@pytest.mark.parametrize("name", QUICK)
def test_help_and_errors_come_without_keras_in_less_than_a_second(program, name):
    arguments, code = QUICK[name]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    found, printed, said, modules = end(start(*program, *arguments))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert found == code
    assert "keras_msda.cli._parser" in modules  # Or the rest would be empty, too.
    assert {module.partition(".")[0] for module in modules} & HEAVY == set()
    spent = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    assert spent < 1
    if code:
        assert printed == ""
        assert re.fullmatch(r"keras-msda\b.*: error: .*\n", said)
    else:
        assert re.match("usage: keras-msda|keras-msda [0-9.]+\n", printed)
        assert said == ""


@pytest.mark.processes
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_help_that_nobody_reads_to_the_end_is_no_failure(
    program, monkeypatch, unbuffered
):
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as output:
        code, _, said, _ = end(start(*program, "inspect", "--help", stdout=output))
    assert (code, said) == (141, "")


@pytest.mark.processes
@pytest.mark.slow
def test_a_command_says_nothing_of_its_own():
    # Each command imports TensorFlow in the same way.
    arguments = ("inspect", "--size", "2", "--method", "mixup")
    code, printed, said, _ = end(start(*MODULE, *arguments))
    assert code == 0
    assert printed.startswith("2x2 pixels")
    assert said == ""


@pytest.mark.processes
@pytest.mark.parametrize(
    ("module", "seconds"),
    # After the last one Keras is imported, whose modules are not named at once.
    [("keras_msda._start", 0), ("argparse", 0), ("numpy", 0), ("PIL.Image", 0.7)],
)
def test_ctrl_c_is_one_line_at_any_moment(tmp_path, module, seconds):
    arguments = ("inspect", "--size", "4", "-o", str(tmp_path / "out.png"))
    process = start(*MODULE, *arguments)
    for line in process.stderr:
        found = IMPORTED.fullmatch(line)
        if found and found[1] == module:
            break
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    code, printed, said, modules = end(process)
    assert (code, printed, said) == (130, "", "keras-msda: interrupted\n")
    assert "keras_msda.cli._inspect" not in modules
    assert not any(tmp_path.iterdir())


# What kind of process it is.


@pytest.mark.parametrize(
    ("given", "arguments", "expected"),
    [
        (["python", "-m", "keras_msda", "train"], ["-m", "train"], True),
        (["python", "-I", "-X", "dev", "-m", "keras_msda"], ["-m"], True),
        (["python", "-Im", "keras_msda", "-m", "x"], ["-m", "-m", "x"], True),
        (["python", "-mkeras_msda", "train"], ["-m", "train"], True),
        (["python", "/bin/keras-msda", "train"], ["/bin/keras-msda", "train"], True),
        (["python", "-m", "keras_msda_x"], ["-m"], False),
        (["python", "-m", "pytest", "-m", "keras_msda"], ["-m", "-m", "x"], False),
        (["python", "-m", "pytest", "keras_msda"], ["pytest", "keras_msda"], False),
        (["python", "train.py", "keras-msda"], ["train.py", "keras-msda"], False),
        (["python", "-c", "import keras_msda"], ["-c"], False),
        (["python"], [""], False),
        ([], [""], False),
        (["python"], [], False),
    ],
)
def test_a_process_of_the_command_line_is_known(
    monkeypatch, given, arguments, expected
):
    monkeypatch.setattr(sys, "orig_argv", given)
    monkeypatch.setattr(sys, "argv", arguments)
    assert _start.is_command_line() is expected


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("/x/keras_msda/__main__.py", True),
        ("/bin/keras-msda", True),
        ("/x/pytest/__main__.py", False),
        ("train.py", False),
    ],
)
def test_a_process_that_it_starts_is_a_worker_and_no_command_line(
    monkeypatch, program, expected
):
    spawned = ["python", "-c", "from multiprocessing...", "--multiprocessing-fork"]
    monkeypatch.setattr(sys, "orig_argv", spawned)
    for rest in ([], ["experiment"], ["experiment", "a.yaml"]):
        monkeypatch.setattr(sys, "argv", [program, *rest])
        assert _start.is_worker() is expected
        assert not _start.is_command_line()
    monkeypatch.setattr(sys, "orig_argv", ["python", program])
    assert not _start.is_worker()


# What it does in silence.


def test_lines_of_a_log_are_left_out_and_others_are_not(monkeypatch, capfd):
    monkeypatch.setattr(_start, "COMMAND_LINE", True)

    def fail():
        with _start.quiet():
            os.write(2, b"first\n" + LOG + b"Indeed [1] a line\nlast")
            raise ValueError("kept")

    with pytest.raises(ValueError, match="kept"):
        fail()
    assert capfd.readouterr().err == "first\nIndeed [1] a line\nlast"
    os.write(2, LOG)
    assert capfd.readouterr().err == LOG.decode()


def test_a_process_of_others_hears_everything(capfd):
    with _start.quiet():
        os.write(2, LOG)
        assert capfd.readouterr().err == LOG.decode()


def test_ctrl_c_is_handled_as_before_in_a_process_of_others():
    before = signal.getsignal(signal.SIGINT)
    with _start.interruptible():
        assert signal.getsignal(signal.SIGINT) is before
    _start.finish()
    assert signal.getsignal(signal.SIGINT) is before


def test_work_can_be_interrupted_and_its_end_cannot(monkeypatch):
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _start._prepare()
        assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "3"
        assert signal.getsignal(signal.SIGINT) is _start.leave
        with pytest.raises(KeyboardInterrupt), _start.interruptible():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is _start.leave
        _start.finish()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        _start._prepare()  # As in the background of a shell.
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


# What it knows without importing it.


def test_names_that_were_not_imported_are_found():
    for name in msda.__all__:
        assert msda.__getattr__(name) is getattr(msda, name)


def test_options_read_in_the_source_are_those_of_the_classes():
    read = {line.name: line.options for line in _methods.LINES}
    assert read == {name: method.options for name, method in METHODS.items()}
    for line in _methods.LINES:
        method = METHODS[line.name]
        assert (line.label, line.paper, line.url) == (method.label, *method[1:3])
