"""Search for the motion that the critic likes best, by the cross-entropy method.

Responsible for the batched search that makes Bellman targets. Not responsible for the search on the robot, which is
the runtime's. The three moving verbs and termination are enumerated: the search is over four continuous numbers.
"""

import torch
from torch import Tensor

import task
from net import Critic, Features

NEAR_SCALE = 0.35
"""Half of the first population is drawn this much narrower: most good motions are small."""
SPREAD_MIN = 0.05


def best_action(
    critic: Critic, features: Features, state: Tensor, samples: int = 24, iterations: int = 2, elites: int = 5
) -> tuple[Tensor, Tensor, Tensor]:
    """Best motion (B, 4), its verb (B,) and logit (B,) found for states (B, 7)."""
    batch = len(state)
    rows = torch.arange(batch)[:, None]
    motion = torch.rand(batch, samples, task.MOTION_SIZE) * 2 - 1
    motion[:, samples // 2 :] *= NEAR_SCALE
    motion[:, 0] = 0
    for iteration in range(iterations):
        value, verb = critic.q(features, state, motion).max(-1)
        value, order = value.topk(elites, 1)
        elite, elite_verb = motion[rows, order], verb[rows, order]
        if iteration + 1 < iterations:
            agree = (elite_verb == elite_verb[:, :1]).float()[..., None]
            mean = (elite * agree).sum(1, keepdim=True) / agree.sum(1, keepdim=True)
            variance = ((elite - mean).square() * agree).sum(1, keepdim=True) / agree.sum(1, keepdim=True)
            spread = variance.sqrt() + SPREAD_MIN
            motion = (mean + spread * torch.randn(batch, samples, task.MOTION_SIZE)).clamp(-1, 1)
            motion[:, :1], motion[:, 1], motion[:, 2] = mean, elite[:, 0], 0
    return elite[:, 0], elite_verb[:, 0], value[:, 0]
