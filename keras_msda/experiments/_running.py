"""Does what a config asks for, and leaves lines, tables and a picture."""

import contextlib
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from keras_msda.experiments import (
    _config,
    _data,
    _lines,
    _pictures,
    _tables,
    _workers,
)
from keras_msda.experiments._config import Config, Run
from keras_msda.experiments._progress import Progress


class Options(NamedTuple):
    """What the command line asks for, beside the config.

    Attributes:
        out: Folder of the results.
        shown_out: The same, if it is to be part of the shown command.
        workers: Number of processes.
        places: Folders or zip files of data sets by name.
        rows: Rows whose runs are done.
        replace: Context manager for a path that yields where to write, and replaces the
            file once it is whole.
    """

    out: Path
    shown_out: str | None
    workers: int
    places: Mapping[str, str]
    rows: Sequence[str]
    replace: Any


def output_names(config: Config) -> tuple[str, ...]:
    """Returns the names of the files that an experiment writes."""
    return tuple(f"{config.name}{suffix}" for suffix in (".jsonl", ".md", ".png"))


def run_experiment(config: Config, options: Options) -> None:
    """Does the runs that are missing, and writes the tables.

    Args:
        config: The config.
        options: Of the command line.

    Raises:
        ValueError: If data or lines do not fit the config.
        OSError: If a file cannot be read or written, or a run failed.
    """
    with _lines.Store(options.out / f"{config.name}.jsonl") as store:
        runs = config.list_runs()
        # Where a line is damaged, nothing is changed.
        known = _read_known(store.path, runs)
        _say(store.repair())
        _say(_mention_others(known, store.path))
        missing = [
            run
            for run in _lines.list_missing(runs, known.ours)
            if run.row in options.rows
        ]
        if missing:
            _check_data(config, options, missing)
        try:
            _do(missing, store, options, done=len(known.ours))
        except BaseException:  # An interrupt, too: what is finished is shown.
            with contextlib.suppress(OSError):
                _write(config, options)
            raise
        _write(config, options)


def write_tables(config: Config, options: Options) -> None:
    """Writes tables and picture from the lines that there are.

    Args:
        config: The config.
        options: Of the command line.

    Raises:
        ValueError: If lines do not fit the config.
        OSError: If a file cannot be read or written.
    """
    path = options.out / f"{config.name}.jsonl"
    known = _read_known(path, config.list_runs())
    _say(_mention_others(known, path))
    _write(config, options)
    count = len(known.ours)
    print(f"The tables of {count} runs are in {options.out / config.name}.md.")


def check_experiment(config: Config, options: Options) -> None:
    """Does each row once, quickly, and keeps nothing.

    Args:
        config: The config.
        options: Of the command line; its folder is not used.

    Raises:
        ValueError: If data do not fit the config.
        OSError: If a run failed.
    """
    small = _config.shrink(config)
    for name in sorted({group.data for group in small.groups}):
        size = small.settings["image_size"]
        source = _data.load_stand_in(name, places=options.places, image_size=size)
        for note in source.notes:
            _say(note)
    with tempfile.TemporaryDirectory() as folder:
        there = options._replace(out=Path(folder))
        runs = [run for run in small.list_runs() if run.row in options.rows]
        with _lines.Store(there.out / f"{small.name}.jsonl") as store:
            _do(runs, store, there, done=0, stand_in=True)
        _write(small, there)
    print(f"{config.path}: all {len(runs)} runs of the check have worked.")


def _do(
    runs: Sequence[Run],
    store: _lines.Store,
    options: Options,
    *,
    done: int,
    stand_in: bool = False,
) -> None:
    """Does runs and adds a line for each."""
    threads = _workers.count_threads(options.workers)
    jit = any(run.settings["jit_compile"] for run in runs)
    job = _workers.Job(threads, dict(options.places), stand_in, jit)
    with Progress(done, done + len(runs)) as progress:
        for result in _workers.do_runs(runs, job, workers=options.workers):
            values: dict[str, Any] = dict(result.values or {})
            versions = {**values.pop("versions"), "workers": options.workers}
            line = {**_lines.describe_run(result.run), "versions": versions, **values}
            name = result.run.group.data
            store.append({**line, "place": name if name in options.places else None})
            accuracy = values["scores"]["accuracy"]
            progress.count(result.run, accuracy=accuracy, seconds=values["seconds"])


def _read_known(path: Path, runs: Sequence[Run]) -> _lines.Known:
    return _lines.match_lines(path, _lines.read_lines(path), runs)


def _mention_others(known: _lines.Known, path: Path) -> str | None:
    if not known.others:
        return None
    return (
        f"{known.others} lines of {path} belong to runs that the config no longer has"
    )


def _check_data(config: Config, options: Options, missing: Sequence[Run]) -> None:
    """Loads each data set once, so that what is wrong shows before any work."""
    needed = {run.group.data for run in missing}
    for name in sorted(needed):
        source = _data.load_source(
            name,
            places=options.places,
            image_size=config.settings["image_size"],
        )
        groups = [group for group in config.groups if group.data == name]
        _data.check_counts(source, groups, config.settings["test_images"])
        for note in source.notes:
            _say(note)


def _write(config: Config, options: Options) -> None:
    """Writes tables, and a picture where there are lines."""
    path = options.out / f"{config.name}.jsonl"
    lines = _read_known(path, config.list_runs()).ours
    command = _tables.find_command(config, lines, out=options.shown_out)
    with options.replace(path.with_suffix(".md")) as part:
        part.write_text(_tables.format_tables(config, lines, command), "utf-8")
    groups = _tables.list_groups(config, lines)
    if groups:
        figure = _pictures.draw_gains(config.title, groups)
        with options.replace(path.with_suffix(".png")) as part:
            figure.savefig(part)


def _say(note: str | None) -> None:
    """Prints a note, apart from the results."""
    if note is not None:
        print(f"keras-msda: {note}", file=sys.stderr, flush=True)
