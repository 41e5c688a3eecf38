"""Shards of logged episodes as training data.

Responsible for finding whole shards, for what is derived from a log (returns, kinds of transitions, hindsight grasps)
and for access to images. Not responsible for values that need a network (`train`).

Everything is derived from logged actions, proprioception and the reward at the end of the episode; nothing that only a
simulator knows is read.
"""

import os
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import task

OPEN_MOVE, CLOSING, CLOSED, FINAL = range(4)
"""Kinds of transitions: fingers open and staying so; closing; fingers closed; the last of an episode."""
KINDS = 4

LIFTED_M = 0.10
"""An unsuccessful episode that ends with the closed fingers above this height shows that the grasp was none."""

UNKNOWN = -1.0
HELD_OUT_ONE_IN = 40


@dataclass
class Transitions:
    """One row a step, n rows, episodes whole and in order."""

    state: NDArray[np.float32]
    """(n, 7)"""
    motion: NDArray[np.float32]
    """(n, 4)"""
    verb: NDArray[np.int64]
    done: NDArray[np.bool_]
    success: NDArray[np.bool_]
    greedy: NDArray[np.bool_]
    episode: NDArray[np.int64]
    kind: NDArray[np.int64]
    monte_carlo: NDArray[np.float32]
    """Discounted success that the logged actions led to."""
    grasp_pose: NDArray[np.float32]
    """(n, 4) x, y, z, yaw of the next attempt of the episode to close."""
    grasp_label: NDArray[np.float32]
    """1 when that attempt grasped, 0 when not, UNKNOWN otherwise."""
    on_policy: NDArray[np.bool_]
    shard: NDArray[np.int32]
    row: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.verb)


def goal_pose(state: NDArray[np.float32]) -> NDArray[np.float32]:
    """Goal (n, 4): x, y, z in m and yaw in rad, of state vectors (n, 7)."""
    unit = np.array([task.XY_UNIT_M, task.XY_UNIT_M, task.Z_UNIT_M, 1.0], np.float32)
    return state[:, task.GOAL_X : task.GOAL_YAW + 1] * unit


def monte_carlo_returns(done: NDArray[np.bool_], success: NDArray[np.bool_]) -> NDArray[np.float32]:
    returns = np.zeros(len(done), np.float32)
    value = 0.0
    for i in range(len(done) - 1, -1, -1):
        value = float(success[i]) if done[i] else value * task.DISCOUNT
        returns[i] = value
    return returns


def kinds(state: NDArray[np.float32], verb: NDArray[np.int64], done: NDArray[np.bool_]) -> NDArray[np.int64]:
    closed = state[:, task.CLOSED] > 0.5
    return np.where(done, FINAL, np.where(closed, CLOSED, np.where(verb == task.CLOSE, CLOSING, OPEN_MOVE)))


def hindsight_grasps(
    state: NDArray[np.float32], verb: NDArray[np.int64], done: NDArray[np.bool_], success: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Pose (n, 4) and label (n,) of the attempt that each frame with open fingers led to."""
    pose = goal_pose(state)
    aperture_m = state[:, task.APERTURE] * task.APERTURE_M
    height_m = state[:, task.MEASURED_Z] * task.Z_UNIT_M
    poses = np.zeros((len(verb), 4), np.float32)
    labels = np.full(len(verb), UNKNOWN, np.float32)
    attempt, label, outcome = None, UNKNOWN, UNKNOWN
    for i in range(len(verb) - 1, -1, -1):
        closed = state[i, task.CLOSED] > 0.5
        empty = aperture_m[i] < task.EMPTY_APERTURE_M
        if done[i]:
            attempt, outcome = None, UNKNOWN
            if closed and success[i]:
                outcome = 1.0
            elif closed and (empty or height_m[i] > LIFTED_M):
                outcome = 0.0
        elif closed and verb[i] == task.OPEN:
            outcome = 0.0 if empty else UNKNOWN
        if closed:
            attempt = None
        elif verb[i] == task.CLOSE and not done[i]:
            attempt, label, outcome = pose[i + 1], outcome, UNKNOWN
        if attempt is not None:
            poses[i], labels[i] = attempt, label
    return poses, labels


class Experience:
    """All whole shards below some directories; `refresh` picks up those that have appeared since."""

    def __init__(self, directories: list[Path]) -> None:
        self.directories = directories
        self.shards: list[Path] = []
        self.images: list[NDArray[np.uint8]] = []
        self.transitions: Transitions | None = None

    def __len__(self) -> int:
        return 0 if self.transitions is None else len(self.transitions)

    def refresh(self) -> list[Path]:
        """Reads new shards and returns their paths. Shards still being written end in `.tmp` and are left alone."""
        known = set(self.shards)
        # Not `rglob`: a shard may be renamed while one looks, and `walk` does not mind.
        seen = [(Path(p), files) for d in self.directories for p, _, files in os.walk(d)]
        whole = [p for p, files in seen if p.name.startswith("shard-") and "meta.json" in files]
        new = sorted(p for p in whole if p.suffix != ".tmp" and p not in known)
        parts = [] if self.transitions is None else [self.transitions]
        for path in new:
            parts.append(self._read(path, len(self.shards)))
            self.shards.append(path)
        if new:
            self.transitions = Transitions(
                **{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Transitions)}
            )
        return new

    def _read(self, path: Path, shard: int) -> Transitions:
        def column(name: str, dtype: type) -> NDArray:
            return np.load(path / f"{name}.npy").astype(dtype)

        done = column("done", bool)
        ends = np.flatnonzero(done)
        n = int(ends[-1]) + 1 if len(ends) else 0
        done = done[:n]
        state, verb = column("state", np.float32)[:n], column("verb", np.int64)[:n]
        success = column("success", bool)[:n] & done
        image = np.load(path / "image.npy", mmap_mode="r")
        expected = (len(image), task.IMAGE_SIZE, task.IMAGE_SIZE, 3)
        if image.shape != expected or state.shape != (n, task.STATE_SIZE):
            raise ValueError(f"{path}: images {image.shape}, states {state.shape}: not the policy's observation")
        self.images.append(image)
        grasp_pose, grasp_label = hindsight_grasps(state, verb, done, success)
        return Transitions(
            state=state,
            motion=column("motion", np.float32)[:n].clip(-1, 1),
            verb=verb,
            done=done,
            success=success,
            greedy=column("greedy", bool)[:n],
            episode=column("episode", np.int64)[:n],
            kind=kinds(state, verb, done),
            monte_carlo=monte_carlo_returns(done, success),
            grasp_pose=grasp_pose,
            grasp_label=grasp_label,
            on_policy=np.full(n, "on_policy" in path.parts),
            shard=np.full(n, shard, np.int32),
            row=np.arange(n, dtype=np.int32),
        )

    def image_batch(self, index: NDArray[np.int64]) -> torch.Tensor:
        """(B, size, size, 3) uint8."""
        t = self.transitions
        out = np.empty((len(index), task.IMAGE_SIZE, task.IMAGE_SIZE, 3), np.uint8)
        for j, (shard, row) in enumerate(zip(t.shard[index], t.row[index], strict=True)):
            out[j] = self.images[shard][row]
        return torch.from_numpy(out)

    def held_out(self) -> NDArray[np.bool_]:
        """(n,) rows of the episodes that are only validated on."""
        return self.transitions.episode % HELD_OUT_ONE_IN == 0

    def lineage(self) -> dict:
        """What a model trained on this should say about its data."""
        t = self.transitions
        return {
            "episodes": int(t.done.sum()),
            "episodes_on_policy": int((t.done & t.on_policy).sum()),
            "transitions": len(t),
            "success_rate": float(t.success[t.done].mean()),
            "shards": [p.name for p in self.shards],
        }

