"""The critic: one image trunk and two heads that look at the image where the gripper would be.

Responsible for the network and its geometry. Not responsible for losses (`train`), search (`cem`) or ONNX (`export`).

A candidate pose of the gripper is projected through the nominal camera, and the trunk's feature maps are sampled
there, at the palm and around the fingers. So a head judges an action by what lies where the action leads, after QT-Opt
(Kalashnikov et al. 2018) and hand-eye coordination (Levine et al. 2016). The grasp head sees nothing but these samples:
given an embedding of the whole image as well, it learns the training scenes by heart.

Shapes: B batch, K candidates, C map channels, P sample points, size the image's width and height in pixels.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import task

MAP_CHANNELS = 32
FINE_CHANNELS = 16
CONTEXT_CHANNELS = 48
EMBEDDING = 192
HEAT_EMBEDDING = 64
GRASP_HIDDEN = 96
Q_HIDDEN = 160
POSE_FEATURES = 5
FORGET = 0.3
"""Share of the whole image's embedding that training drops, against learning scenes by heart."""

REACH_CELLS = (3, 3, 5, 7)
"""Windows of successive maximum filters over the heat map: reach of 1, 2, 4 and 7 cells of about 2 cm."""

HEAT_CHANNELS = 2 + len(REACH_CELLS)
CHANNELS = MAP_CHANNELS + HEAT_CHANNELS

SAMPLE_POINTS_M = (
    # Offsets along the fingers' width and along the closing direction; height, above the fingertip (True) or above the
    # floor (False).
    (0.0, 0.0, 0.010, True),
    (0.0, 0.0, 0.012, False),
    (0.0, 0.0, 0.037, False),
    (0.0, -0.024, 0.012, False),
    (0.0, 0.024, 0.012, False),
    (0.0, -0.048, 0.012, False),
    (0.0, 0.048, 0.012, False),
    (0.0, -0.048, 0.010, True),
    (0.0, 0.048, 0.010, True),
)
"""Of the coarse map."""

FINE_POINTS_M = (
    (0.0, 0.0, 0.010, True),
    (0.0, 0.0, 0.012, False),
    (0.02, 0.0, 0.012, False),
    (-0.02, 0.0, 0.012, False),
    (0.0, -0.024, 0.012, False),
    (0.0, 0.024, 0.012, False),
    (0.015, -0.024, 0.012, False),
    (-0.015, -0.024, 0.012, False),
    (0.015, 0.024, 0.012, False),
    (-0.015, 0.024, 0.012, False),
    (0.0, -0.048, 0.012, False),
    (0.0, 0.048, 0.012, False),
    (0.0, -0.048, 0.010, True),
    (0.0, 0.048, 0.010, True),
)
"""Of the fine map: whether the edge of a thing lies between the fingers is a matter of millimetres."""

SAMPLED = CHANNELS * len(SAMPLE_POINTS_M) + FINE_CHANNELS * len(FINE_POINTS_M) + POSE_FEATURES


class Features(NamedTuple):
    """What the trunk hands to the heads; one forward pass serves every candidate."""

    map: Tensor
    """(B, CHANNELS, size / 4, size / 4) features to sample."""
    fine_map: Tensor
    """(B, FINE_CHANNELS, size / 2, size / 2) features to sample."""
    q_context: Tensor
    """(B, Q_HIDDEN) the part of the Q head's first layer that no motion changes."""
    terminate: Tensor
    """(B, 1) logit of ending the episode now."""


class Trunk(NamedTuple):
    map: Tensor
    """(B, CHANNELS, size / 4, size / 4)."""
    fine_map: Tensor
    """(B, FINE_CHANNELS, size / 2, size / 2)."""
    heat: Tensor
    """(B, 1, size / 4, size / 4) logits of a graspable thing in each cell."""
    embedding: Tensor
    """(B, EMBEDDING) of the whole image and the state."""
    heat_embedding: Tensor
    """(B, HEAT_EMBEDDING) of the whole heat map."""


def normalise(image: Tensor) -> Tensor:
    """(B, size, size, 3) uint8 to (B, 3, size, size) in [-1, 1]."""
    return (image.float() / 127.5 - 1.0).permute(0, 3, 1, 2)


class Critic(nn.Module):
    """Q(observation, motion, verb) and G(observation, pose) on one trunk."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, FINE_CHANNELS, 5, 2, 2)
        self.map2 = nn.Conv2d(FINE_CHANNELS, FINE_CHANNELS, 3, 1, 1)
        self.down4 = nn.Conv2d(FINE_CHANNELS, MAP_CHANNELS, 3, 2, 1)
        self.map4 = nn.Conv2d(MAP_CHANNELS, MAP_CHANNELS, 3, 1, 1)
        self.down8 = nn.Conv2d(MAP_CHANNELS, CONTEXT_CHANNELS, 3, 2, 1)
        self.map8 = nn.Conv2d(CONTEXT_CHANNELS, CONTEXT_CHANNELS, 3, 1, 1)
        self.squeeze = nn.Conv2d(CONTEXT_CHANNELS, 24, 1)
        self.embed = nn.Linear(24 * (task.IMAGE_SIZE // 8) ** 2 + task.STATE_SIZE, EMBEDDING)
        self.up = nn.Conv2d(CONTEXT_CHANNELS, MAP_CHANNELS, 1)
        self.up2 = nn.Conv2d(MAP_CHANNELS, FINE_CHANNELS, 1)
        self.heat = nn.Conv2d(MAP_CHANNELS, 1, 1)
        self.heat_embed = nn.Linear((task.IMAGE_SIZE // 4) ** 2, HEAT_EMBEDDING)

        context = EMBEDDING + HEAT_EMBEDDING + task.STATE_SIZE + SAMPLED
        self.q_context = nn.Linear(context, Q_HIDDEN)
        self.terminate = nn.Linear(Q_HIDDEN, 1)
        self.q_action = nn.Linear(SAMPLED + task.MOTION_SIZE + GRASP_HIDDEN // 2 + 1, Q_HIDDEN, bias=False)
        self.q_hidden = nn.Linear(Q_HIDDEN, 96)
        self.q_out = nn.Linear(96, task.VERBS - 1)

        self.grasp_pose = nn.Linear(SAMPLED, GRASP_HIDDEN)
        self.grasp_hidden = nn.Linear(GRASP_HIDDEN, GRASP_HIDDEN // 2)
        self.grasp_out = nn.Linear(GRASP_HIDDEN // 2, 1)
        for out in (self.q_out, self.terminate):
            nn.init.constant_(out.bias, -2.0)

        self.register_buffer("coarse_points", torch.tensor(SAMPLE_POINTS_M).float(), persistent=False)
        self.register_buffer("fine_points", torch.tensor(FINE_POINTS_M).float(), persistent=False)
        self.register_buffer("motion_scale", torch.tensor(task.MOTION_SCALE), persistent=False)
        rotation = torch.tensor(task.camera_rotation(), dtype=torch.float32)
        self.register_buffer("camera_rotation", rotation, persistent=False)
        position = torch.tensor(task.CAMERA_POSITION_M)
        self.register_buffer("camera_position", position, persistent=False)

    def encode(self, pixels: Tensor, state: Tensor) -> Features:
        """pixels (B, 3, size, size) in [-1, 1], state (B, 7)."""
        trunk = self.trunk(pixels, state)
        here = self.sample(trunk, goal_pose(state)[:, None])[:, 0]
        return self.features(trunk, state, here)

    def q(self, features: Features, state: Tensor, motion: Tensor) -> Tensor:
        """Logits (B, K, 4) of success after each verb with motion (B, K, 4) in [-1, 1]."""
        return self.q_head(features, motion, self.sample(features, self.pose_after(state, motion)))

    def grasp(self, features: Features, pose: Tensor) -> Tensor:
        """Logits (B, K) that closing at pose (B, K, 4) (x, y, z, yaw in the task frame) ends in a grasp."""
        return self.grasp_head(self.sample(features, pose))[0]

    def forward(self, pixels: Tensor, state: Tensor, motion: Tensor, pose: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One motion (B, 4) and one pose (B, 4) an image: Q logits (B, 4), grasp logits (B,), heat logits (B,) there.

        The same values as `encode`, `q` and `grasp` give, from a single pass over the map for the gradient's sake.
        """
        trunk = self.trunk(pixels, state)
        after = self.pose_after(state, motion[:, None])
        poses = torch.cat([goal_pose(state)[:, None], after, pose[:, None]], 1)
        here, sampled, at_pose = self.sample(trunk, poses).split(1, 1)
        features = self.features(trunk, state, here[:, 0])
        heat = F.grid_sample(trunk.heat, self.project_pose(pose), padding_mode="border", align_corners=False)
        q = self.q_head(features, motion[:, None], sampled)[:, 0]
        return q, self.grasp_head(at_pose)[0][:, 0], heat[:, 0, 0, 0]

    def trunk(self, pixels: Tensor, state: Tensor) -> Trunk:
        fine = F.relu_(self.stem(pixels))
        low = F.relu_(self.down4(fine))
        low = low + F.relu_(self.map4(low))
        high = F.relu_(self.down8(low))
        high = high + F.relu_(self.map8(high))
        squeezed = F.relu_(self.squeeze(high)).flatten(1)
        embedding = F.relu_(self.embed(torch.cat([squeezed, state], 1)))
        features = F.relu_(low + twice(self.up(high)))
        fine = F.relu_(fine + self.map2(fine) + twice(self.up2(features)))
        heat = self.heat(features).contiguous()
        glow = torch.sigmoid(heat)
        layers = [features, glow, F.avg_pool2d(glow, 5, 1, 2, count_include_pad=False)]
        reach = glow
        for window in REACH_CELLS:
            reach = F.max_pool2d(reach, (1, window), 1, (0, window // 2))
            reach = F.max_pool2d(reach, (window, 1), 1, (window // 2, 0))
            layers.append(reach)
        return Trunk(
            map=torch.cat(layers, 1),
            fine_map=fine,
            heat=heat,
            embedding=embedding,
            heat_embedding=F.relu_(self.heat_embed(glow.flatten(1))),
        )

    def features(self, trunk: Trunk, state: Tensor, here: Tensor) -> Features:
        """`here` (B, SAMPLED) is the map at the present goal."""
        whole = F.dropout(torch.cat([trunk.embedding, trunk.heat_embedding], 1), FORGET, self.training)
        q_context = self.q_context(torch.cat([whole, state, here], 1))
        return Features(
            map=trunk.map,
            fine_map=trunk.fine_map,
            q_context=q_context,
            terminate=self.terminate(F.relu(q_context)),
        )

    def q_head(self, features: Features, motion: Tensor, sampled: Tensor) -> Tensor:
        """Logits (B, K, 4) of motions (B, K, 4) that lead to poses with features `sampled` (B, K, SAMPLED)."""
        grasp, hidden = self.grasp_head(sampled)
        action = self.q_action(torch.cat([sampled, motion, hidden, grasp[..., None]], -1))
        x = F.relu_(features.q_context[:, None] + action)
        moving = self.q_out(F.relu_(self.q_hidden(x)))
        return torch.cat([moving, features.terminate[:, None].expand(-1, motion.shape[1], -1)], -1)

    def grasp_head(self, sampled: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, K) and last hidden layer (B, K, GRASP_HIDDEN / 2) at poses with features `sampled`."""
        x = F.relu_(self.grasp_pose(sampled))
        hidden = F.relu_(self.grasp_hidden(x))
        return self.grasp_out(hidden)[..., 0], hidden

    def pose_after(self, state: Tensor, motion: Tensor) -> Tensor:
        """Goal pose (B, K, 4) after each motion, clamped to the workspace."""
        pose = goal_pose(state)[:, None] + motion * self.motion_scale
        xy = pose[..., :2].clamp(-task.XY_LIMIT_M, task.XY_LIMIT_M)
        z = pose[..., 2:3].clamp(task.Z_MIN_M, task.Z_MAX_M)
        return torch.cat([xy, z, pose[..., 3:]], -1)

    def sample(self, maps: Features | Trunk, pose: Tensor) -> Tensor:
        """Features (B, K, SAMPLED) of the maps around the projected pose (B, K, 4), and of the pose itself."""
        x, y, z, yaw = pose[..., None].unbind(2)
        yaw = yaw - math.pi * torch.round(yaw / math.pi)
        cos, sin = torch.cos(yaw), torch.sin(yaw)
        sampled = []
        for feature_map, offsets in ((maps.map, self.coarse_points), (maps.fine_map, self.fine_points)):
            along, across, height, above = offsets.unbind(1)
            points = [x + cos * along - sin * across, y + sin * along + cos * across, z * above + height]
            grid = self.project(torch.stack(points, -1))
            found = F.grid_sample(feature_map, grid, mode="bilinear", padding_mode="border", align_corners=False)
            sampled.append(found.permute(0, 2, 3, 1).flatten(2))
        return torch.cat([*sampled, x * 10, y * 10, z * 5, torch.sin(2 * yaw), torch.cos(2 * yaw)], -1)

    def project_pose(self, pose: Tensor) -> Tensor:
        """Image coordinates (B, 1, 1, 2) of a point 2 cm above the floor under each pose (B, 4)."""
        point = torch.cat([pose[:, :2], torch.full_like(pose[:, :1], 0.02)], 1)
        return self.project(point)[:, None, None]

    def project(self, points: Tensor) -> Tensor:
        """Image coordinates (..., 2) in [-1, 1], right and down, of points (..., 3) in the task frame."""
        camera = (points - self.camera_position) @ self.camera_rotation.T
        depth = -camera[..., 2:] * math.tan(task.CAMERA_FOV_Y_RAD / 2)
        return torch.cat([camera[..., :1], -camera[..., 1:2]], -1) / depth


def twice(features: Tensor) -> Tensor:
    """(B, C, 2 h, 2 w) of (B, C, h, w)."""
    return F.interpolate(features, scale_factor=2.0, mode="bilinear", align_corners=False)


def goal_pose(state: Tensor) -> Tensor:
    """Goal (..., 4): x, y, z in m and yaw in rad, of a state vector (..., 7)."""
    unit = state.new_tensor([task.XY_UNIT_M, task.XY_UNIT_M, task.Z_UNIT_M, 1.0])
    return state[..., task.GOAL_X : task.GOAL_YAW + 1] * unit
