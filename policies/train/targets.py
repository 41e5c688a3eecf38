"""Bellman targets for a pool of transitions.

Responsible for what the Q head should answer for a logged transition. Not responsible for drawing the pool (`train`).
"""

import numpy as np
import torch
from numpy.typing import NDArray

import task
from cem import best_action
from data import CLOSED, FINAL, Experience
from net import Critic, normalise

BATCH = 256


@torch.no_grad()
def next_values(
    experience: Experience, index: NDArray[np.int64], target: Critic, previous: Critic
) -> NDArray[np.float32]:
    """max_a Q(s', a) in [0, 1] for transitions that end no episode.

    The action is the search's on `target`; its value is the smaller one of `target` and of `previous`, the target of a
    sweep ago, against over-estimation (clipped double Q, Fujimoto et al. 2018).
    """
    values = np.empty(len(index), np.float32)
    for start in range(0, len(index), BATCH):
        after = index[start : start + BATCH] + 1
        pixels = normalise(experience.image_batch(after))
        state = torch.from_numpy(experience.transitions.state[after])
        motion, verb, q = best_action(target, target.encode(pixels, state), state)
        q_previous = previous.q(previous.encode(pixels, state), state, motion[:, None])[:, 0]
        q = torch.minimum(q, q_previous.gather(1, verb[:, None])[:, 0])
        values[start : start + BATCH] = torch.sigmoid(q).numpy()
    return values


def needs_value(experience: Experience, index: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether a transition's target depends on the network.

    The end of an episode is known exactly. What closing or holding led to, where it led to success, is taken as logged:
    from there on little is left to choose.
    """
    t = experience.transitions
    proven = (t.kind[index] > 0) & (t.monte_carlo[index] > 0)
    return (t.kind[index] != FINAL) & ~proven


def bellman_targets(
    experience: Experience,
    index: NDArray[np.int64],
    target: Critic,
    previous: Critic,
    keep_logged: bool,
) -> NDArray[np.float32]:
    """Targets for `index`. With `keep_logged` a logged success is a lower bound for every transition, else only for
    those with closed fingers: early, when the values are still unlearned, that speeds their way back in time."""
    t = experience.transitions
    targets = t.monte_carlo[index].copy()
    unknown = needs_value(experience, index)
    value = task.DISCOUNT * next_values(experience, index[unknown], target, previous)
    bounded = keep_logged | (t.kind[index[unknown]] == CLOSED)
    targets[unknown] = np.where(bounded, np.maximum(value, targets[unknown]), value)
    return targets
