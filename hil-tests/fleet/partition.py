#!/usr/bin/env python3
"""A fleet on a bad network: robots in network namespaces, packet loss, delay, a partition, a collector that is killed.

Every robot's directory gets episodes over time, real `visuomotor forward` processes send them to a real `visuomotor
collect`, and at the end every closed episode must have arrived once, byte for byte, and every abandoned one marked.

Examples:
  hil-tests/fleet/partition.py target/release/visuomotor --json -
      20 robots, 2 % of all packets lost each way, 50 ms each way, 60 s without a network, the collector killed once.
  hil-tests/fleet/partition.py target/release/visuomotor --wire none --partition-s 0 --lead-s 0 --kills 0 \\
      --abandoned 0 --episodes 6 --episode-kib 16384 --json -
      How fast one collector takes what 20 robots have ready, on the loopback interface.

The wire between the namespaces is this program: one TUN device in each, packets carried between them, held back, or
dropped by a seeded generator. So it needs no kernel module (many kernels lack sch_netem), only root and /dev/net/tun,
and no packet leaves the machine. TCP in the robots' and the collector's kernel sees a wide-area network. All names are
of this run, and gone at its end.

JSON: robots, episodes, arrived, duplicated, different, missing, abandoned, incomplete_marked, seconds,
seconds_to_catch_up (from the last disturbance or the last episode made, whichever is later), bytes, bytes_sent_factor
(bytes of blocks over bytes of episodes), megabytes_per_s and episodes_per_s (over all seconds), packets, packets_lost,
packets_partitioned, collector and forwarder {rss_mib_max, cpu_s}: of the last collector, and of all forwarders together
with the largest memory of one.

Exit codes: 0 everything arrived, 1 something did not, 2 cannot run here.
"""

import argparse
import collections
import fcntl
import hashlib
import json
import mmap
import os
import pathlib
import random
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

MAGIC = b"\x89MCAP0\r\n"
TUNSETIFF = 0x400454CA
IFF_TUN_WITHOUT_HEADER = 0x0001 | 0x1000
PORT = 7447


class CannotRun(Exception):
    pass


def main():
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="visuomotor-fleet-") as scratch:
        fleet = Fleet(args, pathlib.Path(scratch))
        try:
            report = fleet.run()
        except CannotRun as reason:
            print(f"cannot run here: {reason}", file=sys.stderr)
            return 2
        finally:
            fleet.clear_away()
    text = json.dumps(report)
    if args.json == "-":
        print(text)
    else:
        print("\n".join(f"{key}: {value}" for key, value in report.items()))
        if args.json:
            pathlib.Path(args.json).write_text(text + "\n")
    good = report["arrived"] == report["episodes"] and report["incomplete_marked"] == report["abandoned"]
    return 0 if good and not report["duplicated"] and not report["different"] else 1


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=pathlib.Path, help="the visuomotor to test")
    parser.add_argument("--robots", type=int, default=20)
    parser.add_argument("--episodes", type=int, default=8, help="closed ones of each robot")
    parser.add_argument("--abandoned", type=int, default=1, help="files of each robot whose recorder was killed")
    parser.add_argument("--episode-kib", type=int, default=512)
    parser.add_argument("--loss", type=percent, default=0.02, help="of the packets each way, such as 2%%")
    parser.add_argument("--delay", type=milliseconds, default=0.05, help="each way, such as 50ms")
    parser.add_argument("--partition-s", type=float, default=60.0)
    parser.add_argument("--lead-s", type=float, default=10.0, help="time before and after the partition in which episodes are made")
    parser.add_argument("--kills", type=int, default=1, help="how often the collector is killed, after the partition")
    parser.add_argument("--limit-s", type=float, default=600.0, help="when to give up")
    parser.add_argument("--wire", choices=["tun", "none"], default="tun", help="none: the loopback interface, undisturbed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", metavar="FILE", help="- is standard output")
    args = parser.parse_args()
    if args.wire == "none" and args.partition_s > 0:
        parser.error("without a wire there is nothing to cut: --partition-s 0")
    return args


def percent(text):
    return float(text[:-1]) / 100 if text.endswith("%") else float(text)


def milliseconds(text):
    return float(text.removesuffix("ms")) / 1000


class Fleet:
    def __init__(self, args, scratch):
        self.args, self.scratch = args, scratch
        self.robots = [f"arm-{number}" for number in range(args.robots)]
        self.out = scratch / "out"
        self.made = {}
        self.abandoned = {}
        self.processes = []
        self.wire = None
        for robot in self.robots:
            (scratch / robot).mkdir()

    def run(self):
        args = self.args
        if args.wire == "tun":
            self.wire = Wire(["collector", *self.robots], args)
            self.wire.start()
            self.endpoint = f"tcp/{self.wire.address('collector')}:{PORT}"
        else:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.endpoint = f"tcp/127.0.0.1:{free.getsockname()[1]}"
        random_bytes = random.Random(args.seed)
        for robot in self.robots:
            for number in range(args.abandoned):
                self.abandon(robot, f"torn-{number}.mcap.open", random_bytes.randbytes(20_000))
        # All of it is in memory before the clock starts: making it is not what is measured.
        spread = 2 * args.lead_s + args.partition_s
        plan = []
        for robot in self.robots:
            for number in range(args.episodes):
                due = spread * (number + random_bytes.random()) / args.episodes
                plan.append((due, robot, f"{number:04}.mcap", episode(random_bytes, args.episode_kib << 10)))
        plan.sort(key=lambda item: item[0])
        makers = threading.Thread(target=self.make, args=(plan,))
        if spread == 0:
            self.make(plan)

        started = time.monotonic()
        self.started = started
        self.collect()
        forwarders = {robot: self.forward(robot) for robot in self.robots}
        if spread > 0:
            makers.start()
        if args.partition_s > 0:
            time.sleep(args.lead_s)
            self.wire.cut(True)
            time.sleep(args.partition_s)
            self.wire.cut(False)
        for _ in range(args.kills):
            # While everybody comes back at once.
            time.sleep(args.lead_s / 2)
            self.collector.kill()
            self.collector.wait()
            time.sleep(2)
            self.collect()
        disturbed_until = time.monotonic()
        if spread > 0:
            makers.join()
        # The last episode was there then; nobody who is waited for can have come sooner.
        ready = max(time.monotonic(), disturbed_until)
        expected = args.robots * (args.episodes + args.abandoned)
        while self.indexed() < expected and time.monotonic() - started < args.limit_s:
            self.check_alive(forwarders)
            time.sleep(0.2)
        ended = time.monotonic()
        usage = {"collector": usage_of([self.collector]), "forwarder": usage_of(list(forwarders.values()))}
        # A forwarder has all it wants to know when it has heard that its last episode is stored.
        sent = sum(self.end(process, self.scratch / f"{robot}.json")["bytes_sent"] for robot, process in forwarders.items())
        self.end(self.collector, self.scratch / "collector.json")
        report = self.compare()
        report["seconds"] = round(ended - started, 2)
        report["seconds_to_catch_up"] = round(ended - ready, 2)
        report["bytes_sent_factor"] = round(sent / report["bytes"], 3)
        report["megabytes_per_s"] = round(report["bytes"] / 1e6 / (ended - started), 2)
        report["episodes_per_s"] = round(report["arrived"] / (ended - started), 2)
        report.update(self.wire.counted() if self.wire else {})
        return report | usage

    def make(self, plan):
        """Episodes as a recorder writes them: under another name and locked until they are whole."""
        started = time.monotonic()
        for due, robot, name, content in plan:
            time.sleep(max(0.0, started + due - time.monotonic()))
            path = self.scratch / robot / name
            with open(f"{path}.open", "xb") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                file.write(content)
                file.flush()
                os.rename(f"{path}.open", path)
            self.made[f"{robot}/{name}"] = hashlib.sha256(content).hexdigest(), len(content)

    def abandon(self, robot, name, content):
        """What a recorder leaves that was killed."""
        content = MAGIC + content
        (self.scratch / robot / name).write_bytes(content)
        self.abandoned[f"{robot}/{name}"] = hashlib.sha256(content).hexdigest(), len(content)

    def collect(self):
        self.collector = self.spawn(
            "collector", "collect", "--out", self.out, "--listen", self.endpoint, "--json", self.scratch / "collector.json"
        )

    def forward(self, robot):
        return self.spawn(
            robot, "forward", self.scratch / robot, "--robot", robot, "--connect", self.endpoint,
            "--json", self.scratch / f"{robot}.json",
        )

    def spawn(self, host, *words):
        prefix = ["ip", "netns", "exec", self.wire.namespace(host)] if self.wire else []
        log = open(self.scratch / f"{host}.log", "ab")
        command = [*prefix, str(self.args.program.resolve()), *map(str, words)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, start_new_session=True)
        log.close()
        self.processes.append(process)
        return process

    def check_alive(self, forwarders):
        for host, process in [("collector", self.collector), *forwarders.items()]:
            if process.poll() is not None:
                log = (self.scratch / f"{host}.log").read_text()
                raise SystemExit(f"{host} ended by itself:\n{log}")

    def end(self, process, report):
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
        return json.loads(report.read_text())

    def indexed(self):
        try:
            return (self.out / "index.jsonl").read_bytes().count(b"\n")
        except FileNotFoundError:
            return 0

    def compare(self):
        index = [json.loads(line) for line in (self.out / "index.jsonl").read_text().splitlines() if line]
        stored = [path for path in self.out.glob("*/*.mcap*") if path.is_file() and not path.parent.name.startswith(".")]
        found = {str(path.relative_to(self.out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in stored}
        complete = {line["stored_as"] for line in index if line["complete"]}
        arrived = [at for at, (digest, _) in self.made.items() if found.get(at) == digest and at in complete]
        marked = [
            at for at, (digest, _) in self.abandoned.items() if found.get(at) == digest and at not in complete
        ]
        known = self.made | self.abandoned
        return {
            "robots": self.args.robots,
            "episodes": len(self.made),
            "arrived": len(arrived),
            "duplicated": len(found) - len(set(found.values())) + len(index) - len({line["sha256"] for line in index}),
            "different": sum(digest != known.get(at, ("",))[0] for at, digest in found.items()),
            "missing": sorted(set(known) - set(arrived) - set(marked)),
            "abandoned": len(self.abandoned),
            "incomplete_marked": len(marked),
            "bytes": sum(length for _, length in known.values()),
        }

    def clear_away(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        if self.wire:
            self.wire.clear_away()


def episode(random_bytes, length):
    """A valid MCAP file: a header, private records, the end."""

    def record(opcode, content):
        return struct.pack("<BQ", opcode, len(content)) + content

    def string(text):
        return struct.pack("<I", len(text)) + text

    parts = [MAGIC, record(0x01, string(b"") + string(b"partition.py"))]
    for start in range(0, length, 65536):
        parts.append(record(0x80, random_bytes.randbytes(min(65536, length - start))))
    parts += [record(0x0F, struct.pack("<I", 0)), record(0x02, struct.pack("<QQI", 0, 0, 0)), MAGIC]
    return b"".join(parts)


def usage_of(processes):
    """Memory at its highest, and CPU time until now."""
    rss, cpu = [], 0.0
    for process in processes:
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        rss.append(int(status.split("VmHWM:")[1].split()[0]) / 1024)
        stat = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        cpu += (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
    return {"rss_mib_max": round(max(rss), 1), "cpu_s": round(cpu, 2)}


class Wire:
    """Carries IP packets between namespaces, in a process of its own."""

    # What this process and the carrier share: is the wire cut, and three counts.
    SHARED = struct.Struct("<QQQQ")

    def __init__(self, hosts, args):
        self.hosts, self.args = hosts, args
        self.made, self.tuns, self.carrier = [], [], None
        self.shared = mmap.mmap(-1, self.SHARED.size)

    def namespace(self, host):
        return f"vmf{os.getpid()}-{self.hosts.index(host)}"

    def address(self, host):
        number = self.hosts.index(host)
        return f"10.77.{number // 250}.{number % 250 + 1}"

    def start(self):
        if os.geteuid() != 0:
            raise CannotRun("network namespaces need root")
        if shutil.which("ip") is None:
            raise CannotRun("there is no program `ip` (Debian: iproute2)")
        for host in self.hosts:
            self.join(host)
        self.carrier = os.fork()
        if self.carrier == 0:
            try:
                self.carry()
            finally:
                os._exit(0)

    def join(self, host):
        namespace, number = self.namespace(host), self.hosts.index(host)
        device = f"vmf{os.getpid() % 1000000}w{number}"
        try:
            tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            self.tuns.append(tun)
            fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TUN_WITHOUT_HEADER))
        except OSError as error:
            raise CannotRun(f"/dev/net/tun: {error}") from error
        # The device goes there, its other end stays here.
        ip("netns", "add", namespace)
        self.made.append(namespace)
        ip("link", "set", device, "netns", namespace)
        ip("-n", namespace, "addr", "add", f"{self.address(host)}/16", "dev", device)
        ip("-n", namespace, "link", "set", device, "up", "txqueuelen", "1000")
        ip("-n", namespace, "link", "set", "lo", "up")

    def cut(self, is_cut):
        self.shared[0:8] = struct.pack("<Q", is_cut)

    def counted(self):
        _, packets, lost, partitioned = self.SHARED.unpack(self.shared[:])
        return {
            "wire": f"TUN in user space: loss {self.args.loss:g}, delay {self.args.delay * 1000:g} ms, each way",
            "packets": packets,
            "packets_lost": lost,
            "packets_partitioned": partitioned,
        }

    def carry(self):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # Ends with its parent, however that ends.
        parent = os.getppid()
        lost_by = random.Random(self.args.seed)
        of_address = {socket.inet_aton(self.address(host)): tun for host, tun in zip(self.hosts, self.tuns)}
        poll = select.epoll()
        for tun in self.tuns:
            poll.register(tun, select.EPOLLIN)
        # All are held back equally, so they leave in the order in which they came.
        held = collections.deque()
        packets = lost = partitioned = 0
        while os.getppid() == parent:
            now = time.monotonic()
            while held and held[0][0] <= now:
                _, tun, packet = held.popleft()
                try:
                    os.write(tun, packet)
                except OSError:
                    lost += 1
            wait = max(0.0, held[0][0] - now) if held else 0.2
            is_cut = self.shared[0] == 1
            for tun, _ in poll.poll(wait):
                for _ in range(64):
                    try:
                        packet = os.read(tun, 65536)
                    except BlockingIOError:
                        break
                    to = of_address.get(packet[16:20]) if packet[0] >> 4 == 4 else None
                    if to is None:
                        continue
                    packets += 1
                    if is_cut:
                        partitioned += 1
                    elif lost_by.random() < self.args.loss:
                        lost += 1
                    else:
                        held.append((time.monotonic() + self.args.delay, to, packet))
            self.shared[8:32] = struct.pack("<QQQ", packets, lost, partitioned)

    def clear_away(self):
        if self.carrier:
            os.kill(self.carrier, signal.SIGKILL)
            os.waitpid(self.carrier, 0)
        for tun in self.tuns:
            os.close(tun)
        for namespace in self.made:
            subprocess.run(["ip", "netns", "del", namespace], check=False)


def ip(*words):
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    if done.returncode != 0:
        raise CannotRun(f"ip {' '.join(words)}: {done.stderr.strip()}")


if __name__ == "__main__":
    sys.exit(main())
