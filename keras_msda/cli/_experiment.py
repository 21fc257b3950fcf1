"""Runs experiments: many seeds and methods, as a config asks for."""

import argparse
from pathlib import Path

from keras_msda.cli import _files
from keras_msda.experiments import _config, _running


def run(options: argparse.Namespace) -> int:
    """Checks config and output, then does what was asked for.

    Args:
        options: What the command line asks for.

    Returns:
        The exit code: 0.

    Raises:
        ValueError: If something in the config, the data or the lines is wrong.
        OSError: If a file cannot be read or written, or a run failed.
        ImportError: If a package is not installed.
    """
    config = _config.read_config(options.config)
    default = options.config.parent / "results"
    out: Path = options.out or default
    asked = _running.Options(
        out=out,
        shown_out=None if options.out is None else _shown(options.out),
        workers=options.workers,
        places=dict(options.places),
        rows=_config.check_rows(config, options.rows),
        replace=_files.replacing,
    )
    if options.check:
        _running.check_experiment(config, asked)
        return 0
    _files.make_folder(out, _running.output_names(config))
    if options.tables:
        _running.write_tables(config, asked)
        return 0
    _running.run_experiment(config, asked)
    print(f"The results are in {out}.")
    return 0


def _shown(folder: Path) -> str:
    """Returns a folder without the place on this machine."""
    return "FOLDER" if folder.is_absolute() else folder.as_posix()
