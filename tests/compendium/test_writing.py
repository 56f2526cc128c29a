"""camlib.compendium.writing: pictures under the limit, tables whose cells say what they are."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from helpers import ITEM_FACTS
from PIL import Image

from camlib.compendium import manifest, writing


def test_photographs_are_squeezed_under_the_limit(folder):
    noise = np.random.default_rng(0).uniform(size=(400, 600, 3))
    smooth = np.stack([np.linspace(0, 1, 600)[None].repeat(400, 0)] * 3, -1)
    figure = plt.figure(figsize=(4, 2.67), layout="none")
    figure.add_axes((0, 0, 1, 1)).imshow(0.8 * smooth + 0.2 * noise)
    manifest.save(figure, "sca-fig-12", **ITEM_FACTS)
    path = folder / "figures/sca/sca-fig-12.png"
    assert path.stat().st_size <= writing.LARGEST_PNG
    with Image.open(path) as picture:
        middle = picture.convert("RGB").getpixel((picture.width // 2, picture.height // 2))
    assert np.allclose(middle, 0.5 * 255, atol=45)
    plt.close(figure)


def test_a_picture_that_stays_too_large_is_refused(folder, figure, monkeypatch):
    monkeypatch.setattr(writing, "LARGEST_PNG", 500)
    with pytest.raises(ValueError, match="show fewer or smaller photographs"):
        manifest.save(figure, "sca-fig-12", **ITEM_FACTS)
    assert manifest.manifest() == {}
