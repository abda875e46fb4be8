"""Train 20 steps on one device, on two replicas and on two workers: are losses and weights the same?

    python -m benchmarks.same_training                                       # all: about 20 minutes on two cores
    python -m benchmarks.same_training --recipes flowgan --ways mirrored

The smoke preset of a recipe with more steps runs three times, the batch the same: alone, with `--strategy mirrored
--replicas 2`, and as two processes on this machine with `--strategy multiworker`.  A line a training: the largest difference of
any weight of its last checkpoint and of any logged loss from those of one device, relative to the largest number of that
variable where that is above 1.  The exit code is 1 where one is above 1e-5.

The autoencoder computes in float64 (Keras' own setting, `floatx`): it starts as the identity, so the sign of an error, which is
the gradient of L1, is one of rounding, and in float32 the same images in another order give other weights, too (1e-5 apart
after 20 steps).
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.kill_and_resume import ONE_THREAD  # noqa: E402

TOLERANCE = 1e-5
STEPS = 20
LOSSES = ("loss", "bits_per_dim", "generator_loss", "discriminator_loss", "reconstruction", "prior", "padding")
METHODS = ("inn", "inn_mmd", "cvae", "cinn", "invauto")
RECIPES = {
    "flowgan": ["--objective", "hybrid", "--architecture", "unstable", "--no-warm-start", "--steps-hybrid", str(STEPS)],
    # Not by Adam: a shift before batch normalization has a gradient of zero, whose rounding decides which way Adam moves it.
    "classification": ["--steps", str(STEPS), "--every", "4", "--optimizer", "sgd", "--rate", "0.05"],
    "inverse_problems": ["--steps", str(STEPS), "--problems", "kinematics", "--methods", *METHODS],
    "autoencoder": ["--models", "inn_vae", "within_flow", "free_form", "classic", "--images", str(32 * STEPS)],
}
IN_FLOAT64 = ("autoencoder",)
WAYS = ("mirrored", "multiworker")


def train(recipe: str, way: str, out: pathlib.Path) -> list[subprocess.CompletedProcess[str]]:
    """Run the recipe, as one process or as two workers; the completed processes."""
    flags = ["--strategy", way, *(["--replicas", "2"] if way == "mirrored" else [])]
    every = ["--preset", "smoke", "--out", str(out / "run"), "--export-dir", str(out / "saved"), "--log-every", str(STEPS)]
    command = [sys.executable, "-m", f"recipes.{recipe}", *every, *RECIPES[recipe], *flags]
    clusters = [{}] if way != "multiworker" else [{"TF_CONFIG": text} for text in clusters_of(2)]
    out.mkdir(parents=True, exist_ok=True)
    logs = [out / f"log{i}" for i in range(len(clusters))]
    settings = {"floatx": "float64" if recipe in IN_FLOAT64 else "float32"}
    (out / "keras.json").write_text(json.dumps(settings))
    started = []
    for log, cluster in zip(logs, clusters, strict=True):
        with open(log, "w") as file:
            env = {**os.environ, **ONE_THREAD, **cluster, "KERAS_HOME": str(out)}
            started.append(subprocess.Popen(command, cwd=ROOT, env=env, stdout=file, stderr=subprocess.STDOUT))
    return [
        subprocess.CompletedProcess(command, process.wait(), log.read_text())
        for process, log in zip(started, logs, strict=True)
    ]


def clusters_of(n: int) -> list[str]:
    """TF_CONFIG of each of `n` workers on this machine."""
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
    for s in sockets:
        s.close()
    return [json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": i}}) for i in range(n)]


def compare(one: pathlib.Path, other: pathlib.Path) -> dict[str, tuple[float, float, str]]:
    """By training: the largest differences of weights and of losses, and the variable that differs most."""
    import tensorflow as tf

    histories = [json.loads((out / "run/progress.json").read_text())["histories"] for out in (one, other)]
    found = {}
    for name, looks in histories[0].items():
        places = [out / "run/checkpoints" / name for out in (one, other)]
        kept = places[0].exists()  # a recipe may keep those alone that it exports; of the others losses are compared
        readers = [tf.train.load_checkpoint(tf.train.latest_checkpoint(place)) for place in places] if kept else []
        weights, worst = 0.0, "none" if kept else "no checkpoint is kept"
        for key in readers[0].get_variable_to_shape_map() if kept else ():
            if "OBJECT_GRAPH" in key or "optimizer" in key.partition("/")[0]:
                continue
            a, b = (np.asarray(reader.get_tensor(key), np.float64) for reader in readers)
            off = float(np.max(np.abs(a - b), initial=0.0)) / max(1.0, float(np.max(np.abs(a), initial=0.0)))
            if not off <= weights:
                weights, worst = off, f"{key.removesuffix('/.ATTRIBUTES/VARIABLE_VALUE')} {list(a.shape)}"
        pairs = [(a[k], b[k]) for a, b in zip(looks, histories[1][name], strict=True) for k in LOSSES if k in a]
        losses = max((abs(a - b) / max(1.0, abs(a)) for a, b in pairs), default=0.0)
        found[name] = (weights, losses, worst)
    return found


def main() -> int:
    """See the file's first lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    chosen = parser.parse_args()
    worst = 0.0
    with tempfile.TemporaryDirectory(prefix="same-training-") as folder:
        for recipe in chosen.recipes:
            outs = {way: pathlib.Path(folder) / recipe / way for way in ("none", *chosen.ways)}
            for way, out in outs.items():
                for done in train(recipe, way, out):
                    if done.returncode:
                        print(f"{recipe:18s} {way:12s} ended in {done.returncode}: {done.stdout[-2000:]}")
                        return 1
            for way in chosen.ways:
                for name, (weights, losses, where) in compare(outs["none"], outs[way]).items():
                    print(f"{recipe:16s} {way:11s} {name:26s} weights {weights:.1e} ({where})  losses {losses:.1e}", flush=True)
                    worst = max(worst, weights, losses)
    return int(not worst <= TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
