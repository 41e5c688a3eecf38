#!/usr/bin/env python3
"""`visuomotor collect --out s3://...` against a server that speaks S3, on this machine only.

Needs a visuomotor that was built with the feature `s3`, and `moto_server` (PyPI: `moto[server]`). Not part of the tests
that CI runs.

Example:
  hil-tests/fleet/s3.py target/release/visuomotor --server .venv/bin/moto_server --json -

One small episode, one of several parts, and an abandoned one arrive; then the collector's own memory is lost, and the same
episodes come again: nothing is stored twice. JSON: episodes, identical, objects, objects_after_loss, megabytes_per_s.

Exit codes: 0 all is well, 1 it is not, 2 cannot run here.
"""

import argparse
import json
import os
import pathlib
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

from partition import MAGIC, episode

BUCKET = "fleet"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=pathlib.Path, help="the visuomotor to test")
    parser.add_argument("--server", default="moto_server")
    parser.add_argument("--json", metavar="FILE", help="- is standard output")
    args = parser.parse_args()
    if shutil.which(args.server) is None:
        print(f"cannot run here: there is no {args.server}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="visuomotor-s3-") as scratch:
        report = run(args, pathlib.Path(scratch))
    text = json.dumps(report)
    print(text)
    if args.json and args.json != "-":
        pathlib.Path(args.json).write_text(text + "\n")
    good = report["identical"] == report["episodes"] == report["objects"] == report["objects_after_loss"]
    return 0 if good else 1


def run(args, scratch):
    endpoint = f"http://127.0.0.1:{free_port()}"
    host, port = endpoint.removeprefix("http://").split(":")
    server = subprocess.Popen([args.server, "-H", host, "-p", port], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            try:
                request(endpoint, f"/{BUCKET}", "PUT")
                break
            except OSError:
                time.sleep(0.1)
        seed = random.Random(1)
        content = {
            "a.mcap": episode(seed, 100_000),
            "b.mcap": episode(seed, 70 << 20),
            "c.mcap.open": MAGIC + seed.randbytes(5000),
        }
        robot = scratch / "robot"
        robot.mkdir()
        for name, data in content.items():
            (robot / name).write_bytes(data)
        seconds = collect(args, scratch, endpoint, len(content))
        objects = listed(endpoint)
        got = {name: request(endpoint, f"/{BUCKET}/one/arm-7/{name}") for name in content}
        # Everything that the two knew is lost, but the objects.
        shutil.rmtree(scratch / "staging")
        (robot / ".forwarded.jsonl").unlink()
        collect(args, scratch, endpoint, len(content))
        return {
            "episodes": len(content),
            "identical": sum(got[name] == data for name, data in content.items()),
            "objects": len(objects),
            "objects_after_loss": len(listed(endpoint)),
            "megabytes_per_s": round(sum(map(len, content.values())) / 1e6 / seconds, 1),
        }
    finally:
        server.kill()
        server.wait()


def collect(args, scratch, endpoint, episodes):
    environment = os.environ | {
        "AWS_ENDPOINT": endpoint,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    listen = f"tcp/127.0.0.1:{free_port()}"
    started = time.monotonic()
    collector = subprocess.Popen(
        [args.program, "collect", "--out", f"s3://{BUCKET}/one", "--staging", scratch / "staging", "--listen", listen]
        + ["--episodes", str(episodes), "--seconds", "120", "--json", scratch / "collector.json"],
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    subprocess.run(
        [args.program, "forward", scratch / "robot", "--robot", "arm-7", "--connect", listen]
        + ["--once", "--seconds", "120", "--json", scratch / "forwarder.json"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    collector.wait()
    return time.monotonic() - started


def listed(endpoint):
    return re.findall(r"<Key>([^<]*)</Key>", request(endpoint, f"/{BUCKET}?list-type=2").decode())


def request(endpoint, path, method="GET"):
    # The server wants to see a signature, and does not check it.
    signed = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
    asked = urllib.request.Request(endpoint + path, method=method, headers={"Authorization": signed})
    with urllib.request.urlopen(asked) as response:
        return response.read()


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


if __name__ == "__main__":
    sys.exit(main())
