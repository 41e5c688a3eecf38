"""Write the tiny ONNX policies that the tests of the Rust crate load: `python fixtures.py ../tests/fixtures`.

Responsible for two policies with the real signature and nothing learned: `q.toml` (kind critic-q) and `grasp.toml`
(kind critic-grasp), which share a trunk. The grasp critic has one peak, at GRASP_PEAK_M.
"""

import hashlib
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
SIZE = 80
CELLS = 4
GRASP_PEAK_M = (0.05, -0.03, 0.02)
STATE = [
    "closed: 0 or 1",
    "aperture: 0.084 m",
    "goal x: 0.1 m",
    "goal y: 0.1 m",
    "goal z: 0.2 m",
    "goal yaw: rad in (-pi/2, pi/2]",
    "measured z: 0.2 m",
]
TYPES = {TensorProto.UINT8: "uint8", TensorProto.FLOAT: "float32"}
UNITS = {
    "image": ("rgb8, top row first", ""),
    "state": ("see state", "task"),
    "motion": ("shares of the action scale, [-1, 1]", "task"),
    "pose": ("m, m, m, rad", "task"),
    "q": ("probability of success for each verb, [0, 1]", ""),
    "p": ("probability of a grasp, [0, 1]", ""),
}


def constant(name: str, value: object, dtype: type = np.float32) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(value, dtype), name)


def tensor(name: str, element: int, shape: list[object]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, element, shape)


def save(path: Path, nodes: list, inputs: list, outputs: list, constants: list) -> None:
    graph = helper.make_graph(nodes, path.stem, inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = 8
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def write_trunk(path: Path, rng: np.random.Generator) -> None:
    pool = SIZE // CELLS
    flat = 3 * CELLS * CELLS
    nodes = [
        helper.make_node("Cast", ["image"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["f", "scale"], ["unit"]),
        helper.make_node("Transpose", ["unit"], ["chw"], perm=[0, 3, 1, 2]),
        helper.make_node("AveragePool", ["chw"], ["map"], kernel_shape=[pool, pool], strides=[pool, pool]),
        helper.make_node("Flatten", ["map"], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "w_map"], ["seen"]),
        helper.make_node("Gemm", ["state", "w_state", "seen"], ["context"]),
    ]
    save(
        path,
        nodes,
        [tensor("image", TensorProto.UINT8, [1, SIZE, SIZE, 3]), tensor("state", TensorProto.FLOAT, [1, len(STATE)])],
        [tensor("map", TensorProto.FLOAT, [1, 3, CELLS, CELLS]), tensor("context", TensorProto.FLOAT, [1, 8])],
        [
            constant("scale", 255),
            constant("w_map", rng.normal(size=(flat, 8)) * 0.3),
            constant("w_state", rng.normal(size=(len(STATE), 8)) * 0.5),
        ],
    )


def write_q_head(path: Path, rng: np.random.Generator) -> None:
    """Each verb's logit is the context's, minus the squared distance of the motion from that verb's best one.

    High up, ending the episode is best.
    """
    w_state = rng.normal(size=(len(STATE), 4)) * 0.2
    w_state[STATE.index("goal z: 0.2 m")] = [0, 0, 0, 5]
    nodes = [
        helper.make_node("Unsqueeze", ["motion", "axis"], ["m"]),
        helper.make_node("Sub", ["m", "best"], ["d"]),
        helper.make_node("Mul", ["d", "d"], ["dd"]),
        helper.make_node("ReduceSum", ["dd", "last"], ["far"], keepdims=0),
        helper.make_node("Gemm", ["context", "w_context"], ["c"]),
        helper.make_node("Gemm", ["state", "w_state", "c"], ["v"]),
        helper.make_node("Sub", ["v", "far"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["q"]),
    ]
    save(
        path,
        nodes,
        [
            tensor("context", TensorProto.FLOAT, [1, 8]),
            tensor("state", TensorProto.FLOAT, [1, len(STATE)]),
            tensor("motion", TensorProto.FLOAT, [1, "K", 4]),
        ],
        [tensor("q", TensorProto.FLOAT, [1, "K", 4])],
        [
            constant("axis", [2], np.int64),
            constant("last", [3], np.int64),
            constant("best", rng.uniform(-0.8, 0.8, size=(1, 1, 4, 4))),
            constant("w_context", rng.normal(size=(8, 4)) * 0.5),
            constant("w_state", w_state),
        ],
    )


def write_grasp_head(path: Path, rng: np.random.Generator) -> None:
    nodes = [
        helper.make_node("Sub", ["pose", "peak"], ["d"]),
        helper.make_node("Mul", ["d", "d"], ["dd"]),
        helper.make_node("Mul", ["dd", "sharpness"], ["s"]),
        helper.make_node("ReduceSum", ["s", "last"], ["far"], keepdims=0),
        helper.make_node("Gemm", ["context", "w_context"], ["c"]),
        helper.make_node("Sub", ["c", "far"], ["low"]),
        helper.make_node("Add", ["low", "height"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["p"]),
    ]
    save(
        path,
        nodes,
        [tensor("context", TensorProto.FLOAT, [1, 8]), tensor("pose", TensorProto.FLOAT, [1, "K", 4])],
        [tensor("p", TensorProto.FLOAT, [1, "K"])],
        [
            constant("last", [2], np.int64),
            constant("peak", [[[*GRASP_PEAK_M, 0.0]]]),
            constant("sharpness", [[[1500, 1500, 2000, 1]]]),
            constant("w_context", rng.normal(size=(8, 1)) * 0.1),
            constant("height", 3),
        ],
    )


def test_image() -> np.ndarray:
    """Byte (x, y, channel) = (7 x + 13 y + 85 channel + x y) mod 256."""
    y, x, channel = np.meshgrid(np.arange(SIZE), np.arange(SIZE), np.arange(3), indexing="ij")
    return ((7 * x + 13 * y + 85 * channel + x * y) % 256).astype(np.uint8)[None]


def declaration(graph: Path) -> str:
    model = onnx.load(graph)
    lines = [f'file = "{graph.name}"', f'sha256 = "{hashlib.sha256(graph.read_bytes()).hexdigest()}"']
    for side, tensors in (("inputs", model.graph.input), ("outputs", model.graph.output)):
        lines.append(f"{side} = [")
        for t in tensors:
            kind = t.type.tensor_type
            shape = [d.dim_value if d.HasField("dim_value") else -1 for d in kind.shape.dim]
            unit, frame = UNITS.get(t.name, ("feature", ""))
            lines.append(
                f'    {{ name = "{t.name}", type = "{TYPES[kind.elem_type]}", shape = {shape}, '
                f'unit = "{unit}", frame = "{frame}" }},'
            )
        lines.append("]")
    return "\n".join(lines)


def write_manifest(path: Path, kind: str, trunk: Path, head: Path, rng: np.random.Generator) -> None:
    state = np.array([[1.0, 0.5, 0.3, -0.4, 0.6, 0.7, 0.5]], np.float32)
    name, output = {"critic-q": ("motion", "q"), "critic-grasp": ("pose", "p")}[kind]
    reach = [1, 1, 1, 1] if kind == "critic-q" else [0.1, 0.1, 0.03, 1.5]
    candidates = (rng.uniform(-1, 1, size=(1, 4, 4)) * reach).round(3).astype(np.float32)
    trunk_session, head_session = (onnxruntime.InferenceSession(str(p)) for p in (trunk, head))
    features = trunk_session.run(None, {"image": test_image(), "state": state})
    known = dict(zip((o.name for o in trunk_session.get_outputs()), features, strict=True))
    known |= {"state": state, name: candidates}
    wanted = {i.name: known[i.name] for i in head_session.get_inputs()}
    expected = head_session.run([output], wanted)[0].reshape(candidates.shape[1], -1)
    rows = lambda a: "[" + ", ".join(str([round(float(v), 6) for v in row]) for row in a) + "]"
    path.write_text(f"""format = 1
kind = "{kind}"
name = "fixture-{kind}"
rate_hz = 4.0
max_steps = 25
opset = {OPSET}
state = {str(STATE).replace("'", '"')}

[image]
width = {SIZE}
height = {SIZE}
encoding = "rgb8"
normalisation = "in-graph"

[camera]
position_m = [-0.42, -0.16, 0.52]
target_m = [-0.01, 0.0, 0.0]
fovy_deg = 34.0

[action_scale]
xy_m = 0.05
z_m = 0.06
yaw_rad = 0.5

[workspace]
xy_max_m = 0.115
z_min_m = 0.004
z_max_m = 0.26
yaw_max_rad = 2.6

[cem]
samples = 64
iterations = 4
elites = 6
initial_spread = 1.0
min_spread = 0.05

[trunk]
{declaration(trunk)}

[head]
{declaration(head)}

[self_test]
state = {[round(float(v), 6) for v in state[0]]}
candidates = {rows(candidates[0])}
expected = {rows(expected)}
tolerance = 1e-4

[lineage]
note = "random weights: for tests only"
seed = 0
""")


def main() -> None:
    folder = Path(sys.argv[1])
    rng = np.random.default_rng(0)
    trunk, q_head, grasp_head = (folder / f"{name}.onnx" for name in ("trunk", "q_head", "grasp_head"))
    write_trunk(trunk, rng)
    write_q_head(q_head, rng)
    write_grasp_head(grasp_head, rng)
    write_manifest(folder / "q.toml", "critic-q", trunk, q_head, rng)
    write_manifest(folder / "grasp.toml", "critic-grasp", trunk, grasp_head, rng)


if __name__ == "__main__":
    main()
