"""Videos → flow files, several at a time and resumable; a video that fails is told at the end and stops nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import KinoscopeError, OptionError
from ...files import require_writable
from ...progress import Progress, progress
from ..opening import usable_cores
from . import worker
from .algorithms import estimator
from .files import FlowStats, flow_path, is_finished
from .measure import FlowOptions
from .preview import preview_path
from .worker import Outcome, Task

_POLL = 0.2  # seconds between looks at the workers


@dataclass
class FlowReport:
    """What became of every video."""

    done: dict[str, FlowStats] = field(default_factory=dict)
    """Measured now, by name."""
    skipped: list[str] = field(default_factory=list)
    """Had flow already, of the same file and with the same options."""
    previews: list[Path] = field(default_factory=list)
    """Films that were made now."""
    failed: dict[str, str] = field(default_factory=dict)
    """Path → reason."""
    damaged: dict[str, str] = field(default_factory=dict)
    """Path → what is missing; the flow of the rest was written."""

    def total(self) -> FlowStats:
        """All that was measured now, as if it were one video."""
        parts = list(self.done.values())
        frames = sum(part.frames for part in parts)
        motion, still, clipped = (
            sum(getattr(part, name) * part.frames for part in parts) / max(1, frames)
            for name in ("mean_motion", "still_share", "clipped_share")
        )
        seconds, work = sum(part.seconds for part in parts), sum(part.work_seconds for part in parts)
        return FlowStats(frames, seconds, work, sum(part.bytes for part in parts), motion, still, clipped)


def flow_folder(
    videos: Mapping[str, Path],
    out: str | Path,
    options: FlowOptions = FlowOptions(),
    *,
    jobs: int | None = None,
    overwrite: bool = False,
    preview: bool = False,
) -> FlowReport:
    """Write the flow of every video to ``out/name.mkv``, and continue where an interrupted run stopped.

    Finished files are skipped; those that broke off, or whose video has changed since, are made again.

    Args:
        videos: name → file.
        jobs: videos at a time, each in a process with one thread; by default as many as there are cores. A single video
            is done in this process. In a script, more need the usual ``if __name__ == "__main__":``.
        overwrite: replace what is there, also flow that was made with other options.
        preview: write a film for people beside each file, ``name.preview.mp4``; also for flow that exists.

    Raises:
        OptionError: no job, an algorithm that is not installed, or flow that would lie among the videos.
        OutputError: a file cannot be written, or holds something else.
        Interrupted: by Ctrl-C; finished files are kept.
    """
    from ...engine.interrupt import deferred_interrupt  # brings PyTorch along, which workers have no use for

    if jobs is not None and jobs < 1:
        raise OptionError(f"jobs is {jobs}, but must be 1 or more", cure="leave it out for one per core")
    if options.algorithm != "motion-vectors":
        estimator(options.algorithm)  # complains before anything is written
    _refuse_mixing(videos, Path(out))
    outcome = FlowReport()
    found = [_task(name, path, Path(out), options, overwrite, preview, outcome) for name, path in videos.items()]
    tasks = [task for task in found if task is not None]
    jobs = min(jobs or usable_cores(), len(tasks))
    size = sum(task.bytes for task in tasks)
    with progress("Measuring motion", size or None) as report, deferred_interrupt() as stopped:
        run = _in_turn(tasks, report, stopped) if jobs <= 1 else _in_parallel(tasks, jobs, report, stopped)
        for task, result in run:
            _note(outcome, task, result)
    return outcome


def _refuse_mixing(videos: Mapping[str, Path], out: Path) -> None:
    """Flow files are videos themselves: the next run would find them among the others."""
    folder = out.resolve()
    for path in videos.values():
        if folder in path.resolve().parents:
            raise OptionError("lies in the folder for the flow", where=path, cure="choose another --out")


def _task(
    name: str, source: Path, out: Path, options: FlowOptions, overwrite: bool, preview: bool, outcome: FlowReport
) -> Task | None:
    """What is left to do for a video; nothing if it vanished, or all is there."""
    target = flow_path(out, name)
    film = preview_path(target) if preview else None
    for path in filter(None, (target, film)):
        require_writable(path)
    if not source.exists():
        outcome.failed[str(source)] = "there is no such file"
        return None
    finished = not overwrite and is_finished(target, source, options)
    if finished:
        outcome.skipped.append(name)
        if film is None or (film.exists() and film.stat().st_mtime >= target.stat().st_mtime):
            return None
    return Task(name, source, target, options, not finished, film, source.stat().st_size)


def _note(outcome: FlowReport, task: Task, result: Outcome) -> None:
    if result.failure is not None:
        outcome.failed[str(task.source)] = result.failure
        return
    if result.stats is not None:
        outcome.done[task.name] = result.stats
    if task.preview is not None:
        outcome.previews.append(task.preview)
    if result.damage is not None:
        outcome.damaged[str(task.source)] = result.damage


def _in_turn(tasks: Sequence[Task], report: Progress, stopped: Callable[[], bool]) -> Iterator[tuple[Task, Outcome]]:
    for task in tasks:
        report(0, task.name)
        yield task, worker.do(task, report, stopped)


def _in_parallel(
    tasks: Sequence[Task], jobs: int, report: Progress, stopped: Callable[[], bool]
) -> Iterator[tuple[Task, Outcome]]:
    """Workers share two things with us: a word to stop, and how many bytes of video they have done."""
    from multiprocessing import get_context

    context = get_context("spawn")  # a fork would copy locks that the threads of codecs hold
    stop, done, told = context.Event(), context.Value("d", 0.0), 0.0
    pool = ProcessPoolExecutor(jobs, context, worker.start, (stop, done))
    try:
        futures = {pool.submit(worker.work, task): task for task in tasks}
        pending = set(futures)
        while pending:
            finished, pending = wait(pending, _POLL, FIRST_COMPLETED)
            report(done.value - told)
            told = done.value
            for future in finished:
                yield futures[future], future.result()
            if stopped() and pending:
                raise worker.interrupted()
    except BrokenProcessPool as error:
        cure = "run the same command again with fewer --jobs; finished videos are kept"
        raise KinoscopeError("a worker process was killed, perhaps for want of memory", cure=cure) from error
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
