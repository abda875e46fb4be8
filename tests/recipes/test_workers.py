"""Several workers on this machine: one run, the same as on one device; and what happens when one dies or is asked to end."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.same_training import ONE_THREAD, clusters_of

ROOT = pathlib.Path(__file__).parents[2]
SMOKE = ["--preset", "smoke", "--coefficients", "1e-8"]


class Workers:
    """Two processes with the same command; `flags` of each beside it."""

    def __init__(self, out, *flags, of_each=((), ())):
        self.out = out
        out.mkdir(parents=True, exist_ok=True)
        where = ["--out", out / "run", "--export-dir", out / "saved", "--strategy", "multiworker"]
        command = [sys.executable, "-m", "recipes.toy_regression", *SMOKE, *where, *flags]
        self.logs, self.processes = [out / "log0", out / "log1"], []
        for cluster, log, more in zip(clusters_of(2), self.logs, of_each, strict=True):
            with open(log, "w") as file:
                env = {**os.environ, **ONE_THREAD, "TF_CONFIG": cluster}
                streams = {"stdout": file, "stderr": subprocess.STDOUT}
                self.processes.append(subprocess.Popen(list(map(str, [*command, *more])), cwd=ROOT, env=env, **streams))

    def codes(self):
        return [p.wait(timeout=300) for p in self.processes]

    def said(self, i):
        return self.logs[i].read_text()

    def after_a_checkpoint(self, send, to):
        while not list(self.out.glob("run/checkpoints/*/ckpt-*.json")) and all(p.poll() is None for p in self.processes):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.processes[to].wait(timeout=0.2)
        self.processes[to].send_signal(send)


def weights(out):
    place = min((out / "run/checkpoints").iterdir())
    reader = tf.train.load_checkpoint(tf.train.latest_checkpoint(str(place)))
    values = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}


def alone(out, *flags):
    where = ["--out", out / "run", "--export-dir", out / "saved"]
    command = [sys.executable, "-m", "recipes.toy_regression", *SMOKE, *where, *flags]
    done = subprocess.run(list(map(str, command)), cwd=ROOT, env={**os.environ, **ONE_THREAD}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return weights(out)


def test_two_workers_are_one_run_and_train_what_one_device_does(tmp_path):
    two = Workers(tmp_path / "two")
    want = alone(tmp_path / "one")
    assert two.codes() == [0, 0], two.said(0)[-2000:] + two.said(1)[-2000:]
    assert json.loads((tmp_path / "two/run/result.json").read_text())["recipe"] == "toy_regression"
    assert [p.name for p in (tmp_path / "two/saved/toy_regression").iterdir()] == ["1"]
    assert two.said(1).splitlines()[-1] == "worker 1: done; the run is in the first worker's folder"
    got = weights(tmp_path / "two")
    assert set(got) == set(want)
    for name, value in want.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.slow
def test_another_setting_on_a_worker_is_named_and_nothing_is_trained(tmp_path):
    two = Workers(tmp_path, of_each=((), ("--rate", "0.5")))
    codes = [two.processes[1].wait(timeout=300), two.processes[0].wait(timeout=300)]
    assert codes == [2, 2]
    assert "--rate: received 0.5, " in two.said(1) and "Give every worker the same settings" in two.said(1)
    assert "another worker is gone" in two.said(0)


@pytest.mark.slow
def test_what_stops_the_first_worker_is_told_by_all(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/mine").write_text("of another")
    two = Workers(tmp_path)
    assert two.codes() == [2, 2]
    assert "the first worker could not begin" in two.said(1) and "nothing was changed" in two.said(0)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_where_one_dies_the_other_says_so_and_all_go_on(victim, tmp_path):
    flags = ["--steps", "60", "--log-every", "10"]
    two = Workers(tmp_path / "two", *flags)
    two.after_a_checkpoint(signal.SIGKILL, victim)
    codes = two.codes()
    assert codes[victim] == -signal.SIGKILL and codes[1 - victim] == 2
    assert "another worker is gone" in two.said(1 - victim)
    assert Workers(tmp_path / "two", *flags, "--resume").codes() == [0, 0]
    want = alone(tmp_path / "one", *flags)
    for name, value in weights(tmp_path / "two").items():
        np.testing.assert_allclose(value, want[name], rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_asked_to_end_all_keep_the_same_step_and_go_on(victim, tmp_path):
    flags = ["--steps", "400", "--log-every", "10"]
    two = Workers(tmp_path, *flags)
    two.after_a_checkpoint(signal.SIGTERM, victim)
    assert two.codes() == [143, 143]
    steps = [said.partition("is kept at step ")[2].partition(".")[0] for said in (two.said(0), two.said(1))]
    assert steps[0] == steps[1] and int(steps[0]) >= 10
    assert Workers(tmp_path, *flags, "--resume").codes() == [0, 0]
