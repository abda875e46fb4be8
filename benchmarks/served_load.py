"""Ten thousand requests from eight threads to a served flow: errors, wrong answers, memory, and its throughput.

    python -m benchmarks.served_load                       # a minute or two
    python -m benchmarks.served_load --requests 1000 --rows 256

A RealNVP is shaken, exported, loaded, and asked by threads for log-densities, scores, inverses and samples of batches of
different sizes.  Every answer is compared with one given beforehand, alone.  Then `log_prob` of the served model and of a
`tf.function` of the flow itself (the same batch, the same threads) are called in turns of a second, and the ratio of their
throughputs is printed, the median of the turns.  The exit code is 1 for an error, a wrong answer, memory that grows by more
than 50 MB after the first tenth, or a ratio below 0.9.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from inntf.models import Flow, real_nvp  # noqa: E402
from inntf.serving import export, load  # noqa: E402

SIZES, GROWTH, RATIO = (1, 3, 17, 64), 50.0, 0.9


def make_flow() -> Flow:
    """A flow whose weights do something."""
    flow, rng = real_nvp(event_shape=8, depth=6, hidden=(64,), heavy_tails=False), np.random.default_rng(0)
    for v in flow.block.trainable_variables:
        v.assign(v + 0.05 * rng.normal(size=v.shape))
    return flow


def questions(served: Any) -> list[Callable[[], list[np.ndarray]]]:
    """What is asked, each with an answer that is always the same."""
    rng, found = np.random.default_rng(1), []
    for size in SIZES:
        x = rng.normal(size=(size, 8)).astype("float32")
        found.append(lambda x=x: [served.log_prob(x).numpy()])
        found.append(lambda x=x: [value.numpy() for value in served.score(x)])
        found.append(lambda x=x: [value.numpy() for value in served.inverse_and_log_det(x)])
        found.append(lambda size=size: [served.sample(size, seed=size).numpy()])
    return found


def megabytes() -> float:
    """Resident memory of this process."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def ask(served: Any, requests: int, threads: int) -> tuple[int, int, float]:
    """Errors, wrong answers, and MB that memory has grown by since a tenth of the requests."""
    asked = questions(served)
    right = [question() for question in asked]
    errors = wrong = 0
    after_a_tenth = 0.0

    def one(i: int) -> bool:
        answer = asked[i % len(asked)]()
        return all(np.allclose(a, b, rtol=1e-5, atol=1e-5) for a, b in zip(answer, right[i % len(asked)], strict=True))

    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        for i, future in enumerate([pool.submit(one, i) for i in range(requests)]):
            try:
                wrong += not future.result()
            except Exception as error:
                errors += 1
                print(f"request {i}: {type(error).__name__}: {error}")
            if i == requests // 10:
                after_a_tenth = megabytes()
    return errors, wrong, megabytes() - after_a_tenth


def throughput(call: Callable[[], Any], threads: int, seconds: float) -> float:
    """Calls a second."""
    end = time.monotonic() + seconds

    def work() -> int:
        count = 0
        while time.monotonic() < end:
            call()
            count += 1
        return count

    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        begin = time.monotonic()
        total = sum(future.result() for future in [pool.submit(work) for _ in range(threads)])
    return total / (time.monotonic() - begin)


def ratios(served: Any, flow: Flow, rows: int, threads: int, turns: int) -> list[float]:
    """Throughput of `log_prob` over that of a function of the flow, turn by turn."""
    x = tf.constant(np.random.default_rng(2).normal(size=(rows, 8)).astype("float32"))
    bare = tf.function(flow.log_prob, input_signature=[tf.TensorSpec([None, 8], tf.float32)])
    calls = [lambda: served.log_prob(x).numpy(), lambda: bare(x).numpy()]
    for call in calls:
        call()
    found = []
    for _ in range(turns):
        ours, theirs = (throughput(call, threads, 1.0) for call in calls)
        found.append(ours / theirs)
    return found


def main() -> int:
    """See the file's first lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--rows", type=int, default=64, help="of a batch, where throughputs are compared")
    parser.add_argument("--turns", type=int, default=11)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        flow = make_flow()
        served = load(export(flow, folder))
        errors, wrong, grown = ask(served, chosen.requests, chosen.threads)
        found = ratios(served, flow, chosen.rows, chosen.threads, chosen.turns)
    ratio = statistics.median(found)
    print(f"{chosen.requests} requests from {chosen.threads} threads: {errors} errors, {wrong} wrong, memory {grown:+.1f} MB")
    print(f"throughput over that of a bare function, {chosen.rows} rows: {ratio:.3f} ({min(found):.3f} to {max(found):.3f})")
    return int(errors > 0 or wrong > 0 or grown > GROWTH or ratio < RATIO)


if __name__ == "__main__":
    sys.exit(main())
