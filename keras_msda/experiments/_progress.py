"""How far an experiment is: a bar in a terminal, and a line per run in a file."""

import sys
import time
from types import TracebackType
from typing import Any, Self

from keras_msda.experiments._config import Run


class Progress:
    """Counts finished runs, and estimates how long the others take.

    Args:
        done: Runs that were finished before.
        total: All runs.
    """

    def __init__(self, done: int, total: int) -> None:
        self._before = self._done = done
        self._total = total
        self._start = time.monotonic()
        self._bar: Any = _make_bar() if sys.stdout.isatty() else None

    def __enter__(self) -> Self:
        """Shows the bar."""
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task(
                "runs", total=self._total, completed=self._done, left="-"
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leaves the bar as it is."""
        if self._bar is not None:
            self._bar.stop()

    def count(self, run: Run, *, accuracy: float | None, seconds: float) -> None:
        """Counts a run.

        Args:
            run: The run.
            accuracy: On the test images.
            seconds: That it took.
        """
        self._done += 1
        left = self._estimate()
        share = "-" if accuracy is None else f"{accuracy:.2%}"
        text = f"[{self._done}/{self._total}] {run}: {share}, {seconds:.0f} s"
        if self._bar is None:
            print(f"{text}, {left} left", flush=True)
            return
        self._bar.update(self._task, completed=self._done, left=f"{left} left")
        self._bar.console.print(text, highlight=False, markup=False)

    def _estimate(self) -> str:
        """Returns the time left in words, at the mean speed so far."""
        new = self._done - self._before
        left = self._total - self._done
        return format_seconds((time.monotonic() - self._start) / new * left)


def format_seconds(seconds: float) -> str:
    """Returns a duration as "40 s", "12 min" or "3 h 5 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _make_bar() -> Any:
    from rich import progress

    return progress.Progress(
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
        progress.TextColumn("{task.fields[left]}"),
    )
