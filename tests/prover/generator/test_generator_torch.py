"""The torch twin and the official weights against the integer renderer."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from huref.common.errors import Malformed, Unsupported  # noqa: E402
from huref.common.image.architecture import Architecture  # noqa: E402
from huref.common.image.fixed import standardize  # noqa: E402
from huref.common.image.generator import render_latent  # noqa: E402
from huref.common.image.weights_io import dump_weights, load_weights  # noqa: E402
from huref.prover.generator.export import export_generator  # noqa: E402
from huref.prover.generator.import_official import import_generator  # noqa: E402
from huref.prover.generator.model import Generator  # noqa: E402

F = torch.nn.functional
State = dict[str, "torch.Tensor"]


def _latent(seed: int) -> np.ndarray:
    return standardize([int(x) for x in np.random.default_rng(seed).integers(-(10**6), 10**6, 512)])


def _levels(picture: torch.Tensor) -> np.ndarray:
    return (picture[0] * 127.5 + 128).floor().clamp(0, 255).permute(1, 2, 0).numpy()


@torch.no_grad()
def test_twin_agrees_within_rounding() -> None:
    torch.manual_seed(3)
    model = Generator(Architecture((64, 48), (24, 20, 16, 12)))
    for block in model.synthesis.stack:
        for layer in (block.first, block.second):
            if layer is not None:
                peak = layer.weight.abs().amax((1, 2, 3), keepdim=True)
                layer.weight.copy_((layer.weight / peak * 127).round() * peak / 127)
                layer.bias.normal_(0, 0.2)
                layer.noise_strength.fill_(0.1)
    model.mapping.measure_mean()
    weights = load_weights(dump_weights(export_generator(model, "test", "none", truncation=0.75)))
    for seed in range(3):
        z = _latent(seed)
        twin = _levels(model(torch.from_numpy(z / 4096).float()[None], truncation=0.75))
        drawn = render_latent(z, weights)
        assert drawn.std() > 10
        assert np.abs(twin - drawn).max() <= 2
        assert np.abs(twin - drawn).mean() < 0.3


def _official_state(channels: tuple[int, ...], depth: int, seed: int) -> State:
    """Random tensors with the names and shapes of an official generator state dict, w_dim 512."""
    random = torch.Generator().manual_seed(seed)

    def normal(*shape: int, scale: float = 1.0) -> torch.Tensor:
        return torch.randn(*shape, generator=random) * scale

    state = {"mapping.w_avg": normal(512, scale=0.1)}
    for index in range(depth):
        state[f"mapping.fc{index}.weight"] = normal(512, 512, scale=100)
        state[f"mapping.fc{index}.bias"] = normal(512, scale=10)
    for level, outputs in enumerate(channels):
        size = 4 << level
        block = f"synthesis.b{size}."
        state[block + "resample_filter"] = torch.ones(4, 4) / 16
        if level == 0:
            state[block + "const"] = normal(outputs, 4, 4)
        names = {"conv1": outputs} if level == 0 else {"conv0": channels[level - 1], "conv1": outputs}
        for name, inputs in names.items():
            state[f"{block}{name}.weight"] = normal(outputs, inputs, 3, 3)
            state[f"{block}{name}.bias"] = normal(outputs, scale=0.1)
            state[f"{block}{name}.noise_const"] = normal(size, size)
            state[f"{block}{name}.noise_strength"] = torch.tensor(0.05)
            state[f"{block}{name}.resample_filter"] = torch.ones(4, 4) / 16
            state[f"{block}{name}.affine.weight"] = normal(inputs, 512, scale=0.3)
            state[f"{block}{name}.affine.bias"] = 1 + normal(inputs, scale=0.1)
        state[block + "torgb.weight"] = normal(3, outputs, 1, 1, scale=0.3)
        state[block + "torgb.bias"] = normal(3, scale=0.1)
        state[block + "torgb.affine.weight"] = normal(outputs, 512, scale=0.3)
        state[block + "torgb.affine.bias"] = 1 + normal(outputs, scale=0.1)
    return state


def _filtered(x: torch.Tensor, pads: tuple[int, int]) -> torch.Tensor:
    kernel = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64 * 4
    x = F.pad(x, (pads[0], pads[1], pads[0], pads[1]))
    return F.conv2d(x.transpose(0, 1), kernel[None, None]).transpose(0, 1)


def _direct(state: State, z: torch.Tensor, depth: int, levels: int, psi: float) -> torch.Tensor:
    """StyleGAN2 as published: weights modulated and demodulated per sample, convolved, filtered."""

    def dense(name: str, x: torch.Tensor, rate: float = 1.0) -> torch.Tensor:
        weight = state[name + ".weight"] * (rate / math.sqrt(x.shape[1]))
        return x @ weight.T + state[name + ".bias"] * rate

    w = z / z.square().mean(1, keepdim=True).sqrt()
    for index in range(depth):
        w = F.leaky_relu(dense(f"mapping.fc{index}", w, 0.01), 0.2) * math.sqrt(2)
    w = state["mapping.w_avg"] + psi * (w - state["mapping.w_avg"])
    x, picture = state["synthesis.b4.const"][None], None
    for level in range(levels):
        block = f"synthesis.b{4 << level}."
        for name in ("conv0", "conv1"):
            layer = block + name
            if layer + ".weight" not in state:
                continue
            weight = state[layer + ".weight"] * dense(layer + ".affine", w)[0][None, :, None, None]
            weight = weight / weight.square().sum((1, 2, 3), keepdim=True).sqrt()
            if name == "conv0":
                x = _filtered(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), (1, 1))
            else:
                x = F.conv2d(x, weight, padding=1)
            x = x + state[layer + ".noise_const"] * state[layer + ".noise_strength"]
            x = F.leaky_relu(x + state[layer + ".bias"][:, None, None], 0.2) * math.sqrt(2)
        style = dense(block + "torgb.affine", w)[0] / math.sqrt(x.shape[1])
        rgb = F.conv2d(x, state[block + "torgb.weight"] * style[None, :, None, None])
        rgb = rgb + state[block + "torgb.bias"][:, None, None]
        if picture is not None:
            spread = torch.zeros(1, 3, 2 * picture.shape[2], 2 * picture.shape[3])
            spread[:, :, ::2, ::2] = picture
            rgb = rgb + _filtered(spread, (2, 1))
        picture = rgb
    assert picture is not None
    return picture


@torch.no_grad()
def _compare_with_direct(channels: tuple[int, ...], depth: int) -> tuple[np.ndarray, np.ndarray]:
    state = _official_state(channels, depth, seed=8)
    model = import_generator(state)
    z = _latent(9)
    latent = torch.from_numpy(z / 4096).float()[None]
    direct = _direct(state, latent, depth, len(channels), 0.7)
    assert torch.allclose(model(latent, truncation=0.7), direct, atol=2e-3)
    drawn = render_latent(z, export_generator(model, "official", "test", truncation=0.7))
    return drawn, _levels(direct)


def test_official_weights_draw_what_the_published_network_draws() -> None:
    drawn, wanted = _compare_with_direct((64, 64, 48, 32), depth=3)
    assert drawn.std() > 10
    assert np.abs(drawn - wanted).mean() < 2
    assert np.corrcoef(drawn.ravel(), wanted.ravel())[0, 1] > 0.995


@pytest.mark.slow
def test_official_512_pixel_shapes() -> None:
    drawn, wanted = _compare_with_direct((512, 512, 512, 512, 512, 256, 128, 64), depth=8)
    assert drawn.shape == (512, 512, 3)
    assert np.abs(drawn - wanted).mean() < 2
    assert np.corrcoef(drawn.ravel(), wanted.ravel())[0, 1] > 0.99


def test_other_state_dicts_are_refused() -> None:
    state = _official_state((8, 8), depth=2, seed=1)
    import_generator(state)
    with pytest.raises(Malformed, match=r"conv0\.noise_const"):
        import_generator({k: v for k, v in state.items() if k != "synthesis.b8.conv0.noise_const"})
    with pytest.raises(Malformed, match="extra"):
        import_generator({**state, "extra": torch.zeros(1)})
    with pytest.raises(Malformed, match="shape"):
        import_generator({**state, "synthesis.b8.torgb.bias": torch.zeros(4)})
    with pytest.raises(Malformed, match="not a StyleGAN2"):
        import_generator({"weight": torch.zeros(2)})
    with pytest.raises(Unsupported, match="conditional"):
        import_generator({**state, "mapping.embed.weight": torch.zeros(2)})
    with pytest.raises(Unsupported, match="512"):
        import_generator({**state, "mapping.fc0.weight": torch.zeros(512, 128)})
