"""A small explorer for the notebook: picture, class, layer and method, with the heatmap following every choice."""

from __future__ import annotations

import base64
import html
import io
import re
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import ipywidgets as widgets
from matplotlib import colormaps
from matplotlib.colors import to_hex
from PIL import Image, UnidentifiedImageError
from torch import nn

from camlib import plots
from camlib.data.photographs import list_photos, load_photo
from camlib.explanation import DegenerateMapWarning, Explanation, explain
from camlib.layers.parts import unwrapped
from camlib.networks import Network
from camlib.pictures import Picture, to_pil
from camlib.registry import METHODS, find_method
from camlib.zoo.pretrained import load_network

LITE = ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2")
"""Networks whose weights come with a package."""
_OWN = "your own picture"
_DEFAULT_LAYER = ""  # a dropdown shows nothing for None


@cache
def _network(name: str) -> Network:
    return load_network(name)


class Explorer:
    """Live view of one explanation: change the picture, the class, the layer or the method and the map follows.

    ``Explorer()`` shows itself as the last expression of a cell. ``explanation`` is the
    :class:`camlib.Explanation` on display, so that a notebook can go on with it; ``widget`` is the ipywidgets box.
    The upload button takes any photograph. ``opacity`` is that of the hottest places. "Save" writes overlay, raw map
    and record of what is on display into the folder of the notebook; "reset" goes back to the beginning.

    A choice that cannot be explained leaves the picture before it on display, pale, and says why in red.

    Args:
        networks: names for :func:`camlib.load_network`, networks of one's own (:class:`camlib.Network`) or modules; or
            one of them.
        methods: names to offer; None offers all of ``camlib.METHODS``, also those a reader has added.
        photos: names for :func:`camlib.load_photo`, files or pictures; None offers all photographs of the package.

    Raises ValueError for no network, no method or no photograph, and for names that nobody knows.
    """

    def __init__(
        self,
        networks: Sequence[str | Network | nn.Module] | str | Network | nn.Module = LITE,
        methods: Sequence[str] | None = None,
        photos: Sequence[str | Picture] | None = None,
    ) -> None:
        self._networks = _named(networks, "network")
        self._photos = _named(list_photos() if photos is None else photos, "picture")
        self._methods = [find_method(name) for name in (METHODS if methods is None else methods)]
        self._make_controls()
        self.explanation: Explanation | None = None
        self._own: Image.Image | None = None
        choices = [self.photo, self.upload, self.network, self.target, self.other, self.layer, self.method]
        self.widget = widgets.HBox(
            [
                widgets.VBox([*choices, self.opacity, widgets.HBox([self.save, self.reset])]),
                widgets.VBox([self.view, widgets.HTML(_bar()), self.message]),
            ],
            layout=widgets.Layout(flex_flow="row wrap"),
        )
        self._quiet = False
        self._begin()
        self._watch()

    def _repr_mimebundle_(self, **kwargs: object) -> dict:
        picture = base64.b64encode(self.view.value).decode()  # for pages without a kernel
        return self.widget._repr_mimebundle_(**kwargs) | {"image/png": picture}

    def _make_controls(self) -> None:
        """Everything that a reader may change, and what shows the answer."""
        wide = widgets.Layout(width="300px")
        self.photo = widgets.Dropdown(options=tuple(self._photos), description="picture", layout=wide)
        self.upload = widgets.FileUpload(accept="image/*", multiple=False, description="own picture", layout=wide)
        self.network = widgets.Dropdown(options=tuple(self._networks), description="network", layout=wide)
        self.target = widgets.Dropdown(description="class", layout=wide)
        self.other = widgets.Text(
            description="other class", placeholder="tiger cat", continuous_update=False, layout=wide
        )
        self.layer = widgets.Dropdown(description="layer", layout=wide)
        self.method = widgets.Dropdown(description="method", layout=wide)
        self.opacity = widgets.FloatSlider(
            value=plots.OPACITY, min=0.1, max=1, step=0.05, description="opacity", continuous_update=False, layout=wide
        )
        self.save = widgets.Button(description="save", tooltip="overlay, raw map and record, into this folder")
        self.reset = widgets.Button(description="reset", tooltip="first picture, most probable class, last layer")
        self.view = widgets.Image(format="png", layout=widgets.Layout(width="720px"))
        self.message = widgets.HTML()

    def _begin(self) -> None:
        """What a new explorer shows."""
        self._quiet = True
        self.photo.value = _preferred(self.photo.options, "bull-mastiff")
        self.network.value, self.opacity.value = self.network.options[0], plots.OPACITY
        if self.method.options:
            self.method.value = _preferred(self.method.options, "grad-cam")
        self._new_network()

    def _watch(self) -> None:
        self.upload.observe(lambda _: self._uploaded(), "value")
        self.photo.observe(lambda _: self._new_picture(), "value")
        self.network.observe(lambda _: self._new_network(), "value")
        self.target.observe(lambda _: self._chosen(), "value")
        for control in (self.other, self.layer, self.method):
            control.observe(lambda _: self._refresh(), "value")
        self.opacity.observe(lambda _: self._draw(), "value")
        self.save.on_click(lambda _: self._saved())
        self.reset.on_click(lambda _: self._begin())

    def _picture(self) -> Image.Image | Picture:
        if self.photo.value == _OWN:
            return self._own
        photo = self._photos[self.photo.value]
        return load_photo(photo) if isinstance(photo, str) else photo

    def _net(self) -> Network:
        net = self._networks[self.network.value]
        return _network(net) if isinstance(net, str) else net

    def _uploaded(self) -> None:
        if not self.upload.value:
            return
        try:
            self._own = to_pil(Image.open(io.BytesIO(bytes(self.upload.value[0]["content"]))))
        except OSError as error:
            name = self.upload.value[0]["name"]
            reason = "its bytes are no picture" if isinstance(error, UnidentifiedImageError) else str(error)
            self._refuse(f"{name} cannot be read as a picture: {reason}.")
            return
        self.photo.options = [*self._photos, _OWN]
        if self.photo.value == _OWN:
            self._new_picture()
        self.photo.value = _OWN

    def _new_network(self) -> None:
        """Offer the stages of the chosen network, then everything below it anew."""
        net = self._net()
        self._quiet = True
        self.layer.options = [
            (net.layer_title(), _DEFAULT_LAYER),
            *((layer.title(), layer.name) for layer in net.layers(depth=2)),
        ]
        self.layer.value = _DEFAULT_LAYER
        kind, before = type(unwrapped(net.module)).__name__, self.method.value
        offered = [m.name for m in self._methods if m.architecture in ("", kind)]
        self.method.options = offered or [m.name for m in self._methods]
        self.method.value = _preferred(self.method.options, before or "grad-cam")
        self._quiet = False
        self._new_picture()

    def _new_picture(self) -> None:
        """Offer the ten most probable classes of the chosen picture."""
        if self._quiet:
            return
        predictions = self._net().predict(self._picture(), top=10)
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
        typed = self.other.value.strip()
        target = int(typed) if typed.isdecimal() else typed or self.target.value
        self._say(f"{self.method.value} …")  # seconds, where a method masks the picture
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DegenerateMapWarning)  # the reason is shown under the picture
                self.explanation = explain(
                    self._net(),
                    self._picture(),
                    self.method.value,
                    target,
                    self.layer.value or None,
                )
        except ValueError as error:
            self._refuse(str(error))
            return
        self._draw()
        self._say(_sentence(self.explanation))

    def _draw(self) -> None:
        if not self._quiet and self.explanation is not None:
            self.view.value = _png(self.explanation, self.opacity.value)

    def _saved(self) -> None:
        """Write what is on display; say where, or why not."""
        words = (self.photo.value, self.explanation.method, self.explanation.target_name)
        stem = re.sub(r"[^\w+-]+", "-", "_".join(map(str, words))).strip("-")
        try:
            self.explanation.save(f"{stem}.png", opacity=self.opacity.value)
            self.explanation.save(f"{stem}.npy")
            self.explanation.save(f"{stem}.json")
        except OSError as error:
            self._say(f"Not saved: {error}.", ";color:#b00020;font-weight:bold")
            return
        self._say(f"{stem}.png, .npy and .json are written. {_sentence(self.explanation)}")

    def _say(self, text: str, style: str = "") -> None:
        self.message.value = f"<div style='max-width:720px{style}'>{html.escape(text)}</div>"

    def _refuse(self, text: str) -> None:
        """Say in red what cannot be done, above nothing that could be taken for its result."""
        if self.explanation is not None:
            self.view.value = _png(self.explanation, self.opacity.value, pale=True)
        self._say(text, ";color:#b00020;font-weight:bold")


def _named(given: object, kind: str) -> dict[str, object]:
    """What a dropdown offers, by title; ValueError where nothing is given."""
    several = list(given) if isinstance(given, list | tuple) else [given]
    found: dict[str, object] = {}
    for number, one in enumerate(several):
        if kind == "network" and isinstance(one, nn.Module):
            one = Network(one)
        own = one.name if isinstance(one, Network) else f"picture {number + 1}"
        title = Path(one).name if isinstance(one, Path) else one if isinstance(one, str) else own
        found[title if title not in found else f"{title} ({number + 1})"] = str(one) if isinstance(one, Path) else one
    if not found:
        raise ValueError(f"An explorer needs at least one {kind}.")
    return found


def _preferred(options: Sequence[str], name: str) -> str:
    """The name where it is offered, else the first."""
    return name if name in options else options[0]


def _bar() -> str:
    """The colors of the overlay and what they mean."""
    colors = ", ".join(to_hex(colormaps[plots.COLORMAP](share)) for share in (0, 0.25, 0.5, 0.75, 1))
    line = f"width:200px;height:10px;background:linear-gradient(to right, {colors})"
    words = "share of this map's maximum; the line is its half"
    return f"<div style='display:flex;gap:8px;align-items:center'>0<div style='{line}'></div>1 {words}</div>"


def _png(explanation: Explanation, opacity: float, pale: bool = False) -> bytes:
    """Photograph and overlay side by side as PNG bytes; pale where it is not what was asked for."""
    buffer = io.BytesIO()
    pair = plots.overlays.pair_picture(explanation.image, explanation.heatmap, opacity=opacity)
    (Image.blend(pair, Image.new("RGB", pair.size, "white"), 0.75) if pale else pair).save(buffer, "png")
    return buffer.getvalue()


def _sentence(explanation: Explanation) -> str:
    kind = METHODS[explanation.method]
    text = (
        f"{kind.title} ({kind.source}): {kind.summary}. Class {explanation.target} "
        f"{explanation.target_name!r}, probability {explanation.probability:.3f}, layer {explanation.layer}, "
        f"map {plots.TIMES.join(map(str, explanation.raw.shape))}."
    )
    return f"{text} The map is all zero: {explanation.reason}." if explanation.degenerate else text
