"""The harness beside the peers: its page is that of the kept numbers, its reference is right, its arguments are checked."""

import dataclasses
import json
import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from benchmarks.peers import __main__ as command
from benchmarks.peers import explanations
from benchmarks.peers.environments import missing, python_of, variables
from benchmarks.peers.ode_reference import reference_log_prob
from benchmarks.peers.page import page
from benchmarks.peers.ratios import TIMES, Ratio, ratios
from benchmarks.peers.rows import MEMORY, WORKLOADS
from benchmarks.peers.table import table
from benchmarks.speed import Worker
from benchmarks.workers import ode_accuracy
from benchmarks.workers.cases import case_of, data, velocity_weights
from tests.house.source import ROOT

KEPT = json.loads((ROOT / "benchmarks" / "results" / "peers.json").read_text())
RATIOS = [(name, ratio) for name, found in KEPT.items() for ratio in ratios(name, found)]


def test_the_page_is_that_of_the_kept_numbers():
    assert (ROOT / "docs" / "peers.md").read_text() == page(KEPT), (
        "write it by `python -m benchmarks.peers --page benchmarks/results/peers.json docs/peers.md`"
    )


def test_the_kept_numbers_are_whole():
    assert set(KEPT) == {*WORKLOADS, "memory"}
    for name, found in KEPT.items():
        assert set(found["rows"]) == set(MEMORY if name == "memory" else WORKLOADS[name].rows)
        assert not found["quick"] and found["commit"]
    assert all(math.isfinite(ratio.value) and ratio.value > 0 for _, ratio in RATIOS)


def test_every_ratio_is_explained_and_every_explanation_is_needed():
    used = {explanations.key_of(name, ratio) for name, ratio in RATIOS}
    assert used == set(explanations.EXPLANATIONS)


def test_an_explanation_holds_for_its_verdict_alone():
    with pytest.raises(LookupError, match="couplings.*nflows.*step"):
        explanations.explanation("couplings", Ratio("nflows", "step", 40.0, 40.0, 40.0))


def made_up(ours, theirs):
    row = {"library": "some 1.0", "first_step": 1.0, "mib": 100.0, "inverse_error": 1e-6, "wall": {"step": [9.0]}}
    rows = {"inntf": {**row, "cpu": {"step": ours}}, "flowjax": {**row, "cpu": {"step": theirs}, "inverse_error": 4e-6}}
    return {"rows": rows}


def test_ratios_are_those_of_turns():
    # A machine that gets three times as slow on its way: the medians of times alone would say otherwise.
    found = {r.quantity: r for r in ratios("couplings", made_up([1.0, 2.0, 3.0], [2.0, 4.0, 2.0]))}
    assert (found["step"].value, found["step"].low, found["step"].high) == (0.5, 0.5, 1.5)
    assert [found[q].verdict for q in ("step", "first_step", "inverse_error")] == ["won", "even", "won"]
    assert found["inverse_error"].value == pytest.approx(0.25)
    lines = table("couplings", made_up([1.0, 2.0, 3.0], [2.0, 4.0, 2.0])).splitlines()
    assert lines[-1].startswith("| flowjax | 2 (0.50) | 9 | 1 (1.00) | 100 (1.00) | 4e-6") and "(" not in lines[2]


def test_arguments(capsys):
    chosen = command.parse(["--workloads", "ode", "--rows", "diffrax", "--only-setup"])
    assert chosen.workloads == ["ode"] and chosen.setup and chosen.threads == 1 and str(chosen.environments) == ".peers"
    assert set(command.parse([]).workloads) == {*WORKLOADS, "memory"}
    with pytest.raises(SystemExit):
        command.parse(["--rows", "difrax"])
    assert "difrax" in capsys.readouterr().err


def test_without_environments_it_says_how_to_make_them(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["peers", "--environments", str(tmp_path)])
    assert command.main() == 2 and "--setup" in capsys.readouterr().err
    assert missing(tmp_path) == ["torch", "jax"] and python_of(tmp_path, "inntf") == sys.executable


def test_kept_tables_stay(tmp_path):
    path = tmp_path / "kept.json"
    command.keep(path, "ode", {"rows": 1})
    command.keep(path, "maf", {"rows": 2})
    command.keep(path, "ode", {"rows": 3})
    assert json.loads(path.read_text()) == {"ode": {"rows": 3}, "maf": {"rows": 2}}


@pytest.mark.parametrize("name", ["inntf", "torch", "jax"])
def test_threads_are_pinned(name):
    found = variables(name, 2)
    numbers = {key: value for key, value in found.items() if key == "NPROC" or key.endswith("THREADS")}
    assert set(numbers.values()) == {"2"} and ("XLA_FLAGS" in found) == (name == "jax")


def test_every_row_compares_with_one_of_ours():
    for rows in [*(work.rows for work in WORKLOADS.values()), MEMORY]:
        for row in rows.values():
            assert row.against is None or rows[row.against].against is None


def test_the_reference_is_a_density():
    """Its log-determinant is that of the map's Jacobian by central differences."""
    case = dataclasses.replace(case_of("ode", tiny=True), batch=3)
    (w1, b1), (w2, b2), (w3, b3) = [(k.astype(float), b.astype(float)) for k, b in velocity_weights(case)]

    def velocity(t, y):
        h = np.logaddexp(0, np.append(y, t) @ w1 + b1)
        return np.logaddexp(0, h @ w2 + b2) @ w3 + b3

    def end(x):
        return solve_ivp(velocity, (0, 1), x, method="DOP853", rtol=1e-10, atol=1e-10).y[:, -1]

    found = reference_log_prob(case, 1e-10)
    for x, value in zip(data(case).astype(float), found, strict=True):
        jacobian = np.stack([(end(x + step) - end(x - step)) / 2e-4 for step in 1e-4 * np.eye(2)], 1)
        normal = -0.5 * (end(x) ** 2).sum() - math.log(2 * math.pi)
        assert value == pytest.approx(normal + np.linalg.slogdet(jacobian)[1], abs=1e-5)


def test_the_loosest_tolerance_that_is_true_enough(tmp_path):
    np.save(tmp_path / "truth.npy", np.zeros(2))
    args = SimpleNamespace(reference=tmp_path / "truth.npy", tolerance=1e-5, error=1e-4)
    assert ode_accuracy.choose(lambda t: np.array([0.0, -10 * t]), args) == (1e-5, pytest.approx(1e-4))
    args.error = 1e-12  # out of reach: what comes nearest
    assert ode_accuracy.choose(lambda t: np.array([0.0, t if t > 1e-5 else 1.0]), args)[0] == 3e-5
    args.error = None
    assert ode_accuracy.choose(lambda t: np.array([0.0, t]), args) == (1e-5, pytest.approx(1e-5))


@pytest.mark.slow  # TensorFlow in a process of its own
def test_a_worker_of_ours_answers():
    arguments = ("splines", "repeat", "--tiny")
    worker = Worker(sys.executable, "benchmarks.workers.vectors_ours", *arguments, env=variables("inntf", 1))
    assert worker.about["parameters"] > 0 and worker.about["ready_cpu"] > worker.about["first_step_cpu"] > 0
    before = worker.about["loss"]
    for action in ("step", "log_prob", "sample"):
        answer = worker.run(action, 20)
        assert len(answer["cpu"]) == len(answer["wall"]) == 20 and answer["peak_mib"] > 0
        if action == "step":
            assert answer["value"] < before  # it trains
    assert 0 < worker.run("inverse_error", 1)["value"] < 1e-4
    worker.close()


IN_README = {
    "affine couplings": ("couplings", ("FrEIA GLOWCouplingBlock", "nflows", "flowjax")),
    "masked autoregressive": ("maf", ("nflows", "flowjax")),
    "Glow": ("glow", ("FrEIA AllInOneBlock", "normflows", "hand-written JAX")),
    "spline couplings": ("splines", ("nflows", "zuko", "flowjax")),
    "FFJORD at equal error": ("ode", ("zuko, error 3e-4", "diffrax, error 3e-4")),
}


@pytest.mark.parametrize("title", IN_README)
def test_the_readme_shows_the_kept_numbers(title):
    workload, peers = IN_README[title]
    line = next(line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith(f"| {title}: "))
    kept = {(ratio.peer, ratio.quantity): f"{ratio.value:.2f}" for name, ratio in RATIOS if name == workload}
    shown = [cell.strip() for cell in line.strip("|").split("|")][1:]
    expected = [" / ".join(filter(None, [kept.get((peer, quantity)) for peer in peers])) for quantity in TIMES]
    assert shown == expected


def test_the_readme_counts_what_is_won():
    counts = [sum(ratio.verdict == verdict for _, ratio in RATIOS) for verdict in ("won", "even", "lost")]
    won, even, lost = counts
    assert f"Of {sum(counts)} ratios {won} are won, {even} even and {lost} lost" in (ROOT / "README.md").read_text()
