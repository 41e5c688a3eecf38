"""One peer's step of inverse kinematics on a URDF, or one plan of a motion: CPU time of the thread, and what it does with
hostile targets. Prints JSON. Runs in the virtual environment that compare.py makes for the peer.

usage: ik.py pink|placo|ruckig URDF FRAME SEED
"""

import json
import sys
import time

import numpy as np

DT_S = 1e-3
# Ticks between two targets: the policy's 4 Hz.
HOLD_TICKS = 250
TIMED_TICKS = 5_000
HOSTILE_TICKS = 10_000
# rad/s², base to tip: those of launch/robots/sim_iiwa14.toml.
DDQ_MAX = np.array([15.0, 15.0, 20.0, 30.0, 30.0, 30.0, 30.0])
HOME = np.array([0.0, 0.548949, 0.0, -1.332549, 0.0, 1.260095, 0.0])
# One action of the policy, m and rad.
ACTION = np.array([0.05, 0.05, 0.06])
YAW = 0.5
# Far more than the arm can reach, m.
FAR_M = 2.0


class Pink:
    """Frame task and posture task; limits of position, velocity and acceleration; QP by DAQP."""

    def __init__(self, urdf, frame):
        import pinocchio as pin
        import pink
        from pink import limits, tasks

        self.solve_ik, self.se3 = pink.solve_ik, pin.SE3
        model = pin.buildModelFromUrdf(urdf)
        self.configuration = pink.Configuration(model, model.createData(), HOME.copy())
        self.frame = frame
        self.task = tasks.FrameTask(frame, position_cost=1.0, orientation_cost=0.2)
        posture = tasks.PostureTask(cost=1e-3)
        posture.set_target(HOME)
        self.tasks = [self.task, posture]
        self.acceleration = limits.AccelerationLimit(model, DDQ_MAX)
        self.limits = [
            limits.ConfigurationLimit(model),
            limits.VelocityLimit(model),
            self.acceleration,
        ]

    def pose(self):
        return self.configuration.get_transform_frame_to_world(self.frame).homogeneous

    def aim(self, pose):
        self.task.set_target(self.se3(pose[:3, :3], pose[:3, 3]))

    def step(self):
        v = self.solve_ik(
            self.configuration, self.tasks, DT_S, solver="daqp", limits=self.limits, safety_break=False
        )
        self.configuration.integrate_inplace(v, DT_S)
        self.acceleration.set_last_integration(v, DT_S)
        return v


class Placo:
    """Frame task and regularisation; limits of position and velocity. It has none of acceleration."""

    def __init__(self, urdf, frame):
        import os

        import placo

        # It takes a directory and looks for robot.urdf in it, or the file itself.
        self.robot = placo.RobotWrapper(os.path.abspath(urdf), placo.Flags.ignore_collisions)
        self.names = [f"joint_{i}" for i in range(1, 8)]
        for name, q in zip(self.names, HOME):
            self.robot.set_joint(name, q)
        self.robot.update_kinematics()
        self.frame = frame
        self.solver = placo.KinematicsSolver(self.robot)
        self.solver.mask_fbase(True)
        self.solver.enable_joint_limits(True)
        self.solver.enable_velocity_limits(True)
        self.solver.dt = DT_S
        self.task = self.solver.add_frame_task(frame, self.pose())
        self.task.configure("tool", "soft", 1.0, 0.2)
        self.solver.add_regularization_task(1e-4)

    def pose(self):
        return self.robot.get_T_world_frame(self.frame)

    def aim(self, pose):
        self.task.T_world_frame = pose

    def step(self):
        change = self.solver.solve(True)
        self.robot.update_kinematics()
        return np.asarray(change)[-7:] / DT_S


def turned(pose, yaw):
    c, s = np.cos(yaw), np.sin(yaw)
    result = pose.copy()
    result[:3, :3] = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]) @ pose[:3, :3]
    return result


def timed(peer, rng):
    """CPU time of each step, us, while an action of full scale moves the target at the policy's rate."""
    home, times = peer.pose().copy(), []
    for tick in range(TIMED_TICKS):
        if tick % HOLD_TICKS == 0:
            target = turned(home, rng.uniform(-YAW, YAW))
            target[:3, 3] += rng.uniform(-ACTION, ACTION)
            peer.aim(target)
        before = time.thread_time_ns()
        peer.step()
        times.append((time.thread_time_ns() - before) * 1e-3)
    return {"p50_us": float(np.percentile(times, 50)), "p99_us": float(np.percentile(times, 99))}


def hostile(peer, rng):
    """Shares of ticks without an answer, and beyond the acceleration limits, under targets that jump, tremble and lie far
    out of reach; the arm is at rest at first."""
    home, v_before = peer.pose().copy(), np.zeros(7)
    silent = beyond = mode = 0
    for tick in range(HOSTILE_TICKS):
        if tick % HOLD_TICKS == 0:
            mode = rng.integers(3)
            jump = turned(home, rng.uniform(-np.pi, np.pi))
            jump[:3, 3] += rng.uniform(-0.3, 0.3, 3) if mode < 2 else rng.uniform(-FAR_M, FAR_M, 3)
        target = jump.copy()
        if mode == 1:
            target[:3, 3] += rng.uniform(-0.05, 0.05, 3)
        peer.aim(target)
        try:
            v = peer.step()
        except Exception:
            v = None
        if v is None or not np.all(np.isfinite(v)):
            silent += 1
            continue
        beyond += bool(np.any(np.abs(v - v_before) > DDQ_MAX * DT_S * (1.0 + 1e-6)))
        v_before = v
    return {"no_answer_share": silent / HOSTILE_TICKS, "beyond_ddq_share": beyond / HOSTILE_TICKS}


def nan_target(peer):
    """What a target that is no number does."""
    target = peer.pose().copy()
    target[0, 3] = np.nan
    try:
        peer.aim(target)
        return "finite" if np.all(np.isfinite(peer.step())) else "NaN"
    except Exception as error:
        return type(error).__name__


def ruckig(rng):
    """Plans of four axes from a moving state, as the setpoint makes one for each action; Python's call included."""
    from ruckig import InputParameter, Ruckig, Synchronization, Trajectory

    planner, plan, task = Ruckig(4), Trajectory(4), InputParameter(4)
    task.synchronization = Synchronization.No
    task.max_velocity, task.max_acceleration = [0.3, 0.3, 0.3, 2.5], [4.0, 4.0, 4.0, 30.0]
    task.max_jerk = [120.0, 120.0, 120.0, 900.0]
    times = []
    for _ in range(TIMED_TICKS):
        task.target_position = list(rng.uniform(-0.1, 0.1, 4))
        before = time.thread_time_ns()
        planner.calculate(task, plan)
        times.append((time.thread_time_ns() - before) * 1e-3)
        task.current_position, task.current_velocity, task.current_acceleration = plan.at_time(0.25)
    return {"p50_us": float(np.percentile(times, 50)), "p99_us": float(np.percentile(times, 99))}


def main():
    name, urdf, frame, seed = sys.argv[1:]
    rng = np.random.default_rng(int(seed))
    if name == "ruckig":
        found = {"time": ruckig(rng)}
    else:
        make = {"pink": Pink, "placo": Placo}[name]
        found = {
            "time": timed(make(urdf, frame), rng),
            "hostile": hostile(make(urdf, frame), rng),
            "nan_target": nan_target(make(urdf, frame)),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
