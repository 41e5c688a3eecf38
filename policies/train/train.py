"""Trains the critic while data keeps arriving.

First the Monte-Carlo warm start: the Q head regresses the discounted outcome of logged actions. Then Bellman sweeps: a
pool of transitions is drawn, its targets are computed with the lagged network, and the network is trained on it. The
hindsight grasp loss runs along all the time. Killed, it goes on from its last checkpoint with --resume.
"""

import argparse
import copy
import ctypes
import json
import os
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from data import CLOSING, KINDS, OPEN_MOVE, UNKNOWN, Experience
from export import export
from net import Critic, normalise
from targets import bellman_targets

KIND_SHARES = (0.45, 0.22, 0.15, 0.18)
"""Of a batch: open moves, closings, closed fingers, ends of episodes."""
HEAT_WEIGHT = 0.5
EMA_DECAY = 0.998
WARM_UP_STEPS = 100
LEARNING_RATE_FLAT = 0.75
"""Share of the budget after which the learning rate falls linearly to 3 % of its height."""
KEEP_LOGGED = 0.5
"""Share of the budget after which open moves no longer take a logged success as a lower bound."""
COLOUR_JITTER = 0.12
VALIDATION_MAX = 4000
EXPORTS_KEPT = 3


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="directories of shards, searched deeply")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint, log and exported models go here")
    parser.add_argument("--minutes", type=float, default=60.0, help="budget of training time; the schedules follow it")
    parser.add_argument("--warm-minutes", type=float, default=6.0, help="Monte-Carlo only, at the start")
    parser.add_argument("--export-minutes", type=float, default=3.0, help="between exports for the collector")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--pool", type=int, default=8192, help="transitions of a sweep")
    parser.add_argument("--reuse", type=float, default=2.5, help="times that a sweep trains on its pool")
    parser.add_argument("--fresh", type=float, default=0.4, help="least share of on-policy data, once there is any")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--weight-decay", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--init", type=Path, help="weights.pt of an earlier model to start from")
    parser.add_argument("--resume", action="store_true", help="go on from OUT/checkpoint.pt where there is one")
    return parser.parse_args()


class Trainer:
    """Networks, optimizer and data of one run."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        torch.manual_seed(args.seed)
        self.rng = np.random.default_rng(args.seed)
        self.net = Critic().to(memory_format=torch.channels_last)
        if args.init is not None:
            self.net.load_state_dict(torch.load(args.init))
        self.ema = copy.deepcopy(self.net).eval()
        self.previous = copy.deepcopy(self.net).eval()
        self.optimizer = torch.optim.AdamW(
            self.net.parameters(), args.learning_rate, weight_decay=args.weight_decay, fused=True
        )
        self.experience = Experience(args.data)
        self.step = 0
        self.sweep = 0
        self.elapsed_s = 0.0
        self.samples = 0
        self.loss_q = self.loss_grasp = 0.0

    # Where the run stands.

    @property
    def progress(self) -> float:
        return self.elapsed_s / (60 * self.args.minutes)

    @property
    def warm(self) -> bool:
        """Whether the Monte-Carlo warm start is over."""
        return self.elapsed_s >= 60 * self.args.warm_minutes

    def log(self, **record: object) -> None:
        line = json.dumps({"elapsed_s": round(self.elapsed_s), "step": self.step, **record})
        print(line, flush=True)
        with open(self.args.out / "log.jsonl", "a") as file:
            file.write(line + "\n")

    # Data.

    def refresh(self) -> None:
        """Takes up new shards and says how the greedy episodes among them went."""
        before = len(self.experience)
        shards = self.experience.refresh()
        if not shards:
            return
        t = self.experience.transitions
        held_out = self.experience.held_out()
        self.rows = [
            [np.flatnonzero((t.kind == k) & (t.on_policy == p) & ~held_out) for p in (False, True)]
            for k in range(KINDS)
        ]
        validation = np.flatnonzero(held_out)
        order = np.random.default_rng(1).permutation(len(validation))
        self.validation = validation[order[:VALIDATION_MAX]]
        new_ends = before + np.flatnonzero(t.done[before:])
        greedy = new_ends[t.greedy[new_ends]]
        self.log(
            event="data",
            shards=len(shards),
            episodes=int(t.done.sum()),
            on_policy=int((t.done & t.on_policy).sum()),
            new_success=round(float(t.success[new_ends].mean()), 4),
            new_greedy=len(greedy),
            new_greedy_success=round(float(t.success[greedy].mean()), 4) if len(greedy) else None,
        )

    def draw_kind(self, kind: int, count: int) -> NDArray[np.int64]:
        scripted, own = self.rows[kind]
        if len(scripted) + len(own) == 0:
            return np.empty(0, np.int64)
        share = max(self.args.fresh, len(own) / (len(own) + len(scripted))) if len(own) else 0.0
        share = share if len(scripted) else 1.0
        from_own = round(count * share)
        return np.concatenate([
            own[self.rng.integers(0, max(1, len(own)), from_own)],
            scripted[self.rng.integers(0, max(1, len(scripted)), count - from_own)],
        ])

    def draw_pool(self) -> list[NDArray[np.int64]]:
        return [self.draw_kind(k, round(share * self.args.pool)) for k, share in enumerate(KIND_SHARES)]

    # Learning.

    def targets(self, index: NDArray[np.int64]) -> NDArray[np.float32]:
        if not self.warm:
            return self.experience.transitions.monte_carlo[index]
        keep_logged = self.progress < KEEP_LOGGED
        return bellman_targets(self.experience, index, self.ema, self.previous, keep_logged)

    def train_sweep(self) -> None:
        began, phase = time.monotonic(), "bellman" if self.warm else "monte-carlo"
        pools = self.draw_pool()
        targets = [self.targets(pool) for pool in pools]
        self.previous.load_state_dict(self.ema.state_dict())
        targets_s = time.monotonic() - began
        self.elapsed_s += targets_s
        began, samples = time.monotonic(), self.samples
        for _ in range(int(self.args.pool * self.args.reuse / self.args.batch)):
            picked, wanted = [], []
            for pool, target, share in zip(pools, targets, KIND_SHARES, strict=True):
                if len(pool):
                    pick = self.rng.integers(0, len(pool), round(share * self.args.batch))
                    picked.append(pool[pick])
                    wanted.append(target[pick])
            tick = time.monotonic()
            self.train_step(np.concatenate(picked), torch.from_numpy(np.concatenate(wanted)))
            self.elapsed_s += time.monotonic() - tick
            if self.progress >= 1:
                break
        self.sweep += 1
        train_s = time.monotonic() - began
        self.log(
            event="sweep",
            phase=phase,
            loss_q=round(self.loss_q, 4),
            loss_grasp=round(self.loss_grasp, 4),
            target_open=round(float(targets[OPEN_MOVE].mean()), 4),
            target_closing=round(float(targets[CLOSING].mean()), 4),
            samples_per_s=round((self.samples - samples) / train_s),
            targets_s=round(targets_s, 1),
            train_s=round(train_s, 1),
        )

    def train_step(self, index: NDArray[np.int64], target: Tensor) -> None:
        self.set_learning_rate()
        loss_q, loss_grasp, _, _ = self.losses(self.net, index, target, augment=True)
        self.optimizer.zero_grad()
        (loss_q + loss_grasp).backward()
        self.optimizer.step()
        self.step += 1
        self.samples += len(index)
        self.loss_q += 0.02 * (float(loss_q.detach()) - self.loss_q)
        self.loss_grasp += 0.02 * (float(loss_grasp.detach()) - self.loss_grasp)
        decay = min(EMA_DECAY, self.step / (self.step + 20))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.ema.parameters()), list(self.net.parameters()), 1 - decay)

    def set_learning_rate(self) -> None:
        fall = (1 - self.progress) / (1 - LEARNING_RATE_FLAT)
        factor = min(1.0, (self.step + 1) / WARM_UP_STEPS) * min(1.0, max(0.03, fall))
        for group in self.optimizer.param_groups:
            group["lr"] = self.args.learning_rate * factor

    def losses(
        self, net: Critic, index: NDArray[np.int64], target: Tensor, augment: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Q loss, grasp loss, Q logits (B,) of the logged verbs, grasp logits (B,) at the hindsight poses."""
        t = self.experience.transitions
        pixels = prepare(self.experience.image_batch(index), augment)
        state, motion = torch.from_numpy(t.state[index]), torch.from_numpy(t.motion[index])
        label = torch.from_numpy(t.grasp_label[index])
        q, grasp, heat = net(pixels, state, motion, torch.from_numpy(t.grasp_pose[index]))
        q = q.gather(1, torch.from_numpy(t.verb[index])[:, None])[:, 0]
        known = (label != UNKNOWN).float()
        bce = F.binary_cross_entropy_with_logits
        aside = bce(grasp, label.clamp(0, 1), reduction="none")
        aside = aside + HEAT_WEIGHT * bce(heat, label.clamp(0, 1), reduction="none")
        return bce(q, target), (aside * known).sum() / known.sum().clamp(min=1), q, grasp

    @torch.no_grad()
    def validate(self) -> None:
        """Areas under the ROC curve, and mean values, of the lagged network on held-out episodes."""
        t, rows = self.experience.transitions, self.validation
        outputs = []
        for start in range(0, len(rows), self.args.batch):
            index = rows[start : start + self.args.batch]
            target = torch.from_numpy(t.monte_carlo[index])
            outputs.append(torch.stack(self.losses(self.ema, index, target, augment=False)[2:]))
        q, grasp = torch.cat(outputs, 1).numpy()
        kind, label, outcome = t.kind[rows], t.grasp_label[rows], t.monte_carlo[rows]
        closing, opened = [(kind == k) & (label != UNKNOWN) for k in (CLOSING, OPEN_MOVE)]
        q = 1 / (1 + np.exp(-q))
        self.log(
            event="validation",
            rows=len(rows),
            auc_q_closing=auc(q[closing], label[closing]),
            auc_grasp_closing=auc(grasp[closing], label[closing]),
            auc_grasp_open=auc(grasp[opened], label[opened]),
            q_mean=[round(float(q[kind == k].mean()), 3) for k in range(KINDS)],
            outcome_mean=[round(float(outcome[kind == k].mean()), 3) for k in range(KINDS)],
        )

    # Files.

    def lineage(self) -> dict:
        return {
            "seed": self.args.seed,
            "step": self.step,
            "samples": self.samples,
            "training_s": round(self.elapsed_s),
            **self.experience.lineage(),
        }

    def checkpoint(self) -> None:
        state = {
            "net": self.net.state_dict(),
            "ema": self.ema.state_dict(),
            "previous": self.previous.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "sweep": self.sweep,
            "samples": self.samples,
            "elapsed_s": self.elapsed_s,
            "torch_rng": torch.get_rng_state(),
            "numpy_rng": self.rng.bit_generator.state,
            "arguments": {k: str(v) for k, v in vars(self.args).items()},
            "lineage": self.lineage(),
        }
        path = self.args.out / "checkpoint.pt"
        torch.save(state, path.with_suffix(".tmp"))
        os.replace(path.with_suffix(".tmp"), path)

    def resume(self) -> None:
        path = self.args.out / "checkpoint.pt"
        if not path.exists():
            return
        state = torch.load(path, weights_only=True)
        for name in ("net", "ema", "previous", "optimizer"):
            getattr(self, name).load_state_dict(state[name])
        for name in ("step", "sweep", "samples", "elapsed_s"):
            setattr(self, name, state[name])
        torch.set_rng_state(state["torch_rng"])
        self.rng.bit_generator.state = state["numpy_rng"]
        self.log(event="resumed")

    def export(self) -> None:
        """Writes OUT/models/step-N whole or not at all, and keeps the last few."""
        models = self.args.out / "models"
        target, scratch = models / f"step-{self.step:07d}", models / "export.tmp"
        if target.exists():
            return
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        difference = export(self.ema, scratch, self.lineage())
        torch.save(self.ema.state_dict(), scratch / "weights.pt")
        scratch.rename(target)
        for old in sorted(models.glob("step-*"))[:-EXPORTS_KEPT]:
            shutil.rmtree(old)
        self.log(event="export", model=target.name, onnx_difference=difference)

    def run(self) -> None:
        exported_s = -np.inf
        while self.progress < 1:
            self.refresh()
            if len(self.experience) == 0:
                time.sleep(2)
                continue
            self.train_sweep()
            if self.sweep % 3 == 0:
                self.validate()
            self.checkpoint()
            if self.warm and self.elapsed_s - exported_s >= 60 * self.args.export_minutes:
                self.export()
                exported_s = self.elapsed_s
        self.validate()
        self.checkpoint()
        self.export()
        self.log(event="done")


def prepare(image: Tensor, augment: bool) -> Tensor:
    """(B, size, size, 3) uint8 to (B, 3, size, size) in about [-1, 1], with colours, contrast and brightness varied."""
    if not augment:
        return normalise(image)
    shuffle = torch.eye(3)[torch.randperm(3)] / 127.5
    pixels = (image.float().view(-1, 3) @ shuffle).view(image.shape)
    contrast = 1 + COLOUR_JITTER * torch.randn(len(image), 1, 1, 3)
    brightness = COLOUR_JITTER * torch.randn(len(image), 1, 1, 1) - 1
    return torch.addcmul(brightness, pixels, contrast).permute(0, 3, 1, 2)


def keep_freed_memory() -> None:
    """Has the C library keep what it frees: returning a batch's activations to the kernel and zeroing them anew costs a
    tenth of the time. The constants are glibc's M_MMAP_MAX and M_TRIM_THRESHOLD; elsewhere nothing happens."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.mallopt(-4, 0)
        libc.mallopt(-1, 2**31 - 1)


def auc(score: NDArray, label: NDArray) -> float | None:
    """Probability that a positive scores above a negative; None where one of the two is missing."""
    positive = label > 0.5
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if n_positive == 0 or n_negative == 0:
        return None
    rank = np.empty(len(score))
    rank[np.argsort(score)] = np.arange(1, len(score) + 1)
    return round(float((rank[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative)), 4)


def main() -> None:
    args = arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    keep_freed_memory()
    trainer = Trainer(args)
    trainer.refresh()
    if args.resume:
        trainer.resume()
    trainer.run()


if __name__ == "__main__":
    main()
