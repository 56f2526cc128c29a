"""The README's own code does what its comments say."""

import re

from PIL import Image

import camlib
from camlib import paths

BLOCKS = re.findall(r"```python\n(.*?)```", (paths.ROOT / "README.md").read_text(encoding="utf-8"), re.S)


def test_printed_lines_are_what_the_comments_say(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(BLOCKS[0], names)
    expected = re.findall(r"^print\(.*\)  # (.*)$", BLOCKS[0], re.M)
    assert len(expected) == 3
    assert capsys.readouterr().out.splitlines() == expected
    with Image.open("map.png") as kept:
        assert (kept.size, kept.mode) == ((224, 224), "RGB")
    heat = names["e"].heatmap
    y, x = divmod(int(heat.argmax()), heat.shape[1])
    assert any(x0 <= x < x1 and y0 <= y < y1 for x0, y0, x1, y1 in names["boxes"])
    assert [(row.picture, row.method) for row in names["rows"]] == [
        (picture, method) for picture in (0, 1) for method in ("grad-cam", "sca-cam") for _ in range(2)
    ]


def test_method_of_the_readme_registers_and_runs():
    block = next(block for block in BLOCKS if "@camlib.method" in block)
    exec(block, {"camlib": camlib, "__name__": "readme"})
    try:
        e = camlib.explain(camlib.load_network("efficientnet-lite0"), camlib.load_photo("goose"), "my-cam")
        assert e.weights.shape == (1280,)
        assert not e.degenerate
    finally:
        from camlib import registry

        del registry._methods["my-cam"]
