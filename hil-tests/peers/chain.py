"""Writes a URDF's chain of joints for kinematics.cpp, whose wheel lacks the headers of the URDF parser.

usage: chain.py URDF FRAME FILE
"""

import sys
from pathlib import Path

import pinocchio

urdf, frame, path = sys.argv[1:]
model = pinocchio.buildModelFromUrdf(urdf)
joints = range(1, model.njoints)
for i in joints:
    if model.joints[i].shortname() != "JointModelRZ":
        sys.exit(f"{model.names[i]} does not turn about z")
placements = [model.jointPlacements[i] for i in joints] + [model.frames[model.getFrameId(frame)].placement]
lines = [" ".join(repr(float(x)) for x in [*p.translation, *p.rotation.flatten()]) for p in placements]
Path(path).write_text("\n".join(lines) + "\n")
