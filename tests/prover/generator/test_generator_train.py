"""Training of the embedded generator on a made-up portrait set: the target map, the stages, resuming."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from huref.common.errors import InputOutputError, Malformed  # noqa: E402
from huref.common.image.architecture import Architecture  # noqa: E402
from huref.common.image.weights_io import load_weights  # noqa: E402
from huref.prover.generator.model import Generator  # noqa: E402
from huref.prover.generator.train import data  # noqa: E402
from huref.prover.generator.train.adversarial import AdversarialOptions, AdversarialTrainer  # noqa: E402
from huref.prover.generator.train.augment import AdaptiveProbability, augment  # noqa: E402
from huref.prover.generator.train.checkpoint import load_generator  # noqa: E402
from huref.prover.generator.train.contours import fill, signed_distance  # noqa: E402
from huref.prover.generator.train.data import Portraits, load_portraits  # noqa: E402
from huref.prover.generator.train.features import embed, frechet_distance, picture_distance  # noqa: E402
from huref.prover.generator.train.layers import Layer, cube_order, dyeable_body, dyeable_head  # noqa: E402
from huref.prover.generator.train.mapping_init import WIDTHS, initialize_mapping  # noqa: E402
from huref.prover.generator.train.matching import MatchingOptions, train_matching  # noqa: E402
from huref.prover.generator.train.targets import (  # noqa: E402
    ATTRIBUTES,
    HEAD_AXES,
    SHAPES,
    TargetMap,
    build_target_map,
    corner_weights,
    dials,
    sample_latents,
    shapes,
)
from huref.prover.generator.train.train import export_model, fidelity  # noqa: E402

SMALL = Architecture(WIDTHS, (12, 12, 8, 8))


@pytest.fixture(scope="module")
def targets() -> TargetMap:
    """Heads and bodies of random widths, skin of random colours darkening through the tones."""
    rng = np.random.default_rng(1)
    layers = []
    for count, first, last in ((16, 6, 22), (8, 22, 32)):
        alpha = np.zeros((count, 5, 1, 32, 32))
        for image in alpha:
            side = rng.integers(4, 10)
            image[:, :, rng.integers(2, 6) if first == 6 else first : last, side : 32 - side] = 1
        colour = rng.uniform(0, 255, (count, 1, 3, 1, 1)) * np.linspace(1, 0.6, 5)[None, :, None, None, None]
        layers.append((np.concatenate([colour * alpha, 255 * alpha], axis=2)).astype(np.uint8))
    return build_target_map(Portraits(*layers), seed=1)


def test_target_map_is_orderly(targets: TargetMap) -> None:
    basis = targets.projection
    assert torch.allclose(basis @ basis.T, torch.eye(ATTRIBUTES), atol=1e-5)
    z = sample_latents(64, torch.Generator().manual_seed(2))
    assert torch.allclose(z.square().mean(1), torch.ones(64), atol=1e-4)
    pictures = targets.images(targets.attributes(z))
    assert pictures.shape == (64, 3, 32, 32) and pictures.abs().max() <= 1
    assert targets.at_size(16).images(targets.attributes(z)).shape == (64, 3, 16, 16)
    corner = corner_weights(torch.tensor([[1.0, -1, 1, -1, 1], [0, -1, 1, -1, 1]]))
    assert corner[0].argmax() == 0b10101 and corner[0].sum() == 1
    assert corner[1, 0b10101] == corner[1, 0b00101] == 0.5


def test_distance_follows_the_cosine_for_every_pair(targets: TargetMap) -> None:
    random = torch.Generator().manual_seed(12)
    z, other = sample_latents(200, random), sample_latents(200, random)
    base = targets.images(targets.attributes(z))
    distances = []
    for cosine in (1.0, 0.99, 0.97, 0.95, 0.9, 0.8, 0.6, 0.3, 0.0):
        moved = cosine * z + math.sqrt(1 - cosine**2) * other
        pictures = targets.images(targets.attributes(moved))
        distances.append((pictures - base).square().mean((1, 2, 3)).sqrt())
    means = [float(one.mean()) for one in distances]
    assert means == sorted(means) and means[0] == 0
    assert distances[3].max() < distances[-1].min()


def test_similar_pictures_share_an_edge() -> None:
    shades = torch.linspace(0, 1, 8)[torch.randperm(8, generator=torch.Generator().manual_seed(1))]
    order = cube_order(shades[:, None, None, None].expand(-1, 3, 32, 32), torch.Generator().manual_seed(2))
    assert sorted(order.tolist()) == list(range(8))
    placed = shades[order]
    edges = [(i, i ^ (1 << bit)) for i in range(8) for bit in range(3)]
    along = sum(float((placed[i] - placed[j]) ** 2) for i, j in edges) / len(edges)
    assert along < 0.75 * float((placed[:, None] - placed).square().sum()) / 56


def test_hair_and_clothes_are_dyed_and_skin_is_not() -> None:
    rgba = torch.zeros(1, 5, 4, 64, 64, dtype=torch.uint8)
    rgba[:, :, 3] = 255
    skin = torch.tensor([240, 210, 170, 120, 70])[:, None, None]
    rgba[0, :, :3] = skin[:, None].to(torch.uint8)
    rgba[0, :, :3, :8] = torch.tensor([20, 220, 90, 50, 15], dtype=torch.uint8)[:, None, None, None]
    rgba[0, :, :3, 8:12] = torch.tensor([30, 60, 200], dtype=torch.uint8)[None, :, None, None]
    mask, shade = dyeable_head(rgba)
    assert (
        (mask[0, 0, 2:6] > 0.95).all() and (mask[0, 0, 9:11] > 0.95).all() and (mask[0, 0, 16:] < 0.05).all()
    )
    layer = Layer.cut(rgba, mask, shade)
    colour = torch.tensor([[0.9, 0.1, 0.1]])[..., None, None]
    red = layer.blend(torch.ones(1, 1), torch.tensor([2.0])).painted(colour)[0]
    assert red[0, 4, 30] > 3 * red[1, 4, 30] and red[0, 10, 30] > 3 * red[2, 10, 30]
    assert torch.allclose(red[:3, 40, 30], torch.full((3,), 170 / 255))
    assert (dyeable_body(rgba)[0][0, 0, 9:11] > 0.95).all()


def test_between_two_images_lies_a_clear_outline() -> None:
    """Half way from a small disc to a large one lies a disc of middle size, not two half transparent ones."""
    grid = torch.arange(64) - 31.5
    radius = (grid[:, None].square() + grid[None, :].square()).sqrt()
    rgba = torch.zeros(2, 5, 4, 64, 64)
    for image, size in zip(rgba, (10, 22), strict=True):
        image[:, :, radius < size] = torch.tensor([200.0, 100, 50, 255])[None, :, None]
    nothing = torch.zeros(2, 1, 64, 64)
    layer = Layer.cut(rgba.to(torch.uint8), nothing, nothing + 1)
    alpha = layer.blend(torch.tensor([[0.5, 0.5]]), torch.tensor([1.5])).alpha[0, 0]
    assert ((alpha > 0.05) & (alpha < 0.95)).float().mean() < 0.06
    assert abs(float(alpha.sum()) / math.pi - 16**2) < 25
    mixed = layer.blend(torch.tensor([[0.5, 0.5]]), torch.tensor([1.5])).skin[0]
    assert torch.allclose(mixed[:, 31, 31], torch.tensor([200.0, 100, 50]) / 255, atol=1e-4)
    assert torch.allclose(mixed[:, 31, 16], torch.tensor([200.0, 100, 50]) / 255, atol=1e-4)


def test_distances_are_euclidean_and_colours_reach_everywhere() -> None:
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., 8:24, 8:24] = 1
    distance = signed_distance(mask)[0, 0]
    assert distance[9, 16] == pytest.approx(1.5) and distance[16, 6] == pytest.approx(-1.5)
    assert distance[5, 4] == pytest.approx(0.5 - math.hypot(3, 4), abs=0.2)
    assert distance.max() <= 32 / 6 and distance[16, 16] == pytest.approx(32 / 6)
    colours = fill(torch.full((1, 3, 32, 32), 0.25), mask)
    assert torch.allclose(colours, torch.full_like(colours, 0.25), atol=1e-3)


def test_mapping_starts_with_the_attributes(targets: TargetMap) -> None:
    torch.manual_seed(0)
    mapping = Generator(SMALL).mapping
    initialize_mapping(mapping, targets)
    z = sample_latents(500, torch.Generator().manual_seed(3))
    u = targets.attributes(z)
    w = mapping(z).detach() / math.sqrt(2) / 0.3
    assert torch.allclose(w[:, SHAPES:ATTRIBUTES] / 2.5 - 1.5, dials(u), atol=1e-3)
    assert torch.allclose(w[:, :SHAPES] - 1.5, shapes(u), atol=1e-3)
    heads = w[:, ATTRIBUTES : ATTRIBUTES + 2**HEAD_AXES]
    wanted = corner_weights(shapes(u)[:, :HEAD_AXES])
    clear = wanted.amax(1) == 1
    assert clear.float().mean() > 0.02
    assert torch.equal(heads.argmax(1)[clear], wanted.argmax(1)[clear])
    assert torch.allclose(heads[clear].amax(1), torch.tensor(2.0), atol=1e-3)
    assert ((heads[clear] > 0.01).sum(1) == 1).all()


def _matched(targets: TargetMap, folder: Path, steps: int, seed: int = 0) -> Generator:
    torch.manual_seed(seed)
    model = Generator(SMALL)
    initialize_mapping(model.mapping, targets)
    train_matching(model, targets, folder, MatchingOptions(steps, levels=4, batch=4, save_every=6))
    return model


def test_matching_learns_and_resumes(targets: TargetMap, tmp_path: Path) -> None:
    before, after = _matched(targets, tmp_path / "a", 1), _matched(targets, tmp_path / "a", 60)
    z = sample_latents(32, torch.Generator().manual_seed(4))
    wanted = targets.images(targets.attributes(z))
    with torch.no_grad():
        assert (after(z) - wanted).abs().mean() < 0.7 * (before(z) - wanted).abs().mean()
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    one = _matched(targets, straight, 12)
    _matched(targets, broken, 12)
    (broken / "matching.pt").unlink()
    halted = MatchingOptions(12, levels=4, batch=4, save_every=6)
    torch.manual_seed(0)
    model = Generator(SMALL)
    initialize_mapping(model.mapping, targets)
    _stop_at(6, model, targets, broken, halted)
    two = _matched(targets, broken, 12, seed=99)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)
    assert (straight / "sheet.png").exists()
    assert load_generator(straight / "matching.pt").architecture == SMALL


class _Halt(Exception):
    pass


def _stop_at(step: int, model: Generator, targets: TargetMap, folder: Path, options: MatchingOptions) -> None:
    """Run until the state of `step` is written, then interrupt as a kill would."""
    from huref.prover.generator.train import matching as module

    def halting(text: str) -> None:
        if f"matching {step}:" in text:
            raise _Halt

    original, module.note = module.note, halting
    try:
        with pytest.raises(_Halt):
            train_matching(model, targets, folder, options)
    finally:
        module.note = original


def test_adversarial_stage_runs_and_resumes(targets: TargetMap, tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = Generator(SMALL)
    initialize_mapping(model.mapping, targets)
    start = [parameter.clone() for parameter in model.parameters()]
    options = AdversarialOptions(steps=3, batch=4, path_length=2.0, save_every=2)

    def reals(count: int) -> torch.Tensor:
        return targets.images(targets.attributes(sample_latents(count, torch.Generator().manual_seed(5))))

    trainer = AdversarialTrainer(model, tmp_path, options)
    trainer.augmentation.p = 0.5
    trainer.train(reals, targets)
    assert trainer.mean_path > 0
    assert all(torch.isfinite(p).all() for p in model.parameters())
    assert any(not torch.equal(a, b) for a, b in zip(start, model.parameters(), strict=True))
    again = AdversarialTrainer(Generator(SMALL), tmp_path, replace(options, steps=4))
    assert again.step == 3 and again.augmentation.p == trainer.augmentation.p
    for a, b in zip(trainer.critic.parameters(), again.critic.parameters(), strict=True):
        assert torch.equal(a, b)
    again.train(reals, None)
    assert again.step == 4


def test_augmentation() -> None:
    pictures = torch.rand(6, 3, 16, 16) * 2 - 1
    random = torch.Generator().manual_seed(6)
    assert torch.allclose(augment(pictures, 0.0, random), pictures, atol=1e-6)
    changed = (augment(pictures, 1.0, random) - pictures).abs().amax((1, 2, 3))
    assert (changed > 0.01).all()
    adaptive = AdaptiveProbability(images_to_one=100)
    adaptive.update(torch.ones(10))
    assert adaptive.p == pytest.approx(0.1)
    adaptive.update(-torch.ones(20))
    assert adaptive.p == 0


def test_feature_distances(targets: TargetMap) -> None:
    z = sample_latents(256, torch.Generator().manual_seed(7))
    pictures = targets.images(targets.attributes(z))
    one, two = embed(pictures[:128]), embed(pictures[128:])
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-6)
    noise = embed(torch.rand(128, 3, 32, 32) * 2 - 1)
    assert frechet_distance(one, noise) > 5 * frechet_distance(one, two) > 0
    near = picture_distance(pictures[:8], pictures[:8] + 0.05 * torch.randn(8, 3, 32, 32))
    assert (near < picture_distance(pictures[:8], pictures[8:16])).float().mean() > 0.8
    assert (picture_distance(pictures[:8], pictures[:8]) == 0).all()


def test_export_and_fidelity(targets: TargetMap, tmp_path: Path) -> None:
    model = _matched(targets, tmp_path, 2)
    model.mapping.measure_mean()
    export_model(model, tmp_path / "x.gen", "x")
    assert load_weights((tmp_path / "x.gen").read_bytes()).architecture == SMALL
    scores = fidelity(model, targets, count=64)
    assert scores["frechet"] > 0 and scores["floor"] > 0


def test_layers_are_cut_from_the_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "BARE_HEADS", ("1f468",))
    monkeypatch.setattr(data, "CLAD_HEADS", ("1f468-1f373",))
    monkeypatch.setattr(data, "BODIES", ("1f468-1f4bc",))
    for name in ("1f468", "1f468-200d-1f373", "1f468-200d-1f4bc"):
        first, *rest = name.split("-")
        for tone in data.TONES:
            file = "-".join([first, tone, *rest]) + ".webp"
            Image.new("RGBA", (256, 256), (200, 100, 50, 255)).save(tmp_path / file, lossless=True)
    portraits = load_portraits(32, tmp_path)
    assert portraits.heads.shape == (2, 5, 4, 32, 32) and portraits.bodies.shape == (1, 5, 4, 32, 32)
    alpha = portraits.bodies[0, 0, 3]
    assert (alpha[:21] == 0).all() and (alpha[24:] == 255).all()
    clad = portraits.heads[1, 0, 3]
    assert clad[6, 16] == 255 and clad[30, 16] == 0 and clad[20, 1] == 0
    (tmp_path / "1f468-1f3fd.webp").unlink()
    with pytest.raises(Malformed, match="1f468"):
        load_portraits(32, tmp_path)


def test_missing_npm_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputOutputError, match="npm"):
        data.fetch_package(tmp_path)
