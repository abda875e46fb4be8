"""Speed, memory and accuracy beside PyTorch's and JAX's libraries, in one command: `python -m benchmarks.peers --setup`.

    python -m benchmarks.peers --setup --json benchmarks/results/peers.json   # environments, all tables: an hour on two cores
    python -m benchmarks.peers --workloads splines --json splines.json        # one table; kept tables of the file stay
    python -m benchmarks.peers --quick                                        # does everything run?
    python -m benchmarks.peers --page benchmarks/results/peers.json docs/peers.md

`--setup` makes two environments (PyTorch: FrEIA, normflows, nflows, zuko, memcnn; JAX: flowjax, diffrax) by venv and pip.
Every row of a table is a process of its own, with networks of equal widths and the same number of threads; the processes
wait, and work a few calls each in turn, so that a busy machine slows all of them.  Ratios are those of CPU seconds (of all
threads), turn by turn; wall times stand beside them.  `--page` writes the page of the kept numbers, with what explains them.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.peers.environments import PACKAGES, missing, set_up
from benchmarks.peers.machine import commit, machine
from benchmarks.peers.measure import measure, measure_memory
from benchmarks.peers.page import page
from benchmarks.peers.rows import MEMORY, WORKLOADS
from benchmarks.peers.table import table


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--environments", type=Path, default=Path(".peers"), help="the folder of torch/ and jax/")
    parser.add_argument("--setup", action="store_true", help="make the environments, or what they lack, first")
    parser.add_argument("--only-setup", action="store_true", help="and do nothing else")
    parser.add_argument("--workloads", nargs="+", default=[*WORKLOADS, "memory"], choices=[*WORKLOADS, "memory"])
    parser.add_argument("--rows", nargs="+", help="names of rows to run; all by default")
    parser.add_argument("--threads", type=int, default=1, help="of every process")
    parser.add_argument("--quick", action="store_true", help="two turns of one call: does it run?")
    parser.add_argument("--json", type=Path, help="where to keep the numbers; tables that are there and not run again stay")
    parser.add_argument("--note", default="", help="what else ran on the machine: for the page")
    parser.add_argument("--page", nargs=2, type=Path, metavar=("JSON", "PAGE"), help="write the page of kept numbers, alone")
    chosen = parser.parse_args(arguments)
    chosen.setup = chosen.setup or chosen.only_setup
    known = {row for work in WORKLOADS.values() for row in work.rows} | set(MEMORY)
    unknown = set(chosen.rows or ()) - known
    if unknown:
        parser.error(f"--rows: received {', '.join(sorted(unknown))}; expected some of {', '.join(sorted(known))}")
    return chosen


def keep(path: Path | None, name: str, found: dict[str, Any]) -> None:
    """Put a table into the file, beside what it holds already."""
    if path is not None:
        kept = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(kept | {name: found}, indent=1) + "\n")


def main() -> int:
    """See the file's first lines."""
    chosen = parse()
    if chosen.page:
        kept, target = chosen.page
        target.write_text(page(json.loads(kept.read_text())))
        return 0
    if chosen.setup:
        set_up(chosen.environments)
    if chosen.only_setup:
        return 0
    lacking = missing(chosen.environments)
    if lacking:
        names = ", ".join(f"{name} ({', '.join(PACKAGES[name])})" for name in lacking)
        print(f"no environment for {names} in {chosen.environments}: make it by --setup", file=sys.stderr)
        return 2
    for name in chosen.workloads:
        how = {"threads": chosen.threads, "quick": chosen.quick, "only": chosen.rows}
        found = measure_memory(chosen.environments, **how) if name == "memory" else measure(name, chosen.environments, **how)
        about = {"date": str(datetime.date.today()), "commit": commit(), "threads": chosen.threads, "quick": chosen.quick}
        found = about | {"note": chosen.note, "machine": machine()} | found
        keep(chosen.json, name, found)
        print(table(name, found), end="\n\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
