"""Writes a critic as the files that the runtime loads: three ONNX graphs and two manifests.

`trunk.onnx` looks at the image once a step; `q_head.onnx` and `grasp_head.onnx` judge any number of candidates on what
it found. `qtopt.toml` names the Q critic, `hand_eye.toml` the grasp critic; both use the one trunk. Normalisation and
sigmoids are in the graphs. Every graph is run in ONNX Runtime and compared with PyTorch before anybody may use it.
"""

import argparse
import hashlib
import json
import math
import subprocess
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

import task
from net import Critic, Features, normalise

OPSET = 17
MANIFEST_FORMAT = 1
DIFFERENCE_MAX = 1e-4
"""Largest difference of a probability between PyTorch and ONNX Runtime."""
SELF_TEST_TOLERANCE = 1e-3
"""Wide enough for another processor's order of summation, narrow enough to tell another network."""

STATE_LAYOUT = (
    "closed: 0 or 1",
    "aperture: 0.084 m",
    "goal x: 0.1 m",
    "goal y: 0.1 m",
    "goal z: 0.2 m",
    "goal yaw: rad in (-pi/2, pi/2]",
    "measured z: 0.2 m",
)
CEM = {
    "critic-q": {"samples": 64, "iterations": 6, "elites": 6, "initial_spread": 1.0, "min_spread": 0.03},
    "critic-grasp": {"samples": 128, "iterations": 4, "elites": 10, "initial_spread": 1.0, "min_spread": 0.03},
}
"""Settings of the runtime's search; fewer than 64 x 6 candidates cost the Q critic success."""

COLLECT_ITERATIONS = 2
"""Of the search while collecting: twice the episodes a minute, and noise is added to its result anyway."""

FEATURE_UNIT = "feature"


class TrunkGraph(nn.Module):
    def __init__(self, critic: Critic) -> None:
        super().__init__()
        self.critic = critic

    def forward(self, image: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return tuple(self.critic.encode(normalise(image), state))


class QHeadGraph(nn.Module):
    def __init__(self, critic: Critic) -> None:
        super().__init__()
        self.critic = critic

    def forward(
        self, map: Tensor, fine_map: Tensor, q_context: Tensor, terminate: Tensor, state: Tensor, motion: Tensor
    ) -> Tensor:
        logits = self.critic.q(Features(map, fine_map, q_context, terminate), state, motion)
        return torch.sigmoid(logits).reshape(1, -1, task.VERBS)


class GraspHeadGraph(nn.Module):
    def __init__(self, critic: Critic) -> None:
        super().__init__()
        self.critic = critic

    def forward(self, map: Tensor, fine_map: Tensor, pose: Tensor) -> Tensor:
        return torch.sigmoid(self.critic.grasp(Features(map, fine_map, None, None), pose))


def test_image() -> np.ndarray:
    """(1, size, size, 3) uint8: the image that every self-test looks at."""
    y, x, c = np.meshgrid(*(np.arange(n) for n in (task.IMAGE_SIZE, task.IMAGE_SIZE, 3)), indexing="ij")
    return ((7 * x + 13 * y + 85 * c + x * y) % 256).astype(np.uint8)[None]


TEST_STATE = np.array([[0.0, 1.0, 0.3, -0.4, 0.5, 0.7, 0.5]], np.float32)
TEST_MOTIONS = np.array(
    [[[0.0, 0.0, 0.0, 0.0], [1.0, -1.0, -0.5, 0.25], [-0.3, 0.8, 1.0, -1.0], [0.1, 0.1, -1.0, 0.9]]], np.float32
)
TEST_POSES = np.array(
    [[[0.0, 0.0, 0.01, 0.0], [0.05, -0.08, 0.02, 1.2], [-0.1, 0.03, 0.03, -0.7], [0.115, 0.115, 0.004, 2.0]]],
    np.float32,
)


def export(critic: Critic, directory: Path, lineage: dict) -> float:
    """Writes the graphs and manifests and returns the largest difference seen between PyTorch and ONNX Runtime."""
    critic = contiguous_copy(critic)
    image, state = torch.from_numpy(test_image()), torch.from_numpy(TEST_STATE)
    motion, pose = torch.from_numpy(TEST_MOTIONS), torch.from_numpy(TEST_POSES)
    with torch.no_grad():
        features = critic.encode(normalise(image), state)
    shared = list(Features._fields)
    trunk = graph(TrunkGraph(critic), directory / "trunk.onnx", {"image": image, "state": state}, shared)
    q_inputs = {**features._asdict(), "state": state, "motion": motion}
    q_head = graph(QHeadGraph(critic), directory / "q_head.onnx", q_inputs, ["q"], dynamic="motion")
    grasp_inputs = {"map": features.map, "fine_map": features.fine_map, "pose": pose}
    grasp_head = graph(GraspHeadGraph(critic), directory / "grasp_head.onnx", grasp_inputs, ["p"], dynamic="pose")
    difference = check(critic, directory)

    found = dict(zip(shared, run(directory / "trunk.onnx", image=image, state=state), strict=True))
    q = run(directory / "q_head.onnx", **found, state=state, motion=motion)[0]
    p = run(directory / "grasp_head.onnx", **{k: found[k] for k in ("map", "fine_map")}, pose=pose)[0]
    lineage = {"code": code_version(), **lineage, "onnx_difference_max": difference}
    for name, kind, head, candidates, expected in (
        ("qtopt", "critic-q", q_head, TEST_MOTIONS[0], q[0]),
        ("hand_eye", "critic-grasp", grasp_head, TEST_POSES[0], p[0][:, None]),
    ):
        text = manifest(name, kind, trunk, head, candidates, expected, lineage)
        (directory / f"{name}.toml").write_text(text)
        if kind == "critic-q":
            lighter = text.replace(f"iterations = {CEM[kind]['iterations']}", f"iterations = {COLLECT_ITERATIONS}")
            (directory / "collect.toml").write_text(lighter)
    return difference


def contiguous_copy(critic: Critic) -> Critic:
    copy = Critic()
    copy.load_state_dict(critic.state_dict())
    return copy.eval()


def graph(module: nn.Module, path: Path, inputs: dict[str, Tensor], outputs: list[str], dynamic: str = "") -> dict:
    """Exports one graph and returns its part of a manifest. The second axis of input `dynamic` counts candidates."""
    axes = {name: {1: "candidates"} for name in (dynamic, *outputs) if dynamic}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            path,
            input_names=list(inputs),
            output_names=outputs,
            dynamic_axes=axes,
            opset_version=OPSET,
            do_constant_folding=True,
            dynamo=False,
        )
    session = open_session(path)
    return {
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "inputs": [tensor(i) for i in session.get_inputs()],
        "outputs": [tensor(o) for o in session.get_outputs()],
    }


def tensor(value: onnxruntime.NodeArg) -> dict:
    elements = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}
    unit, frame = {
        "image": ("rgb8", "camera"),
        "state": ("see state", "task"),
        "motion": ("action scale, [-1, 1]", "task"),
        "pose": ("x, y, z in m, yaw in rad", "task"),
        "q": ("probability of success after each verb", ""),
        "p": ("probability of a grasp", ""),
    }.get(value.name, (FEATURE_UNIT, ""))
    return {
        "name": value.name,
        "type": elements[value.type],
        "shape": [d if isinstance(d, int) else -1 for d in value.shape],
        "unit": unit,
        "frame": frame,
    }


def open_session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run(path: Path, **inputs: Tensor | np.ndarray) -> list[np.ndarray]:
    return open_session(path).run(None, {k: np.asarray(v) for k, v in inputs.items()})


def check(critic: Critic, directory: Path, trials: int = 4, candidates: int = 64) -> float:
    """Largest difference on random inputs; raises where it is too large."""
    rng = np.random.default_rng(0)
    trunk, q_head, grasp_head = (open_session(directory / f"{n}.onnx") for n in ("trunk", "q_head", "grasp_head"))
    worst = 0.0
    for _ in range(trials):
        image = rng.integers(0, 256, (1, task.IMAGE_SIZE, task.IMAGE_SIZE, 3), dtype=np.uint8)
        state = rng.uniform(-1, 1, (1, task.STATE_SIZE)).astype(np.float32)
        motion = rng.uniform(-1, 1, (1, candidates, task.MOTION_SIZE)).astype(np.float32)
        pose = (rng.uniform(-1, 1, (1, candidates, 4)) * (0.115, 0.115, 0.2, math.pi)).astype(np.float32)
        found = dict(zip(Features._fields, trunk.run(None, {"image": image, "state": state}), strict=True))
        q = q_head.run(None, {**found, "state": state, "motion": motion})[0]
        p = grasp_head.run(None, {**{k: found[k] for k in ("map", "fine_map")}, "pose": pose})[0]
        with torch.no_grad():
            t = torch.from_numpy
            features = critic.encode(normalise(t(image)), t(state))
            q_torch = torch.sigmoid(critic.q(features, t(state), t(motion))).numpy()
            p_torch = torch.sigmoid(critic.grasp(features, t(pose))).numpy()
        worst = max(worst, float(np.abs(q - q_torch).max()), float(np.abs(p - p_torch).max()))
    if not worst <= DIFFERENCE_MAX:
        raise RuntimeError(f"ONNX Runtime differs from PyTorch by {worst}")
    return worst


def code_version() -> str:
    """Commit of the code that trained, or `unknown` outside a repository."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def manifest(
    name: str, kind: str, trunk: dict, head: dict, candidates: np.ndarray, expected: np.ndarray, lineage: dict
) -> str:
    """The manifest's text; its format is that of the runtime's `policies` crate."""
    xy, _, z, yaw = task.MOTION_SCALE
    return "\n".join([
        f"format = {MANIFEST_FORMAT}",
        *entries({
            "kind": kind,
            "name": name,
            "rate_hz": 1 / task.STEP_S,
            "max_steps": task.STEPS_MAX,
            "opset": OPSET,
            "state": list(STATE_LAYOUT),
        }),
        *table("image", {
            "width": task.IMAGE_SIZE,
            "height": task.IMAGE_SIZE,
            "encoding": "rgb8",
            "normalisation": "in-graph",
        }),
        *table("camera", {
            "position_m": list(task.CAMERA_POSITION_M),
            "target_m": list(task.CAMERA_TARGET_M),
            "fovy_deg": round(math.degrees(task.CAMERA_FOV_Y_RAD), 9),
        }),
        *table("action_scale", {"xy_m": xy, "z_m": z, "yaw_rad": yaw}),
        *table("workspace", {
            "xy_max_m": task.XY_LIMIT_M,
            "z_min_m": task.Z_MIN_M,
            "z_max_m": task.Z_MAX_M,
            "yaw_max_rad": task.YAW_LIMIT_RAD,
        }),
        *table("cem", CEM[kind]),
        *graph_table("trunk", trunk),
        *graph_table("head", head),
        *table("self_test", {
            "state": rounded(TEST_STATE[0]),
            "candidates": rounded(candidates),
            "expected": rounded(expected),
            "tolerance": SELF_TEST_TOLERANCE,
        }),
        *table("lineage", lineage),
        "",
    ])


def graph_table(name: str, graph: dict) -> list[str]:
    lines = table(name, {"file": graph["file"], "sha256": graph["sha256"]})
    for role in ("inputs", "outputs"):
        for entry in graph[role]:
            lines += [f"[[{name}.{role}]]", *entries(entry)]
    return lines


def table(name: str, values: dict) -> list[str]:
    return ["", f"[{name}]", *entries(values)]


def entries(values: dict) -> list[str]:
    """Numbers, strings and nested lists are written alike in JSON and in TOML."""
    return [f"{key} = {json.dumps(value)}" for key, value in values.items()]


def rounded(values: np.ndarray) -> list:
    return np.round(values.astype(np.float64), 6).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(description="Exports the lagged network of a checkpoint.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("directory", type=Path)
    args = parser.parse_args()
    state = torch.load(args.checkpoint, weights_only=True)
    critic = Critic()
    critic.load_state_dict(state["ema"])
    args.directory.mkdir(parents=True, exist_ok=True)
    difference = export(critic, args.directory, state["lineage"])
    print(f"{args.directory}: ONNX Runtime and PyTorch differ by at most {difference:.2g}")


if __name__ == "__main__":
    main()
