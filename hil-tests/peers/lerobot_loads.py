#!/usr/bin/env python3
"""Does LeRobot itself load what `visuomotor export lerobot` wrote, and do the files have the types that it writes?

Installs LeRobot from PyPI into a virtual environment (8 GB, once), writes a small data set with LeRobot's own recorder for
comparison, loads the exported one, iterates its DataLoader over every frame, asks for windows of actions by time, and lets
ACT, one of LeRobot's policies, compute a loss on one batch. Prints JSON; exit code 1 when something is not as it should be.

Not responsible for the export's content: the tests of `launch/data` compare that with the recordings.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

PIN = "lerobot==0.4.4"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path, help="directory that was exported")
    parser.add_argument("--venv", type=Path, default=Path("target/peers/lerobot"))
    parser.add_argument("--json", default="-")
    args = parser.parse_args()
    python = args.venv / "bin/python"
    if os.environ.get("VISUOMOTOR_LEROBOT") != "1":
        if not python.exists():
            venv.create(args.venv, with_pip=True)
        have = subprocess.run([python, "-c", "import lerobot"], capture_output=True)
        if have.returncode != 0:
            subprocess.run([python, "-m", "pip", "install", "--quiet", PIN], check=True)
        environment = dict(os.environ, VISUOMOTOR_LEROBOT="1", HF_HUB_OFFLINE="1")
        sys.exit(subprocess.run([python, *sys.argv], env=environment).returncode)

    with tempfile.TemporaryDirectory() as cache:
        os.environ["HF_HOME"] = cache
        findings = load(args.dataset)
    text = json.dumps(findings, indent=1)
    if args.json == "-":
        print(text)
    else:
        Path(args.json).write_text(text + "\n")
    sys.exit(1 if findings["wrong"] else 0)


def load(root):
    import datasets
    import lerobot
    import pandas
    import pyarrow
    import pyarrow.parquet as parquet
    import torch
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    wrong = []

    def demand(what, is_so):
        if not is_so:
            wrong.append(what)

    info = json.loads((root / "meta/info.json").read_text())
    dataset = LeRobotDataset("local/exported", root=root)
    demand("as many frames as info.json says", len(dataset) == info["total_frames"])
    keys = {}
    first = dataset[0]
    for key, value in first.items():
        if isinstance(value, torch.Tensor):
            keys[key] = [str(value.dtype).removeprefix("torch."), list(value.shape)]
        else:
            keys[key] = ["str", value]

    lengths, stamps, expected = {}, [], 0
    loader = torch.utils.data.DataLoader(dataset, batch_size=16)
    for batch in loader:
        for episode, index, frame, at in zip(
            batch["episode_index"], batch["index"], batch["frame_index"], batch["timestamp"]
        ):
            demand(f"index {expected}", int(index) == expected)
            demand(f"timestamp of {expected}", abs(float(at) - int(frame) / dataset.fps) < 1e-4)
            expected += 1
            lengths[int(episode)] = lengths.get(int(episode), 0) + 1
            if len(stamps) < 5:
                stamps.append(float(at))
    demand("every frame once", expected == len(dataset))
    demand("every episode is one", len(lengths) == info["total_episodes"])

    # LeRobot compares timestamps with the rate when somebody asks for windows by time.
    window = {"action": [k / dataset.fps for k in range(4)]}
    windows = LeRobotDataset("local/exported", root=root, delta_timestamps=window)
    demand("windows of four actions", list(windows[0]["action"].shape) == [4, *first["action"].shape])

    plain = datasets.load_dataset("parquet", data_files=str(root / "data/*/*.parquet"), split="train")
    pictures = [key for key, feature in info["features"].items() if feature["dtype"] == "image"]
    for key in pictures:
        demand(f"{key} is a picture without info.json too", isinstance(plain.features[key], datasets.Image))

    statistics = check_statistics(root, info, dataset, demand)
    types = compare_types(root, parquet, pandas, demand)
    return {
        "versions": {
            "python": sys.version.split()[0],
            "lerobot": lerobot.__version__,
            "torch": torch.__version__,
            "datasets": datasets.__version__,
            "pyarrow": pyarrow.__version__,
            "pandas": pandas.__version__,
        },
        "robot_type": info["robot_type"],
        "fps": dataset.fps,
        "episodes": dataset.num_episodes,
        "frames": len(dataset),
        "frames_by_episode": list(lengths.values())[:8],
        "first_timestamps": stamps,
        "first_task": first["task"],
        "keys": keys,
        "statistics_off_by_at_most": statistics,
        "types": types,
        "act_loss": act_loss(windows, pictures),
        "wrong": wrong,
    }


def check_statistics(root, info, dataset, demand):
    """The largest difference from numpy's own figures, over all vectors and the pictures."""
    import numpy

    stats = json.loads((root / "meta/stats.json").read_text())
    most = 0.0
    rows = dataset.hf_dataset.with_format(None)
    for key, feature in info["features"].items():
        if feature["dtype"] == "image":
            pixels = numpy.stack([numpy.asarray(picture) for picture in rows[key]]) / 255.0
            values, axes = pixels, (0, 1, 2)
        else:
            values, axes = numpy.asarray(rows[key], dtype=numpy.float64).reshape(len(rows), -1), 0
        for name, of in [("min", numpy.min), ("max", numpy.max), ("mean", numpy.mean), ("std", numpy.std)]:
            ours = numpy.asarray(stats[key][name], dtype=numpy.float64).reshape(-1)
            theirs = of(values, axis=axes)
            scale = 1.0 + numpy.abs(theirs)
            off = float(numpy.max(numpy.abs(ours - theirs) / scale))
            # JPEG decoders may differ by a step of 1/255 in a pixel.
            demand(f"{name} of {key}", off < (0.02 if feature["dtype"] == "image" else 1e-6))
            most = max(most, off)
        demand(f"count of {key}", stats[key]["count"] == [len(rows)])
    return most


def compare_types(root, parquet, pandas, demand):
    """Columns that LeRobot writes as well must have its types."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset
    import numpy

    info = json.loads((root / "meta/info.json").read_text())
    features = {
        key: {**feature, "shape": tuple(feature["shape"])}
        for key, feature in info["features"].items()
        if key not in ("timestamp", "frame_index", "episode_index", "index", "task_index")
    }
    with tempfile.TemporaryDirectory() as directory:
        theirs = Path(directory) / "theirs"
        recorder = LeRobotDataset.create(
            "local/theirs", fps=info["fps"], features=features, root=theirs, use_videos=False
        )
        kinds = {"image": "uint8"}
        for _ in range(3):
            frame = {
                key: numpy.zeros(feature["shape"], dtype=kinds.get(feature["dtype"], feature["dtype"]))
                for key, feature in features.items()
            }
            recorder.add_frame({**frame, "task": "none"})
        recorder.save_episode()
        recorder.finalize()
        compared = {}
        for part in ["data/chunk-000/file-000.parquet", "meta/episodes/chunk-000/file-000.parquet"]:
            ours, other = (parquet.read_schema(place / part) for place in (root, theirs))
            demand(f"columns of {part}: {sorted(set(ours.names) ^ set(other.names))}", set(ours.names) == set(other.names))
            for name in set(ours.names) & set(other.names):
                same = ours.field(name).type == other.field(name).type
                demand(f"type of {name} in {part}: {ours.field(name).type}, {other.field(name).type}", same)
            compared[part] = len(ours.names)
        ours, other = (pandas.read_parquet(place / "meta/tasks.parquet") for place in (root, theirs))
        demand("tasks.parquet as pandas reads it", list(ours.columns) == list(other.columns))
        demand("tasks as index", all(isinstance(task, str) for task in ours.index))
        compared["meta/tasks.parquet"] = list(ours.index)
    return compared


def act_loss(windows, pictures):
    import torch
    from lerobot.configs.types import FeatureType
    from lerobot.datasets.utils import dataset_to_policy_features
    from lerobot.policies.act.configuration_act import ACTConfig
    from lerobot.policies.act.modeling_act import ACTPolicy
    from lerobot.policies.act.processor_act import make_act_pre_post_processors

    features = dataset_to_policy_features(windows.meta.features)
    wanted = ["observation.state", *pictures]
    config = ACTConfig(
        input_features={key: features[key] for key in wanted},
        output_features={"action": features["action"]},
        chunk_size=4,
        n_action_steps=4,
        pretrained_backbone_weights=None,
        device="cpu",
    )
    assert features["action"].type is FeatureType.ACTION
    torch.manual_seed(1)
    policy = ACTPolicy(config)
    before, _ = make_act_pre_post_processors(config, dataset_stats=windows.meta.stats)
    batch = next(iter(torch.utils.data.DataLoader(windows, batch_size=8)))
    loss, _ = policy.forward(before(batch))
    loss.backward()
    return float(loss.detach())


if __name__ == "__main__":
    main()
