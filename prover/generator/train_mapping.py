"""First stage: teach the mapping network alone to hold the attributes of each latent in w.

Only the mapping network and two linear readers of w are trained, in attribute space (u = P z, 30 numbers),
so a step costs a few megaflops per latent; the first layer is then composed with P.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from common.output import note
from prover.generator.model import Generator, Linear, activate
from prover.generator.targets import ATTRIBUTES, BODY, DIALS, HEAD, TargetMap

_BATCH = 1024


def pretrain_mapping(model: Generator, targets: TargetMap, steps: int, seed: int) -> dict[str, float]:
    """Train `model.mapping` in place so that w tells head, body and dials; returns the last scores."""
    generator = torch.Generator().manual_seed(seed)
    layers = model.mapping.stack
    first = Linear(ATTRIBUTES, layers[0].weight.shape[0])
    heads, bodies = len(targets.head.sites), len(targets.body.sites)
    reader = Linear(layers[-1].weight.shape[0], heads + bodies + DIALS)
    stack = nn.ModuleList([first, *layers[1:], reader])
    optimizer = torch.optim.Adam(stack.parameters(), lr=4e-3, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, 1e-5)
    scores = {}
    for step in range(steps):
        u = torch.randn(_BATCH, ATTRIBUTES, generator=generator)
        x = u
        for layer in (first, *layers[1:]):
            x = activate(layer(x))
        told = reader(x)
        head, body = targets.head.cell(u[:, HEAD]), targets.body.cell(u[:, BODY])
        loss_head = functional.cross_entropy(told[:, :heads], head)
        loss_body = functional.cross_entropy(told[:, heads : heads + bodies], body)
        loss_dials = functional.mse_loss(told[:, heads + bodies :], targets.dials(u))
        optimizer.zero_grad()
        (loss_head + loss_body + 20 * loss_dials).backward()
        optimizer.step()
        schedule.step()
        if step % 250 == 249:
            right = (told[:, :heads].argmax(1) == head).float().mean()
            scores = {"head": loss_head.item(), "right": right.item(), "dials": loss_dials.item()}
            note(f"mapping {step + 1}: {scores}")
    with torch.no_grad():
        composed = first.weight * first.gain @ targets.projection
        layers[0].weight.copy_(composed * (math.sqrt(layers[0].weight.shape[1]) / layers[0].rate))
        layers[0].bias.copy_(first.bias)
    model.mapping.measure_mean()
    return scores
