"""A small explorer for the notebook: picture, class, layer and method, with the heatmap following every choice."""

from __future__ import annotations

import html
import io
import warnings
from functools import cache

import ipywidgets as widgets
from PIL import Image

from camlib import plots
from camlib.data.photographs import list_photos, load_photo
from camlib.explanation import DegenerateMapWarning, Explanation, explain
from camlib.networks import Network
from camlib.pictures import to_pil
from camlib.registry import METHODS
from camlib.zoo.pretrained import load_network

_OWN = "your own picture"
_DEFAULT_LAYER = ""  # a dropdown shows nothing for None


@cache
def _network(name: str) -> Network:
    return load_network(name)


class Explorer:
    """Live view of one explanation: change the picture, the class, the layer or the method and the map follows.

    ``Explorer()`` shows itself as the last expression of a cell. ``explanation`` is the
    :class:`camlib.Explanation` on display, so that a notebook can go on with it; ``widget`` is the ipywidgets box.
    The upload button takes any photograph.

    Args:
        networks: names for :func:`camlib.load_network`.
        methods: names to offer; None offers all of ``camlib.METHODS``, also those a reader has added.
    """

    def __init__(
        self,
        networks: tuple[str, ...] = ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2"),
        methods: tuple[str, ...] | None = None,
    ) -> None:
        wide = widgets.Layout(width="300px")
        self.photo = widgets.Dropdown(options=list_photos(), value="bull-mastiff", description="picture", layout=wide)
        self.upload = widgets.FileUpload(accept="image/*", multiple=False, description="own picture", layout=wide)
        self.network = widgets.Dropdown(options=networks, description="network", layout=wide)
        self.target = widgets.Dropdown(description="class", layout=wide)
        self.other = widgets.Text(
            description="other class", placeholder="tiger cat", continuous_update=False, layout=wide
        )
        self.layer = widgets.Dropdown(description="layer", layout=wide)
        self.method = widgets.Dropdown(
            options=methods or tuple(METHODS), value="grad-cam", description="method", layout=wide
        )
        self.view = widgets.Image(format="png", layout=widgets.Layout(width="720px"))
        self.message = widgets.HTML()
        self.explanation: Explanation | None = None
        self._own: Image.Image | None = None
        controls = [self.photo, self.upload, self.network, self.target, self.other, self.layer, self.method]
        self.widget = widgets.HBox(
            [widgets.VBox(controls), widgets.VBox([self.view, self.message])],
            layout=widgets.Layout(flex_flow="row wrap"),
        )
        self._quiet = False
        self._new_network()
        self._watch()

    def _repr_mimebundle_(self, **kwargs: object) -> dict:
        return self.widget._repr_mimebundle_(**kwargs)

    def _watch(self) -> None:
        self.upload.observe(lambda _: self._uploaded(), "value")
        self.photo.observe(lambda _: self._new_picture(), "value")
        self.network.observe(lambda _: self._new_network(), "value")
        self.target.observe(lambda _: self._chosen(), "value")
        for control in (self.other, self.layer, self.method):
            control.observe(lambda _: self._refresh(), "value")

    def _picture(self) -> Image.Image:
        return self._own if self.photo.value == _OWN else load_photo(self.photo.value)

    def _uploaded(self) -> None:
        if not self.upload.value:
            return
        try:
            self._own = to_pil(Image.open(io.BytesIO(bytes(self.upload.value[0]["content"]))))
        except OSError as error:
            self._say(f"This file cannot be read as a picture: {error}.")
            return
        self.photo.options = [*list_photos(), _OWN]
        if self.photo.value == _OWN:
            self._new_picture()
        self.photo.value = _OWN

    def _new_network(self) -> None:
        """Offer the stages of the chosen network, then everything below it anew."""
        net = _network(self.network.value)
        self._quiet = True
        self.layer.options = [
            (net.layer_title(), _DEFAULT_LAYER),
            *((layer.title(), layer.name) for layer in net.layers(depth=2)),
        ]
        self.layer.value = _DEFAULT_LAYER
        self._quiet = False
        self._new_picture()

    def _new_picture(self) -> None:
        """Offer the ten most probable classes of the chosen picture."""
        if self._quiet:
            return
        predictions = _network(self.network.value).predict(self._picture(), top=10)
        self._quiet = True
        self.target.options = [(f"{name}  {100 * p:.1f} %", index) for index, name, p in predictions]
        self.target.value = predictions[0][0]
        self.other.value = ""
        self._quiet = False
        self._refresh()

    def _chosen(self) -> None:
        """A class picked from the list takes the place of one typed before."""
        if not self._quiet and self.other.value:
            self.other.value = ""
        else:
            self._refresh()

    def _refresh(self) -> None:
        if self._quiet:
            return
        target = self.other.value.strip() or self.target.value
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DegenerateMapWarning)  # the reason is shown under the picture
                self.explanation = explain(
                    _network(self.network.value),
                    self._picture(),
                    self.method.value,
                    target,
                    self.layer.value or None,
                )
        except ValueError as error:
            self._say(str(error))
            return
        self.view.value = _png(self.explanation)
        self._say(_sentence(self.explanation))

    def _say(self, text: str) -> None:
        self.message.value = f"<div style='max-width:720px'>{html.escape(text)}</div>"


def _png(explanation: Explanation) -> bytes:
    """Photograph and overlay side by side as PNG bytes."""
    buffer = io.BytesIO()
    plots.overlays.pair_picture(explanation.image, explanation.heatmap).save(buffer, "png")
    return buffer.getvalue()


def _sentence(explanation: Explanation) -> str:
    kind = METHODS[explanation.method]
    text = (
        f"{kind.title} ({kind.source}): {kind.summary}. Class {explanation.target} "
        f"{explanation.target_name!r}, probability {explanation.probability:.3f}, layer {explanation.layer}, "
        f"map {plots.TIMES.join(map(str, explanation.raw.shape))}."
    )
    return f"{text} The map is all zero: {explanation.reason}." if explanation.degenerate else text
