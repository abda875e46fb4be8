"""The page of `benchmarks.peers`: every table and a sentence for every ratio, from the kept numbers."""

from __future__ import annotations

from typing import Any

from benchmarks.peers.explanations import explanation
from benchmarks.peers.ratios import TIMES, Ratio, ratios
from benchmarks.peers.rows import MEMORY_SETTING, MEMORY_TITLE, WORKLOADS
from benchmarks.peers.table import table

HEAD = """# Beside the peers

<!-- Written by `python -m benchmarks.peers --page benchmarks/results/peers.json docs/peers.md`; edit that, not this. -->

Speed, memory and accuracy of inntf beside libraries of PyTorch and JAX, and the reason of each ratio, of those that are lost
as well. Measure it again:

```bash
python -m benchmarks.peers --setup --json benchmarks/results/peers.json
python -m benchmarks.peers --page benchmarks/results/peers.json docs/peers.md
```

How it is measured: each row is a process of its own, with networks of equal widths, in float32, and the number of threads that
the table states. The processes of a table work a few calls each in turn, so that a busy machine slows all of them. Times are
medians of CPU seconds over all threads; the numbers in brackets are inntf's over the row's: **below one, inntf is the faster or
smaller**. "First step": CPU seconds for making the model, initialization, tracing or compiling, and the first training step.
"MiB": the largest resident size of the process over its size after a training step of a tiny network, at which the
libraries load parts of themselves. "Error of the inverse": the largest
`|x - inverse(forward(x))|` in the batch, after the training steps of the table. Kernels: inntf runs in a `tf.function` with
TensorFlow's oneDNN kernels, "XLA" with `jit_compile=True`; PyTorch runs eagerly, with oneDNN; JAX is compiled by XLA.
A ratio between {low:.2f} and {high:.2f} counts as even, errors of an inverse within a factor of three.
"""


def page(kept: dict[str, Any]) -> str:
    """The whole page, in Markdown.

    Args:
        kept: the content of the file that `--json` writes.
    """
    names = [name for name in (*WORKLOADS, "memory") if name in kept]
    counts = dict.fromkeys(("won", "even", "lost"), 0)
    for name in names:
        for ratio in ratios(name, kept[name]):
            counts[ratio.verdict] += 1
    lines = [HEAD.format(low=1 / 1.05, high=1.05), _machines([kept[name] for name in names])]
    lines.append(f"Of {sum(counts.values())} ratios {counts['won']} are won, {counts['even']} even, {counts['lost']} lost.\n")
    return "\n".join(lines + [_section(name, kept[name]) for name in names])


def _machines(tables: list[dict[str, Any]]) -> str:
    lines = []
    for what in dict.fromkeys(found["machine"] for found in tables):
        lines.append(f"Machine: {what}.")
    notes = dict.fromkeys(found["note"] for found in tables if found["note"])
    return "\n".join([*lines, *notes, ""])


def _section(name: str, found: dict[str, Any]) -> str:
    title = MEMORY_TITLE if name == "memory" else WORKLOADS[name].title
    setting = MEMORY_SETTING if name == "memory" else WORKLOADS[name].setting
    threads = f"{found['threads']} thread" + "s" * (found["threads"] > 1)
    load = f"load of the machine {min(found['load']):.1f} to {max(found['load']):.1f}"
    libraries = "; ".join(dict.fromkeys(row["library"] for row in found["rows"].values()))
    made = f"{found['date']}, commit {found['commit']}, {threads}, {load}; {libraries}."
    lines = [f"## {title}", "", setting, "", made, "", table(name, found), ""]
    if found["quick"]:
        lines[5] += " **A quick run: it shows that everything runs, and no speed.**"
    by_peer: dict[str, list[Ratio]] = {}
    for ratio in ratios(name, found):
        by_peer.setdefault(ratio.peer, []).append(ratio)
    for peer, all_of_it in by_peer.items():
        lines.append(f"Beside {peer}:\n")
        lines += [_sentence(name, ratio) for ratio in all_of_it]
        lines.append("")
    return "\n".join(lines)


def _sentence(workload: str, ratio: Ratio) -> str:
    what = {**TIMES, "first_step": "first step", "mib": "memory", "inverse_error": "error of the inverse"}[ratio.quantity]
    spread = f" ({ratio.low:.2f} to {ratio.high:.2f})" if ratio.low < ratio.high else ""
    return f"- {what}: **{ratio.value:.2f}**{spread}, {ratio.verdict}. {explanation(workload, ratio)}"
