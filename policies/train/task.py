"""Constants of the grasping task: camera, workspace, action and state.

Responsible for the numbers that simulator, runtime and training must share. Not responsible for anything learned.

Lengths are in m and angles in rad. The task frame has its origin at the centre of the tray's floor, z up. At yaw w the
fingers close along (-sin w, cos w); the gripper is symmetric under a half turn.
"""

import math

import numpy as np

IMAGE_SIZE = 64
"""Width and height of the policy's image, pixels."""

STATE_SIZE = 7
"""closed (0/1), aperture / APERTURE_M, goal x / 0.1, y / 0.1, z / 0.2, goal yaw wrapped, measured z / 0.2."""

CLOSED, APERTURE, GOAL_X, GOAL_Y, GOAL_Z, GOAL_YAW, MEASURED_Z = range(STATE_SIZE)
APERTURE_M = 0.084
XY_UNIT_M = 0.1
Z_UNIT_M = 0.2

MOTION_SIZE = 4
MOTION_SCALE = (0.05, 0.05, 0.06, 0.5)
"""Displacement of the goal (x, y, z in m, yaw in rad) that a motion of 1 asks for."""

MOVE, CLOSE, OPEN, TERMINATE = range(4)
VERBS = 4
STEPS_MAX = 25
STEP_S = 0.25
DISCOUNT = 0.9

XY_LIMIT_M = 0.115
Z_MIN_M = 0.004
Z_MAX_M = 0.26
YAW_LIMIT_RAD = 2.6

EMPTY_APERTURE_M = 0.005
"""Closed fingers that are nearer to each other than this hold nothing."""

CAMERA_POSITION_M = (-0.42, -0.16, 0.52)
CAMERA_TARGET_M = (-0.01, 0.0, 0.0)
CAMERA_FOV_Y_RAD = math.radians(34.0)


def camera_rotation() -> np.ndarray:
    """Rows are the camera's axes (right, up, backward) in the task frame: x_camera = R (x_task - position)."""
    forward = np.subtract(CAMERA_TARGET_M, CAMERA_POSITION_M)
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(right, forward), -forward])
