"""The slider that works without a kernel: its HTML read back by a parser, its frames by a decoder."""

import io
from base64 import b64decode
from html.parser import HTMLParser

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from PIL import Image

from camlib import plots
from camlib.compendium.notebook_cleaner import clean, problems

RAMP = np.linspace(0, 1, 48)[None, :, None] * np.ones((32, 1, 3))


class Page(HTMLParser):
    """Elements of a piece of HTML with their attributes, its style sheet and its visible text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.style, self.text, self.open = [], "", "", []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in ("img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] == ["style"]:
            self.style += data
        else:
            self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def read(made):
    return Page(made._repr_html_())


def test_every_frame_is_a_picture_with_a_button_and_the_first_is_chosen():
    made = plots.slider([RAMP * k / 3 for k in range(4)], [0, 0.5, "<1 & 2>", "λ = 2"], "The map fades.", start=2)
    page = read(made)
    assert page.open == []
    pictures, buttons = page.all("img"), page.all("input")
    assert [picture["title"] for picture in pictures] == ["0", "0.5", "<1 & 2>", "λ = 2"]
    assert pictures[3]["alt"] == "The map fades. λ = 2"
    assert ["checked" in button for button in buttons] == [False, False, True, False]
    assert [label["for"] for label in page.all("label")] == [button["id"] for button in buttons]
    assert len({button["name"] for button in buttons}) == 1 == len({button["type"] for button in buttons})
    assert page.text.split() == ["0", "0.5", "<1", "&", "2>", "λ", "=", "2", "The", "map", "fades."]
    for k, picture in enumerate(pictures):
        kind, _, content = picture["src"].partition(",")
        assert kind == "data:image/webp;base64"
        values = np.asarray(Image.open(io.BytesIO(b64decode(content)))) / 255
        assert np.abs(values - RAMP * k / 3).max() < 0.04


def test_style_hides_all_frames_but_the_chosen_one():
    page = read(plots.slider([RAMP, RAMP / 2, RAMP / 4], "abc"))
    name = page.all("div")[0]["id"]
    assert f"#{name} .frames img{{display:none" in page.style
    for k in (1, 2, 3):
        assert f"#{name} input:nth-of-type({k}):checked~.frames img:nth-of-type({k}){{display:block}}" in page.style
    assert "nth-of-type(4)" not in page.style


def test_without_its_style_nothing_hides_a_frame_and_nothing_is_fetched():
    """Where <style> and inputs are stripped, as on GitHub, labels, pictures and caption are left."""
    made = plots.slider([RAMP, RAMP / 2], ["layer 1", "layer 2"], "Later is coarser.")
    page = read(made)
    assert all(set(picture) == {"width", "alt", "title", "src"} for picture in page.all("img"))
    assert not page.all("script")
    assert "http" not in made._repr_html_()


def test_the_same_frames_give_the_same_bytes_and_others_another_name():
    one, same, other = (plots.slider([RAMP, RAMP / k], "ab")._repr_html_() for k in (2, 2, 3))
    assert one == same
    assert read(plots.slider([RAMP, RAMP / 2], "ab", start=1)).all("div")[0]["id"] != Page(one).all("div")[0]["id"]
    assert Page(one).all("div")[0]["id"] != Page(other).all("div")[0]["id"]


def test_figures_are_drawn_at_one_width_and_closed():
    figures = []
    for k in range(2):
        figures.append(plots.figure(2.0))
        figures[-1].subplots().plot([0, k])
    made = plots.slider(figures, ["flat", "steep"])
    assert [Image.open(io.BytesIO(frame)).size for frame in made.frames] == [(1080, 216)] * 2
    assert plt.get_fignums() == []


def test_wide_pictures_are_made_smaller():
    wide = Image.new("RGB", (2160, 540), "red")
    made = plots.slider([wide, wide], "ab")
    assert {Image.open(io.BytesIO(frame)).size for frame in made.frames} == {(1080, 270)}


def test_a_notebook_with_it_is_clean():
    made = plots.slider([RAMP, RAMP / 2], ["a", "b"], "Two frames.")
    data = {"text/html": made._repr_html_(), "text/plain": repr(made)}
    output = nbformat.v4.new_output("execute_result", data, execution_count=1)
    cell = nbformat.v4.new_code_cell("slider", outputs=[output], execution_count=1)
    cell.metadata["tags"] = ["nbval-ignore-output"]
    notebook = nbformat.v4.new_notebook(cells=[cell])
    assert problems(notebook) == []
    cleaned = clean(notebook).cells[0]
    assert cleaned.outputs[0].data == data
    assert cleaned.metadata.tags == ["nbval-ignore-output"]
    assert repr(made) == "Slider of 2 frames (a, b): Two frames."


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([RAMP], ["a"]), "1 frames and 1 labels"),
        (([RAMP, RAMP], ["a"]), "2 frames and 1 labels"),
        (([RAMP, RAMP[:, :9]], "ab"), "several sizes"),
        (([RAMP * 3, RAMP], "ab"), r"lies in \[0, 3\]"),
    ],
)
def test_what_cannot_be_a_slider_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        plots.slider(*arguments)


def test_a_frame_that_does_not_exist_and_too_many_bytes_are_refused():
    with pytest.raises(ValueError, match="start=2"):
        plots.slider([RAMP, RAMP], "ab", start=2)
    noise = np.random.default_rng(0).integers(0, 256, (2, 700, 1000, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match="300,000"):
        plots.slider(list(noise), "ab")
