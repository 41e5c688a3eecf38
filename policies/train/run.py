"""Reproduces the shipped policies: collects weak experience, then trains and collects on-policy, side by side.

Stopped or killed, the same command goes on where it was: shards and checkpoints are only ever written whole, and a
seed is noted down before an episode is simulated with it, so none is used twice.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
SEED_STRIDE = 1_000_000_000
"""Seeds of a run are in [seed, seed + 1] times this."""
HAND_EYE_ROUNDS = 4
"""Of so many on-policy rounds one is the hand-eye policy's: its mistakes teach the grasp head most."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=Path, required=True, help="the `visuomotor` program, built with --release")
    parser.add_argument("--out", type=Path, required=True, help="data, checkpoint, log and models go here")
    parser.add_argument("--launch", type=Path, default=Path("launch/robots/sim_iiwa14.toml"))
    parser.add_argument("--weak-episodes", type=int, default=47000, help="scripted episodes to start from")
    parser.add_argument("--start-episodes", type=int, default=47000, help="training starts once there are so many")
    parser.add_argument("--weak-jobs", type=int, default=2, help="processes that collect before training starts")
    parser.add_argument("--chunk", type=int, default=1000, help="scripted episodes a call of the simulator")
    parser.add_argument("--round", type=int, default=400, help="on-policy episodes with one exported model")
    parser.add_argument("--explore", default="0,0,0.05,0.1,0.2,0.4", help="levels of exploration, in turns")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=75.0, help="training time")
    parser.add_argument("--warm-minutes", type=float, default=7.0)
    parser.add_argument("--export-minutes", type=float, default=2.5)
    parser.add_argument("--pool", type=int, default=8192)
    parser.add_argument("--init", type=Path, help="weights.pt of an earlier model to start from")
    return parser.parse_args()


class Collector:
    """Calls the simulator and keeps count of seeds."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.seeds = args.out / "next_seed.json"
        self.rounds = 0
        for name in ("weak", "on_policy"):
            (args.out / name).mkdir(parents=True, exist_ok=True)
            for unfinished in (args.out / name).glob("*.tmp"):
                shutil.rmtree(unfinished)

    def reserve(self, episodes: int) -> int:
        """First of so many consecutive seeds that no call has had."""
        first = self.args.seed * SEED_STRIDE
        if self.seeds.exists():
            first = json.loads(self.seeds.read_text())
        scratch = self.seeds.with_suffix(".tmp")
        scratch.write_text(json.dumps(first + episodes))
        os.replace(scratch, self.seeds)
        return first

    def episodes(self, name: str) -> int:
        return sum(int(np.load(p).sum()) for p in (self.args.out / name).glob("shard-*/done.npy"))

    def start(self, name: str, episodes: int, policy: str, *options: str) -> subprocess.Popen:
        command = [self.args.binary, "collect-sim", self.args.launch, "--policy", policy, "--split", "train"]
        command += ["--episodes", episodes, "--seed", self.reserve(episodes), "--out", self.args.out / name, *options]
        with open(self.args.out / "collect.log", "a") as log:
            return subprocess.Popen([str(c) for c in command], stdout=log, stderr=log)

    def weak(self, wanted: int, jobs: int) -> subprocess.Popen | None:
        """The next chunk of scripted episodes, or None where there are enough."""
        missing = wanted - self.episodes("weak")
        if missing <= 0:
            return None
        return self.start("weak", min(missing, self.args.chunk), "weak", "--jobs", str(jobs))

    def on_policy(self) -> subprocess.Popen | None:
        """A round with the newest model, or None where there is none yet."""
        models = sorted((self.args.out / "models").glob("step-*/collect.toml"))
        if not models:
            return None
        self.rounds += 1
        policy = models[-1] if self.rounds % HAND_EYE_ROUNDS else models[-1].with_name("hand_eye.toml")
        return self.start("on_policy", self.args.round, str(policy), "--explore", self.args.explore)


def start_trainer(args: argparse.Namespace) -> subprocess.Popen:
    command = [sys.executable, HERE / "train.py", "--data", args.out / "weak", args.out / "on_policy"]
    command += ["--out", args.out, "--seed", args.seed, "--minutes", args.minutes, "--resume"]
    command += ["--warm-minutes", args.warm_minutes, "--export-minutes", args.export_minutes]
    command += ["--pool", args.pool]
    if args.init is not None:
        command += ["--init", args.init]
    return subprocess.Popen([str(c) for c in command])


def require_success(process: subprocess.Popen, what: str, log: Path) -> None:
    if process.returncode != 0:
        raise SystemExit(f"{what} ended with exit code {process.returncode}; see {log}")


def main() -> None:
    args = arguments()
    collector = Collector(args)
    children: list[subprocess.Popen] = []
    try:
        while (chunk := collector.weak(args.start_episodes, args.weak_jobs)) is not None:
            children = [chunk]
            chunk.wait()
            require_success(chunk, "collecting", args.out / "collect.log")
        trainer = start_trainer(args)
        children = [trainer]
        while trainer.poll() is None:
            collecting = collector.weak(args.weak_episodes, 1) or collector.on_policy()
            children = [trainer, *([collecting] if collecting else [])]
            while trainer.poll() is None and collecting is not None and collecting.poll() is None:
                time.sleep(0.5)
            if collecting is None:
                time.sleep(2)
            elif collecting.poll() is not None:
                require_success(collecting, "collecting", args.out / "collect.log")
        require_success(trainer, "training", args.out / "log.jsonl")
        print(f"trained: {sorted((args.out / 'models').glob('step-*'))[-1]}")
    finally:
        for child in children:
            if child.poll() is None:
                child.terminate()
                child.wait()


if __name__ == "__main__":
    main()
