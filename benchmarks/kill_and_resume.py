"""Kill a recipe's smoke run at ten moments, go on with it, and compare with the run that was left alone.

    python -m benchmarks.kill_and_resume                              # all recipes, ten moments each: hours on one core
    python -m benchmarks.kill_and_resume --recipes flowgan --moments 3
    python -m benchmarks.kill_and_resume --mirrored                   # on two replicas
    python -m benchmarks.kill_and_resume --in-turn --moments 20       # one run a recipe, killed twenty times: ten times quicker

A first run notes every write it makes (a checkpoint begun, a file renamed to its place, a report drawn, a model exported) and
when.  The moments are spread over those writes: every other one right before a write, the others at some time between two.
Each moment is a fresh run in a folder of its own that kills itself there (SIGKILL, nothing is cleaned up), then the same
command with `--resume`.  A line a moment: the largest difference of any variable in any final checkpoint and SavedModel,
and of any logged number, from the first run's.  With `--in-turn` there is one run, which is killed again and again on its
way, at random writes and between them.  On one thread, so that sums are added in the same order.  The exit code is 1 if a
moment fails.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
MAINS = sorted((ROOT / "recipes").glob("*/__main__.py"))
RECIPES = tuple(path.parent.name for path in MAINS if "\nRECIPE = " in path.read_text())
ONE_THREAD = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
TOLERANCE = 1e-6
_TIMES = ("seconds", "milliseconds")  # differ from run to run


# ---- the run that notes its writes, and may kill itself --------------------------------------------------------------


class Writes:
    """Counts the writes of this process; kills it at one of them, or some seconds after it."""

    def __init__(self, log: pathlib.Path | None, at: int, delay: float):
        self._log, self._at, self._delay = log, at, delay
        self._count, self._start = 0, time.monotonic()

    def __call__(self, what: str) -> None:
        """One more write begins."""
        if self._log is not None:
            with open(self._log, "a") as file:
                file.write(json.dumps([what, time.monotonic() - self._start]) + "\n")
        if self._count == self._at:
            if self._delay:
                threading.Timer(self._delay, _die).start()
            else:
                _die()
        self._count += 1

    def before(self, owner: Any, name: str, describe: Callable[..., str]) -> None:
        """Count every call of `owner.name`."""
        original = getattr(owner, name)

        def counted(*arguments: Any, **options: Any) -> Any:
            self(describe(*arguments))
            return original(*arguments, **options)

        setattr(owner, name, counted)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def child(recipe: str, log: str, at: int, delay: float, arguments: list[str]) -> int:
    """Run a recipe in this process, its writes counted."""
    from recipes.common import cli
    from recipes.common.quiet import quiet_tensorflow

    quiet_tensorflow()
    import tensorflow as tf
    from matplotlib.figure import Figure

    writes = Writes(pathlib.Path(log) if log else None, at, delay)
    writes.before(os, "replace", lambda source, target, *_: f"{_short(target)} renamed to its place")
    writes.before(os, "rename", lambda source, target, *_: f"{_short(target)} renamed to its place")
    writes.before(tf.train.Checkpoint, "write", lambda self, path, *_: f"checkpoint {_short(path)} written")
    writes.before(tf.saved_model, "save", lambda *_: "SavedModel written")
    writes.before(Figure, "savefig", lambda *_: "report drawn")
    return cli.main(importlib.import_module(f"recipes.{recipe}.__main__").RECIPE, arguments)


def _short(path: Any) -> str:
    path = pathlib.Path(str(path))
    return f"{path.parent.name}/{path.name}"


# ---- what is left of a run -------------------------------------------------------------------------------------------


def remains(folder: pathlib.Path) -> dict[str, Any]:
    """Every variable of the final checkpoints and SavedModels, and every logged and measured number, by name."""
    import tensorflow as tf

    out: dict[str, Any] = {}
    kept = sorted((folder / "run/checkpoints").glob("*/"))
    for prefix in filter(None, (tf.train.latest_checkpoint(str(d)) for d in kept)):
        reader = tf.train.load_checkpoint(prefix)
        for key in _keys(reader):
            out[f"{pathlib.Path(prefix).relative_to(folder)}:{key}"] = reader.get_tensor(key)
    for index in sorted((folder / "saved").glob("*/[0-9]*/variables/variables.index")):  # no half-written one, `.export-...`
        reader = tf.train.load_checkpoint(str(index.with_suffix("")))
        values = sorted((reader.get_tensor(key) for key in _keys(reader)), key=_order)  # they have no names
        out |= {f"{index.relative_to(folder)}:{i}": value for i, value in enumerate(values)}
    progress = json.loads((folder / "run/progress.json").read_text())
    result = json.loads((folder / "run/result.json").read_text())
    out |= dict(_numbers("history", progress.get("histories", {}))) | dict(_numbers("result", result["metrics"]))
    return out


def _keys(reader: Any) -> list[str]:
    return [key for key in sorted(reader.get_variable_to_shape_map()) if not key.startswith("_CHECKPOINTABLE")]


def _order(value: Any) -> tuple[str, list[float], list[float]]:
    exact = value.astype("float64").ravel().tolist()
    return f"{value.shape} {value.dtype}", [round(v, 4) for v in exact], exact  # what rounds alike must not change places


def _numbers(name: str, data: Any) -> Any:
    if isinstance(data, dict | list):
        for key, value in data.items() if isinstance(data, dict) else enumerate(data):
            if key not in _TIMES:
                yield from _numbers(f"{name}/{key}", value)
    elif isinstance(data, str | int | float) and data is not None:
        yield name, float(data) if data in ("inf", "-inf", "nan") or not isinstance(data, str) else data


def distance(a: dict[str, Any], b: dict[str, Any]) -> tuple[float, float]:
    """Largest difference of the variables, and of the numbers (relative, where they are large)."""
    import numpy as np

    if a.keys() != b.keys():
        print(f"  only in one of the runs: {sorted(a.keys() ^ b.keys())[:5]}")
        return math.inf, math.inf
    worst = [0.0, 0.0]
    for key, x in a.items():
        y = b[key]
        if np.asarray(x).dtype.kind not in "fiub" or np.shape(x) != np.shape(y):
            gap = 0.0 if np.array_equal(x, y) else math.inf
        else:
            x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
            same = (x == y) | (np.isnan(x) & np.isnan(y))
            with np.errstate(all="ignore"):
                gap = float(np.max(np.where(same, 0.0, np.abs(x - y) / np.maximum(1.0, np.abs(x))), initial=0.0))
            gap = gap if math.isfinite(gap) else math.inf
        if gap > TOLERANCE:
            print(f"  {key}: differs by {gap:.1e}")
        worst[key.startswith(("history/", "result/"))] = max(worst[key.startswith(("history/", "result/"))], gap)
    return worst[0], worst[1]


# ---- the moments -----------------------------------------------------------------------------------------------------


def start(recipe: str, folder: pathlib.Path, *more: str, log: str = "", at: int = -1, delay: float = 0.0) -> Any:
    """Run the smoke preset in a process of its own, seed 1."""
    arguments = ["--preset", "smoke", "--seed", "1", "--out", str(folder / "run"), "--export-dir", str(folder / "saved"), *more]
    command = [sys.executable, "-m", "benchmarks.kill_and_resume", "--child", recipe, log, str(at), str(delay), *arguments]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **ONE_THREAD}, capture_output=True, text=True, check=False)


def moments(events: list[tuple[str, float]], count: int) -> list[tuple[int, float, str]]:
    """The write to die at, the seconds after it, and words for both."""
    draw = random.Random(0)
    out = []
    for i in range(count):
        at = round((i + 0.5) * len(events) / count - 0.5)
        what, when = events[at]
        gap = (events[at + 1][1] if at + 1 < len(events) else when) - when
        if i % 2 and gap > 0.2:
            delay = gap * draw.uniform(0.1, 0.9)
            out.append((at, delay, f"{delay:.1f} s after: {what}"))
        else:
            out.append((at, 0.0, f"right before: {what}"))
    return out


def left_alone(recipe: str, work: pathlib.Path, more: tuple[str, ...]) -> tuple[list[tuple[str, float]], pathlib.Path]:
    """The run without a kill: its writes, and its folder."""
    alone = work / recipe / "alone"
    began = time.monotonic()
    done = start(recipe, alone, *more, log=str(work / f"{recipe}.events"))
    if done.returncode:
        raise SystemExit(f"{recipe}: the run without a kill ended in {done.returncode}: {done.stderr[-2000:]}")
    events = [tuple(json.loads(line)) for line in (work / f"{recipe}.events").read_text().splitlines()]
    print(f"{recipe}: {len(events)} writes in {time.monotonic() - began:.0f} s", flush=True)
    return events, alone


def check(recipe: str, count: int, only: list[int], work: pathlib.Path, more: tuple[str, ...] = ()) -> int:
    """The table of one recipe; returns how many moments are right."""
    events, alone = left_alone(recipe, work, more)
    right, expected = 0, remains(alone)
    for i, (at, delay, words) in enumerate(moments(events, count)):
        if only and i + 1 not in only:
            continue
        folder = work / recipe / f"moment-{i}"
        killed = start(recipe, folder, *more, at=at, delay=delay)
        again = start(recipe, folder, "--resume", *more)
        gaps = distance(expected, remains(folder)) if again.returncode == 0 else (math.inf, math.inf)
        good = killed.returncode in (-signal.SIGKILL, 0) and again.returncode == 0 and max(gaps) <= TOLERANCE
        right += good
        ended = "killed" if killed.returncode else "ended before"
        print(
            f"  {'ok  ' if good else 'FAIL'} {i + 1:2d}. {ended} {words}; resumed: code {again.returncode}, "
            f"variables differ by {gaps[0]:.1e}, numbers by {gaps[1]:.1e}",
            flush=True,
        )
        if again.returncode:
            print(f"       {again.stderr.strip().splitlines()[-1:]}")
        if good:
            shutil.rmtree(folder)
    return right


def check_in_turn(recipe: str, count: int, work: pathlib.Path, more: tuple[str, ...] = ()) -> bool:
    """One run, killed up to `count` times at random; whether it ends as the one that was left alone."""
    events, alone = left_alone(recipe, work, more)
    draw, folder, kills = random.Random(1), work / recipe / "in-turn", 0
    some = max(2, round(2 * len(events) / count))  # writes between two kills: so many at most, half of it on average
    while kills < count:
        resume = ("--resume",) if kills and (folder / "run/config.json").exists() else ()
        delay = draw.uniform(0.0, 1.0) if kills % 2 else 0.0
        done = start(recipe, folder, *resume, *more, at=draw.randrange(some), delay=delay)
        if done.returncode != -signal.SIGKILL:
            break
        kills += 1
    if not done.returncode or done.returncode == -signal.SIGKILL:
        done = start(recipe, folder, "--resume", *more)
    gaps = distance(remains(alone), remains(folder)) if done.returncode == 0 else (math.inf, math.inf)
    good = kills > 0 and max(gaps) <= TOLERANCE
    print(
        f"  {'ok  ' if good else 'FAIL'} killed {kills} times in turn; at last: code {done.returncode}, "
        f"variables differ by {gaps[0]:.1e}, numbers by {gaps[1]:.1e}",
        flush=True,
    )
    if done.returncode:
        print(f"       {done.stderr.strip().splitlines()[-1:]}")
    return good


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", default=RECIPES, choices=RECIPES)
    parser.add_argument("--moments", type=int, default=10)
    parser.add_argument("--only", nargs="+", type=int, default=[], help="numbers of the moments to run, from 1; all by default")
    parser.add_argument("--work", type=pathlib.Path, help="folder for the runs; by default a temporary one")
    parser.add_argument("--mirrored", action="store_true", help="on two replicas of one CPU")
    parser.add_argument("--in-turn", action="store_true", help="one run a recipe, killed so many times")
    options = parser.parse_args()
    more = ("--strategy", "mirrored", "--replicas", "2") if options.mirrored else ()
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or pathlib.Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        if options.in_turn:
            wrong = [recipe for recipe in options.recipes if not check_in_turn(recipe, options.moments, work, more)]
            print(f"{len(options.recipes) - len(wrong)} of {len(options.recipes)} recipes: resumed to the same training")
            return int(bool(wrong))
        right = sum(check(recipe, options.moments, options.only, work, more) for recipe in options.recipes)
    total = len(options.only or range(options.moments)) * len(options.recipes)
    print(f"{right} of {total} moments: resumed to the same training")
    return int(right < total)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        sys.exit(child(sys.argv[2], sys.argv[3], int(sys.argv[4]), float(sys.argv[5]), sys.argv[6:]))
    sys.exit(main())
