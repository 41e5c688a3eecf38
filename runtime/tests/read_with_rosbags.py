#!/usr/bin/env python3
"""Opens a recorded episode with readers that share no code with ours, and checks what they see.

Not part of the continuous tests, because it needs packages from PyPI:

    python3 -m venv target/readers
    target/readers/bin/pip install rosbags==0.11.* mcap==1.* mcap-ros2-support==0.6.* pillow rerun-sdk
    target/readers/bin/python runtime/tests/read_with_rosbags.py EPISODE.mcap

`rosbags` parses every schema from the file and is strict about every byte of CDR; `mcap-ros2-support` is what Foxglove's
Python tools use. Both must give the same values. Rerun's own importer must take the file as it is. Prints one line a topic;
any mismatch is an exception.
"""

import collections
import io
import pathlib
import subprocess
import sys
import tempfile

import PIL.Image
import rerun
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from rosbags.highlevel import AnyReader

TYPES = {
    "/joint_states": "sensor_msgs/msg/JointState",
    "/joint_commands": "sensor_msgs/msg/JointState",
    "/step": "visuomotor_msgs/msg/Step",
    "/health": "visuomotor_msgs/msg/Health",
    "/camera/image/compressed": "sensor_msgs/msg/CompressedImage",
    "/camera/camera_info": "sensor_msgs/msg/CameraInfo",
    "/observation": "visuomotor_msgs/msg/Observation",
    "/observation/image/compressed": "sensor_msgs/msg/CompressedImage",
    "/operator/twist": "geometry_msgs/msg/TwistStamped",
    "/annotation": "visuomotor_msgs/msg/Annotation",
    "/rosout": "rcl_interfaces/msg/Log",
    "/tcp": "geometry_msgs/msg/PoseStamped",
    "/action": "visuomotor_msgs/msg/Action",
    "/outcome": "visuomotor_msgs/msg/Outcome",
}


def plain(value):
    """The message as nested lists of its fields' values, the same for every reader's classes."""
    if hasattr(value, "__msgtype__"):
        fields = [name for name in value.__dataclass_fields__ if name != "__msgtype__"]
        return [(name, plain(getattr(value, name))) for name in fields]
    if hasattr(value, "__slots__") and not isinstance(value, (str, bytes)):
        return [(name, plain(getattr(value, name))) for name in value.__slots__]
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (list, tuple, bytes, memoryview)):
        return [plain(item) for item in value]
    return value


def with_rosbags(path):
    messages = collections.defaultdict(list)
    with AnyReader([path]) as reader:
        types = {connection.topic: connection.msgtype for connection in reader.connections}
        assert types == TYPES, types
        for connection, log_time, data in reader.messages():
            message = reader.deserialize(data, connection.msgtype)
            messages[connection.topic].append((log_time, message))
    return messages


def with_mcap(path):
    messages = collections.defaultdict(list)
    with path.open("rb") as stream:
        reader = make_reader(stream, validate_crcs=True, decoder_factories=[DecoderFactory()])
        assert reader.get_header().profile == "ros2"
        for _, channel, message, decoded in reader.iter_decoded_messages():
            messages[channel.topic].append((message.log_time, decoded))
        records = {record.name: record.metadata for record in reader.iter_metadata()}
        attachments = [attachment.name for attachment in reader.iter_attachments()]
    return messages, records, attachments


def with_rerun(path):
    """Rerun logs the whole file; what it cannot read it warns about, which counts as a failure here."""
    with tempfile.TemporaryDirectory() as directory:
        target = pathlib.Path(directory) / "episode.rrd"
        script = (
            "import sys, rerun as rr\n"
            "rr.init('episode'); rr.save(sys.argv[2]); rr.log_file_from_path(sys.argv[1])\n"
        )
        command = [sys.executable, "-c", script, str(path), str(target)]
        done = subprocess.run(command, capture_output=True, text=True)
        complaints = [line for line in done.stderr.splitlines() if "WARN" in line or "ERROR" in line]
        assert done.returncode == 0 and not complaints, done.stderr
        return target.stat().st_size


def main():
    path = pathlib.Path(sys.argv[1])
    ours, (theirs, records, attachments) = with_rosbags(path), with_mcap(path)
    assert ours.keys() == theirs.keys()
    for topic, messages in ours.items():
        assert len(messages) == len(theirs[topic]), topic
        for (time, message), (other_time, other) in zip(messages, theirs[topic]):
            assert time == other_time, topic
            # By text, in which NaN equals NaN.
            assert repr(plain(message)) == repr(plain(other)), (topic, plain(message), plain(other))
        print(f"{topic:26} {len(messages):7}  {TYPES[topic]}")
    for topic in ("/camera/image/compressed", "/observation/image/compressed"):
        for _, message in ours[topic]:
            PIL.Image.open(io.BytesIO(message.data.tobytes())).load()
    print(f"rerun {rerun.__version__}: {with_rerun(path)} bytes")
    for name, record in sorted(records.items()):
        print(name, record)
    print("attachments:", ", ".join(attachments) or "none")


if __name__ == "__main__":
    main()
