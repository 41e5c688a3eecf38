#!/usr/bin/env python3
"""Measures what logging everything costs the control thread, ours and Copper's in turns, and prints the ratio.

usage: hil-tests/peers/handoff.py [--rounds N] [--seconds S] [--json FILE|-]

Runs `visuomotor bench handoff` of target/release, and a Copper graph (hil-tests/peers/copper, built here with crates of its
own) that logs the same bytes a cycle: the step record at 1 kHz, the policy's record at 4 Hz, an image at 32 Hz. Both at
1 kHz under SCHED_FIFO, so as root or with the rights that `visuomotor doctor` lists. All times are CPU time of the thread.
Copper's is what a cycle takes beyond the median cycle of the same graph without a log.
"""

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from compare import HERE, REPOSITORY, WORK, machine, note, run, run_json

GRAPH = HERE / "copper"
BUILD = WORK / "copper"
QUANTILES = {"p50": 0.5, "p99": 0.99, "p999": 0.999, "max": 1.0}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of measuring [5]")
    parser.add_argument("--seconds", type=int, default=10, help="of each side in a round [10]")
    parser.add_argument("--json", metavar="FILE", help="write the figures; - is standard output, and then nothing else is there")
    args = parser.parse_args()
    ours, graph = REPOSITORY / "target" / "release" / "visuomotor", BUILD / "release" / "copper-handoff"
    if not ours.exists():
        sys.exit(f"{ours} is missing: cargo build --release")
    note("building the Copper graph")
    build(graph)
    rounds = []
    for number in range(args.rounds):
        note(f"round {number + 1} of {args.rounds}")
        rounds.append((ours_once(ours, args.seconds), copper_once(graph, args.seconds)))
    findings = {
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "copper": version(),
        "rounds": args.rounds,
        "seconds": args.seconds,
        "bytes_per_tick": {"ours": rounds[0][0]["bytes_per_tick"], "copper": rounds[0][1]["bytes_per_cycle"]},
        "real_time": all(mine["fifo"] and theirs["real_time"] for mine, theirs in rounds),
        "dropped": sum(mine["dropped"] for mine, _ in rounds),
        "rows": [row(name, rounds) for name in QUANTILES],
    }
    if args.json:
        text = json.dumps(findings, indent=1) + "\n"
        sys.stdout.write(text) if args.json == "-" else Path(args.json).write_text(text)
    if args.json != "-":
        print(table(findings))
    same = abs(findings["bytes_per_tick"]["ours"] / findings["bytes_per_tick"]["copper"] - 1) <= 0.1
    if not same:
        note("the two do not log the same bytes: change ROWS in hil-tests/peers/copper/src/main.rs")
    return 0 if same else 1


def build(graph):
    command = ["cargo", "build", "--release", "--quiet", "--locked", "--manifest-path", GRAPH / "Cargo.toml"]
    built = subprocess.run([str(word) for word in command], env={**os.environ, "CARGO_TARGET_DIR": str(BUILD)})
    if built.returncode != 0 or not graph.exists():
        sys.exit("the Copper graph does not build")


def ours_once(binary, seconds):
    launch = REPOSITORY / "launch/robots/sim_iiwa14.toml"
    return run_json([binary, "bench", "handoff", launch, "--seconds", seconds, "--json", "-"])


def copper_once(graph, seconds):
    with tempfile.TemporaryDirectory() as folder:
        found = run_json([graph, Path(folder) / "log.copper", 1000 * seconds])
    silent = statistics.median(found.pop("silent_ns"))
    logged = sorted(found.pop("logged_ns"))
    found["logging_us"] = {name: (quantile(logged, share) - silent) / 1e3 for name, share in QUANTILES.items()}
    return found


def quantile(ordered, share):
    """The nearest rank."""
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def row(name, rounds):
    pairs = [(mine["handoff_us"][name], theirs["logging_us"][name]) for mine, theirs in rounds]
    ratios = [theirs / mine for mine, theirs in pairs if mine > 0]
    return {
        "what": name,
        "ours_us": statistics.median(mine for mine, _ in pairs),
        "copper_us": statistics.median(theirs for _, theirs in pairs),
        "ratio": statistics.median(ratios) if ratios else None,
        "ratio_min": min(ratios, default=None),
        "ratio_max": max(ratios, default=None),
    }


def table(findings):
    lines = [f"{findings['date']}, {findings['machine']}, {findings['rounds']} rounds of {findings['seconds']} s each, Copper {findings['copper']}"]
    lines.append(f"{findings['bytes_per_tick']['ours']} and {findings['bytes_per_tick']['copper']} bytes a tick; ours dropped {findings['dropped']}"
        + ("" if findings["real_time"] else "; NOT at real-time priority"))
    lines += ["", f"{'logging':8} {'ours':>9} {'Copper':>9}     {'Copper / ours':>13}  of rounds"]
    for r in findings["rows"]:
        spread = f"{r['ratio_min']:.0f} to {r['ratio_max']:.0f}" if r["ratio"] else "-"
        ratio = f"{r['ratio']:.0f}" if r["ratio"] else "-"
        lines.append(f"{r['what']:8} {r['ours_us']:9.2f} {r['copper_us']:9.2f} us  {ratio:>13}  {spread}")
    return "\n".join(lines)


def version():
    listed = run(["cargo", "metadata", "--format-version", "1", "--locked", "--manifest-path", GRAPH / "Cargo.toml"])
    return next(package["version"] for package in json.loads(listed)["packages"] if package["name"] == "cu29")


if __name__ == "__main__":
    sys.exit(main())
