#!/usr/bin/env python3
"""Measures the runtime against its peers, in turns on the same machine, and prints the ratios side by side.

usage: hil-tests/peers/compare.py [--rounds N] [--seed S] [--json FILE|-]

It installs the peers from PyPI into virtual environments under target/peers/ (2 GB, once), compiles the two that are
libraries in C and C++ with the system's compiler, and runs `visuomotor bench tick` of target/release. Each round measures
ours and every peer one after the other; what counts is the median of the rounds' ratios, since other work on the machine
slows whatever runs at that moment. All times are CPU time of one thread.
"""

import argparse
import datetime
import json
import os
import platform
import shutil
import statistics
import struct
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
WORK = REPOSITORY / "target" / "peers"
URDF = REPOSITORY / "launch" / "robots" / "iiwa14.urdf"
FRAME = "tcp"

MAIN = ["pin==4.1.0", "pin-pink==4.4.0", "daqp==0.11.0", "ruckig==0.19.4"]
# Built against other versions of the libraries that Pinocchio's wheel brings, without saying so.
PLACO = ["placo==0.9.16", "pin==3.4.0", "cmeel-boost==1.87.*", "cmeel-urdfdom<5", "cmeel-tinyxml2<11"]
# What the wheels lack: Eigen's headers, and DAQP's sources.
EIGEN = "cmeel-eigen==3.4.1"
DAQP_SOURCE = "daqp==0.11.0"

# Those that Pinocchio's own CMake files set.
BOOST = ["-DBOOST_MPL_LIMIT_LIST_SIZE=30", "-DBOOST_MPL_LIMIT_VECTOR_SIZE=30", "-DBOOST_MPL_CFG_NO_PREPROCESSED_HEADERS"]
# Those with which DAQP's wheel is built.
DAQP_FLAGS = ["-fassociative-math", "-fno-signed-zeros", "-fno-trapping-math"]
REPEATS = "8"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="rounds of measuring, 10 s each [9]")
    parser.add_argument("--seed", type=int, default=1, help="of poses, programs and targets [1]")
    parser.add_argument("--json", metavar="FILE", help="write the figures; - is standard output, and then nothing else is there")
    args = parser.parse_args()
    ours, commands = set_up(args.seed)
    rounds = []
    for number in range(args.rounds):
        note(f"round {number + 1} of {args.rounds}")
        # Ours right before each peer: what slows one then mostly slows the other.
        rounds.append({name: (run_json(ours), run_json(command)) for name, command in commands.items()})
    findings = {
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "versions": versions(),
        "rounds": args.rounds,
        "rows": rows(rounds),
        "hostile": {name: {key: rounds[0][name][1][key] for key in ("hostile", "nan_target")} for name in ("pink", "placo")},
    }
    if args.json:
        text = json.dumps(findings, indent=1) + "\n"
        sys.stdout.write(text) if args.json == "-" else Path(args.json).write_text(text)
    if args.json != "-":
        print(table(findings))
    return 0 if all(row["ratio"] <= row["aim"] for row in findings["rows"] if row["aim"]) else 1


def set_up(seed):
    """Installs and compiles what is not there yet; the command that measures ours, and those of the peers by name."""
    binary = REPOSITORY / "target" / "release" / "visuomotor"
    if not binary.exists():
        sys.exit(f"{binary} is missing: cargo build --release")
    compiler = {language: shutil.which(name) for language, name in (("C", "gcc"), ("C++", "g++"))}
    for language, path in compiler.items():
        if path is None:
            sys.exit(f"no {language} compiler: apt-get install g++")
    python = environment("venv", MAIN)
    placo = environment("placo", PLACO)
    libraries = python.parent.parent / "lib" / f"python{platform.python_version().rsplit('.', 1)[0]}" / "site-packages" / "cmeel.prefix"
    eigen, daqp = download(python, EIGEN, "--only-binary"), download(python, DAQP_SOURCE, "--no-binary")
    kinematics, programs = WORK / "kinematics", WORK / "programs"
    # The same processor features as Rust's and Debian's default: x86-64 without AVX or FMA, or plain aarch64.
    compile_once(kinematics, [HERE / "kinematics.cpp"], [compiler["C++"], "-O3", "-DNDEBUG", "-std=c++17", *BOOST,
        f"-I{libraries}/include", f"-I{one(eigen, '**/include/eigen3')}",
        f"-L{libraries}/lib", f"-Wl,-rpath,{libraries}/lib"], ["-lpinocchio_default"])
    source = one(daqp, "*/csrc")
    compile_once(programs, [HERE / "programs.c", *sorted(source.glob("src/*.c"))],
        [compiler["C"], "-O3", "-DNDEBUG", *DAQP_FLAGS, f"-I{source}/include"], ["-lm"])
    chain = WORK / "chain.txt"
    run([python, HERE / "chain.py", URDF, FRAME, chain])
    bench = [binary, "bench", "tick", REPOSITORY / "launch/robots/sim_iiwa14.toml", "--seed", seed, "--ticks", 20000, "--json", "-"]
    written = WORK / "programs.json"
    run_json([*bench, "--programs", written])
    pack(json.loads(written.read_text()), written.with_suffix(".bin"))
    return bench, {
        "pinocchio": [kinematics, chain],
        "daqp": [programs, written.with_suffix(".bin"), REPEATS],
        "pink": [python, HERE / "ik.py", "pink", URDF, FRAME, seed],
        "placo": [placo, HERE / "ik.py", "placo", URDF, FRAME, seed],
        "ruckig": [python, HERE / "ik.py", "ruckig", URDF, FRAME, seed],
    }


def rows(rounds):
    """What is compared: the same work on both sides in the first two, different work for the same end in the others."""
    def row(what, unit, ours, peer, theirs, aim=None):
        pairs = [(ours(r[peer][0]), theirs(r[peer][1])) for r in rounds]
        ratios = [mine / other for mine, other in pairs]
        return {
            "what": what, "peer": peer, "unit": unit, "aim": aim,
            "ours": statistics.median(mine for mine, _ in pairs),
            "theirs": statistics.median(other for _, other in pairs),
            "ratio": statistics.median(ratios), "ratio_min": min(ratios), "ratio_max": max(ratios),
        }
    return [
        row("pose and Jacobian", "ns", lambda o: o["fk_jacobian_ns"], "pinocchio", lambda p: min(p["all_joints_ns"], p["frame_only_ns"]), 0.4),
        row("quadratic program, median", "us", lambda o: o["qp_us"]["p50"], "daqp", lambda p: p["p50_us"], 1.0),
        row("quadratic program, 99 %", "us", lambda o: o["qp_us"]["p99"], "daqp", lambda p: p["p99_us"]),
        row("control tick, median", "us", lambda o: o["tick_us"]["p50"], "pink", lambda p: p["time"]["p50_us"]),
        row("control tick, median", "us", lambda o: o["tick_us"]["p50"], "placo", lambda p: p["time"]["p50_us"]),
        row("plan of the reference", "us", lambda o: o["plan_us"]["p50"], "ruckig", lambda p: p["time"]["p50_us"]),
    ]


def table(findings):
    lines = [f"{findings['date']}, {findings['machine']}, {findings['rounds']} rounds", ""]
    lines.append(f"{'what':28} {'peer':10} {'ours':>9} {'theirs':>9}    {'ratio':>6}  {'of rounds':>13}  {'aim':>4}")
    for r in findings["rows"]:
        aim = f"{r['aim']:.1f}" if r["aim"] else ""
        spread = f"{r['ratio_min']:.2f} to {r['ratio_max']:.2f}"
        lines.append(f"{r['what']:28} {r['peer']:10} {r['ours']:9.1f} {r['theirs']:9.1f} {r['unit']} {r['ratio']:6.2f}  {spread:>13}  {aim:>4}")
    lines.append("")
    for name, found in findings["hostile"].items():
        shares = found["hostile"]
        lines.append(f"{name:8} under hostile targets: {100 * shares['beyond_ddq_share']:.1f} % of ticks beyond its acceleration limits, "
            f"{100 * shares['no_answer_share']:.1f} % without an answer; a target that is NaN gives {found['nan_target']}")
    lines.append("versions " + ", ".join(f"{name} {version}" for name, version in findings["versions"].items()))
    return "\n".join(lines)


def environment(name, packages):
    """A virtual environment with these packages; its Python."""
    folder = WORK / name
    wanted, installed = "\n".join(packages), folder / "installed.txt"
    if not installed.exists() or installed.read_text() != wanted:
        note(f"installing {', '.join(packages)}")
        venv.create(folder, with_pip=True, clear=True)
        run([folder / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages])
        installed.write_text(wanted)
    return folder / "bin/python"


def download(python, package, kind):
    """A folder with what a package's archive holds. `kind` says whether that is the wheel or the source."""
    name = package.split("==")[0]
    folder = WORK / f"{name}-archive"
    if not folder.exists():
        note(f"downloading {package}")
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        run([python, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", kind, name, package, "-d", part])
        archive = next(part.iterdir())
        if archive.suffix == ".whl":
            zipfile.ZipFile(archive).extractall(part)
        else:
            tarfile.open(archive).extractall(part, filter="data")
        part.rename(folder)
    return folder


def compile_once(target, sources, command, libraries):
    if not target.exists() or target.stat().st_mtime < max(source.stat().st_mtime for source in sources[:1]):
        note(f"compiling {target.name}")
        run([*command, *sources, "-o", target, *libraries])


def pack(programs, path):
    """The programs as doubles, in the order that programs.c reads them in."""
    numbers = [len(programs[0]["gradient"]), len(programs[0]["rows"]), len(programs)]
    for p in programs:
        numbers += p["hessian"] + p["gradient"] + p["lower"] + p["upper"]
        numbers += [x for row in p["rows"] for x in row] + p["bounds"] + p["softness"] + p["answer"]
    path.write_bytes(struct.pack(f"{len(numbers)}d", *numbers))


def versions():
    found = {"visuomotor": run([REPOSITORY / "target/release/visuomotor", "--version"]).split()[-1]}
    for folder, names in (("venv", ("pin", "pin-pink", "daqp", "ruckig")), ("placo", ("placo",))):
        listed = run([WORK / folder / "bin/python", "-m", "pip", "list", "--format=json", "--disable-pip-version-check"])
        found |= {entry["name"]: entry["version"] for entry in json.loads(listed) if entry["name"] in names}
    found["g++"] = run(["g++", "-dumpfullversion"]).strip()
    return found


def machine():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{line.split(':')[1].strip()}, {os.cpu_count()} CPUs"
    return f"{platform.machine()}, {os.cpu_count()} CPUs"


def one(folder, pattern):
    found = sorted(folder.glob(pattern))
    if not found:
        sys.exit(f"{folder} holds nothing like {pattern}: remove it and try again")
    return found[0]


def run_json(command):
    return json.loads(run(command))


def run(command):
    words = [str(word) for word in command]
    # One thread each, as on an arm's control core.
    settings = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    result = subprocess.run(words, capture_output=True, text=True, env=settings)
    if result.returncode != 0:
        sys.exit(f"{' '.join(words)}\nfailed with {result.returncode}:\n{result.stderr or result.stdout}")
    return result.stdout


def note(text):
    print(text, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
