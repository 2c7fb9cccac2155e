"""The commands `export` and `import`."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

pytest.importorskip("bioimageio.core")
pytest.importorskip("onnxruntime")

from napari_unet.cli import load_app
from napari_unet.model import load_model
from tests.bioimageio.packages import package_of_others
from tests.inference.models import FLAT, model

app = load_app()

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def run(*args):
    result = CliRunner().invoke(app, list(map(str, args)))
    return result.exit_code, " ".join(result.output.split())


def test_out_and_in_again(tmp_path):
    trained, image = model(FLAT), np.random.default_rng(0).normal(0.5, 0.3, (150, 160))
    trained.save(tmp_path / "m.safetensors")
    tifffile.imwrite(tmp_path / "i.tif", image.astype(np.float32))

    package, again = tmp_path / "p.zip", tmp_path / "again.safetensors"
    said = ["--name", "My cells", "--author", "A", "--author", "B", "--image", tmp_path / "i.tif"]
    code, text = run("export", tmp_path / "m.safetensors", package, *said)
    assert (code, text) == (0, f"Wrote {package}.")
    code, text = run("import", package, again)
    assert code == 0, text
    assert load_model(again).digest == trained.digest


def test_a_package_of_others_becomes_a_model_that_predicts(tmp_path):
    path = package_of_others(model(FLAT), tmp_path, lambda about: about["weights"].pop("onnx"))
    imported, image = tmp_path / "m.safetensors", tmp_path / "i.tif"
    tifffile.imwrite(image, np.random.default_rng(0).normal(0.5, 0.3, (40, 50)).astype(np.float32))

    code, text = run("import", path, imported)
    assert code == 1
    assert text.startswith("Error: The package has only TorchScript weights.")
    code, text = run("import", path, imported, "--torchscript")
    assert code == 0, text
    assert text.startswith("imported: segmentation in 2D by napari-unet; saved")
    code, text = run("predict", imported, image, "-o", tmp_path / "out.tif")
    assert code == 0, text
    assert tifffile.imread(tmp_path / "out.tif").shape == (40, 50)
    code, text = run("info", imported)
    assert code == 0, text


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("import", "none.zip", "m.safetensors"), "Error: There is no model package"),
        (("export", "none.safetensors", "p.zip"), "Error: There is no such model file"),
    ],
)
def test_errors_are_one_line(args, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, text = run(*args)
    assert code == 1
    assert text.startswith(says)


def test_a_package_is_not_a_model_file(tmp_path):
    from napari_unet.bioimageio.export import export_bioimageio
    from napari_unet.errors import ModelFileError

    path = export_bioimageio(model(FLAT), tmp_path / "p.zip")
    with pytest.raises(ModelFileError, match="napari-unet import"):
        load_model(path)
