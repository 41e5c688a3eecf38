"""Tests of the training code on made-up shards: `python -m unittest` in this directory. They need no simulator."""

import json
import math
import stat
import subprocess
import sys
import tempfile
import tomllib
import unittest
from pathlib import Path

import numpy as np
import torch

import task
from cem import best_action
from data import CLOSED, CLOSING, FINAL, OPEN_MOVE, UNKNOWN, Experience, hindsight_grasps, kinds, monte_carlo_returns
from export import export, test_image
from net import Critic, goal_pose, normalise

HERE = Path(__file__).resolve().parent
VERBS = (task.MOVE, task.MOVE, task.CLOSE, task.MOVE, task.MOVE, task.TERMINATE)


def state(closed: int, aperture_m: float, x_m: float = 0.0, z_m: float = 0.1) -> list[float]:
    return [closed, aperture_m / task.APERTURE_M, x_m / 0.1, 0.0, z_m / 0.2, 0.0, z_m / 0.2]


def write_shard(directory: Path, episodes: int, seed: int) -> None:
    """Episodes of six steps: approach, close, lift, terminate; every other one succeeds."""
    rng = np.random.default_rng(seed)
    path = directory / f"shard-{seed}-0"
    path.mkdir(parents=True)
    steps = [state(0, 0.084), state(0, 0.084, z_m=0.05), state(0, 0.084, z_m=0.01)]
    success = np.arange(episodes) % 2 == 1
    states = []
    for i in range(episodes):
        aperture_m = 0.03 if success[i] else 0.0
        states += steps + [state(1, aperture_m, z_m=z) for z in (0.01, 0.06, 0.12)]
    n = 6 * episodes
    done = np.arange(n) % 6 == 5
    columns = {
        "image": rng.integers(0, 256, (n, task.IMAGE_SIZE, task.IMAGE_SIZE, 3), dtype=np.uint8),
        "state": np.array(states, np.float32),
        "motion": rng.uniform(-1, 1, (n, 4)).astype(np.float32),
        "verb": np.tile(VERBS, episodes).astype(np.uint8),
        "episode": np.repeat(seed * 1000 + np.arange(episodes), 6),
        "done": done.astype(np.uint8),
        "success": (done & np.repeat(success, 6)).astype(np.uint8),
        "greedy": np.ones(n, np.uint8),
    }
    for name, column in columns.items():
        np.save(path / f"{name}.npy", column)
    (path / "meta.json").write_text(json.dumps({"seed": seed}))


class DataTest(unittest.TestCase):
    def test_returns_are_discounted_within_an_episode(self) -> None:
        done = np.array([0, 0, 1, 0, 1], bool)
        success = np.array([0, 0, 1, 0, 0], bool)
        np.testing.assert_allclose(monte_carlo_returns(done, success), [0.81, 0.9, 1, 0, 0], rtol=1e-6)

    def test_kinds(self) -> None:
        states = np.array([state(0, 0.08), state(0, 0.08), state(1, 0.03), state(1, 0.03)], np.float32)
        verbs = np.array([task.MOVE, task.CLOSE, task.MOVE, task.TERMINATE])
        done = np.array([0, 0, 0, 1], bool)
        self.assertEqual(kinds(states, verbs, done).tolist(), [OPEN_MOVE, CLOSING, CLOSED, FINAL])

    def test_hindsight_pairs_every_open_frame_with_the_next_attempt(self) -> None:
        open_, close, move, end = task.OPEN, task.CLOSE, task.MOVE, task.TERMINATE
        approach = [state(0, 0.084, 0.02), state(0, 0.084, 0.04)]
        cases = [
            ("held at the end", approach + [state(1, 0.03, 0.06)], [move, close, end], True, [1, 1]),
            ("empty at the end", approach + [state(1, 0.0, 0.06)], [move, close, end], False, [0, 0]),
            ("ended on the floor", approach + [state(1, 0.03, 0.06, 0.02)], [move, close, end], False, [-1, -1]),
            ("lifted and lost", approach + [state(1, 0.03, 0.06, 0.15)], [move, close, end], False, [0, 0]),
            (
                "empty, then held",
                approach + [state(1, 0.0, 0.06), state(0, 0.084, 0.07), state(1, 0.02, 0.07)],
                [move, close, open_, close, end],
                True,
                [0, 0, -1, 1],
            ),
            ("never closed", approach, [move, end], False, [-1, -1]),
        ]
        for name, states, verbs, success, labels in cases:
            with self.subTest(name):
                done = np.arange(len(states)) == len(states) - 1
                poses, got = hindsight_grasps(np.array(states, np.float32), np.array(verbs), done, done & success)
                self.assertEqual(got[: len(labels)].tolist(), labels)
                for i in np.flatnonzero(got != UNKNOWN):
                    attempt = next(j for j in range(i, len(verbs)) if verbs[j] == close)
                    self.assertAlmostEqual(poses[i, 0], states[attempt + 1][task.GOAL_X] * 0.1, places=6)

    def test_new_shards_are_picked_up_and_unfinished_ones_left_alone(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            root = Path(directory)
            experience = Experience([root])
            self.assertEqual(experience.refresh(), [])
            write_shard(root / "weak", 4, 1)
            write_shard(root / "on_policy", 2, 2)
            (root / "weak" / "shard-3-0.tmp").mkdir()
            (root / "weak" / "shard-3-0.tmp" / "meta.json").write_text("{}")
            self.assertEqual(len(experience.refresh()), 2)
            t = experience.transitions
            self.assertEqual((len(t), int(t.on_policy.sum())), (36, 12))
            stored = np.load(experience.shards[t.shard[30]] / "image.npy")[t.row[30]]
            np.testing.assert_array_equal(experience.image_batch(np.array([30]))[0].numpy(), stored)


class NetTest(unittest.TestCase):
    def setUp(self) -> None:
        torch.manual_seed(0)
        self.critic = Critic().eval()
        self.pixels = torch.rand(3, 3, task.IMAGE_SIZE, task.IMAGE_SIZE) * 2 - 1
        self.state = torch.rand(3, task.STATE_SIZE)
        self.motion = torch.rand(3, 4) * 2 - 1
        self.pose = torch.rand(3, 4) * 0.1

    def test_the_camera_looks_at_its_target_and_left_is_left(self) -> None:
        target = torch.tensor(task.CAMERA_TARGET_M)
        torch.testing.assert_close(self.critic.project(target), torch.zeros(2), atol=1e-6, rtol=0)
        points = torch.tensor([[0.05, -0.1, 0.0], [-0.1, 0.0, 0.0], [0.0, 0.0, 0.1]])
        right, near, high = self.critic.project(points)
        self.assertGreater(right[0], 0.2)
        self.assertGreater(near[1], 0.2)
        self.assertLess(high[1], -0.2)

    def test_training_and_search_see_the_same_values(self) -> None:
        q, grasp, _ = self.critic(self.pixels, self.state, self.motion, self.pose)
        features = self.critic.encode(self.pixels, self.state)
        torch.testing.assert_close(q, self.critic.q(features, self.state, self.motion[:, None])[:, 0])
        torch.testing.assert_close(grasp, self.critic.grasp(features, self.pose[:, None])[:, 0])

    def test_half_a_turn_is_the_same_grasp(self) -> None:
        features = self.critic.encode(self.pixels, self.state)
        turned = self.pose + torch.tensor([0, 0, 0, math.pi])
        torch.testing.assert_close(
            self.critic.grasp(features, self.pose[:, None]), self.critic.grasp(features, turned[:, None])
        )

    def test_motions_are_clamped_to_the_workspace(self) -> None:
        edge = torch.tensor([[0.0, 1.0, 1.1, -1.1, 0.05, 0.0, 0.05]])
        pose = self.critic.pose_after(edge, torch.tensor([[[1.0, -1.0, -1.0, 0.5]]]))[0, 0]
        torch.testing.assert_close(pose, torch.tensor([0.115, -0.115, task.Z_MIN_M, 0.25]))
        torch.testing.assert_close(goal_pose(edge)[0], torch.tensor([0.11, -0.11, 0.01, 0.0]))

    def test_search_beats_the_first_draw(self) -> None:
        with torch.no_grad():
            features = self.critic.encode(self.pixels, self.state)
            _, _, found = best_action(self.critic, features, self.state, samples=64, iterations=4, elites=6)
            zero = self.critic.q(features, self.state, torch.zeros(3, 1, 4)).amax((1, 2))
        self.assertTrue(bool((found >= zero).all()))


class ExportTest(unittest.TestCase):
    def test_manifests_describe_the_graphs(self) -> None:
        torch.manual_seed(1)
        with tempfile.TemporaryDirectory() as directory:
            critic = Critic().eval()
            difference = export(critic, Path(directory), {"seed": 1})
            self.assertLess(difference, 1e-5)
            for name, values in (("qtopt", 4), ("hand_eye", 1)):
                manifest = tomllib.loads((Path(directory) / f"{name}.toml").read_text())
                shape = manifest["head"]["outputs"][0]["shape"]
                self.assertEqual(shape, [1, -1, 4] if values == 4 else [1, -1])
                self.assertEqual(len(manifest["self_test"]["expected"][0]), values)
                test = manifest["self_test"]
                with torch.no_grad():
                    given = torch.tensor([test["state"]])
                    features = critic.encode(normalise(torch.from_numpy(test_image())), given)
                    candidates = torch.tensor([test["candidates"]])
                    q, p = critic.q(features, given, candidates)[0], critic.grasp(features, candidates).T
                got = q if values == 4 else p
                np.testing.assert_allclose(torch.sigmoid(got), test["expected"], atol=1e-4)


FAKE_SIMULATOR = """#!{python}
import sys
sys.path.insert(0, {here!r})
from pathlib import Path
from test_train import write_shard
option = lambda name: sys.argv[sys.argv.index(name) + 1]
write_shard(Path(option("--out")), int(option("--episodes")), int(option("--seed")))
"""


class RunTest(unittest.TestCase):
    def test_a_run_trains_collects_on_policy_and_resumes(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            root = Path(directory)
            binary = root / "visuomotor"
            binary.write_text(FAKE_SIMULATOR.format(python=sys.executable, here=str(HERE)))
            binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
            command = [sys.executable, HERE / "run.py", "--binary", binary, "--out", root / "out", "--chunk", "60"]
            command += ["--weak-episodes", "120", "--start-episodes", "60", "--round", "40", "--pool", "256"]
            command += ["--warm-minutes", "0.05", "--export-minutes", "0.05", "--minutes"]
            for minutes in ("0.15", "0.3"):
                subprocess.run([str(c) for c in [*command, minutes]], check=True, stdout=subprocess.DEVNULL)
            log = [json.loads(line) for line in (root / "out" / "log.jsonl").read_text().splitlines()]
            self.assertEqual([r["event"] for r in log].count("resumed"), 1)
            self.assertTrue(any(r["event"] == "sweep" and r["phase"] == "bellman" for r in log))
            self.assertGreater(max(r["on_policy"] for r in log if r["event"] == "data"), 0)
            self.assertTrue(sorted((root / "out" / "models").glob("step-*/qtopt.toml")))
            seeds = [p.parent.name for p in (root / "out").glob("*/shard-*/meta.json")]
            self.assertEqual(len(seeds), len(set(seeds)))


if __name__ == "__main__":
    unittest.main()
