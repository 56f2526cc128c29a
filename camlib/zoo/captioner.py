"""Captions: a network that says what it sees, one word after the other, and a camlib network for each of its words.

    captioner = Captioner(camlib.load_network("scenes-captions"))
    captioner.caption(picture)                                   # "a red circle left of a blue square"
    net = captioner.next_word("a red circle left of a")          # its logits: log P(word | picture, these words)
    camlib.explain(net, picture, "score-cam", target="blue")     # the map of a word

Wang et al. 2019 (eq. 8) score a word by f(I, S, s_k) = P(s_k | I, s_1 ... s_{k-1}). With the words before it held
fixed, that is a classifier whose classes are words, so every method of camlib makes maps of words.

Their map is printed as Σ Softmax(f) · A. f is a probability already: "score-cam" weighs with f itself, and
"score-cam-softmax" with ``score="probability"`` with a softmax of it over the channels, as printed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from camlib.data.scenes import WORDS, Scenes
from camlib.layers import unwrapped
from camlib.networks import Network
from camlib.pictures import Picture
from camlib.zoo.designs import design
from camlib.zoo.scenes import CHANNELS, PREPROCESS, PooledNetwork

STOP = "."
"""Ends a sentence; what stands before the first word, too."""
VOCABULARY = (STOP, *WORDS)
LONGEST = 9
"""Words of the longest sentence, with its stop: "a red circle left of a blue square ." """
_NUMBERS = {word: number for number, word in enumerate(VOCABULARY)}
_CLEAR = 0.125


# -- sentences and the scenes that they are made for


def words_of(sentence: str) -> list[int]:
    """Numbers of a sentence's words in VOCABULARY; no words for "". Raises ValueError for a word that is not there."""
    words = sentence.split()
    unknown = [word for word in words if word not in _NUMBERS]
    if unknown:
        raise ValueError(f"{unknown} in {sentence!r}: expected words of {', '.join(VOCABULARY)}.")
    return [_NUMBERS[word] for word in words]


def sentence_of(numbers: Sequence[int]) -> str:
    """The sentence that numbers of VOCABULARY spell, up to the first stop."""
    words = [VOCABULARY[number] for number in numbers]
    return " ".join(words[: words.index(STOP)] if STOP in words else words)


def lessons(sentences: Sequence[str]) -> Tensor:
    """Words of sentences with stops up to LONGEST behind them, int64 [N, LONGEST]."""
    rows = [words_of(sentence) for sentence in sentences]
    return torch.tensor([row + [_NUMBERS[STOP]] * (LONGEST - len(row)) for row in rows])


def unambiguous(scenes: Scenes) -> Tensor:
    """Scenes of one object, or of two whose every word names one of them, bool [N].

    The two differ in color and in shape, and lie clearly further apart along one axis than along the other: by an
    eighth of the side at least. Where both axes are nearly alike, "left of" and "above" are as true.
    """
    if scenes.shapes.shape[1] < 2:
        return scenes.counts == 1
    along = (scenes.centers[:, 0] - scenes.centers[:, 1]).abs()
    clear = (along[:, 0] - along[:, 1]).abs() >= _CLEAR * scenes.images.shape[-1]
    differ = (scenes.shapes[:, 0] != scenes.shapes[:, 1]) & (scenes.colors[:, 0] != scenes.colors[:, 1])
    return (scenes.counts == 1) | (scenes.counts == 2) & clear & differ


def true_sentences(scenes: Scenes) -> list[set[str]]:
    """What is true of each scene: its sentence, and the one that names its two objects the other way round."""
    # Opposite relations stand side by side: left of, right of, above, below.
    opposite = torch.where(scenes.relations < 0, scenes.relations, scenes.relations ^ 1)
    turned = replace(scenes, mentioned=scenes.mentioned.flip(1), relations=opposite)
    return [{one, other} for one, other in zip(scenes.sentences, turned.sentences, strict=True)]


# -- the network


class WhatAndWhere(nn.Module):
    """Maps [B, K, h, w] -> three numbers for each of M learned channels, [B, 3 M]: the largest value and its place.

    A 1 x 1 convolution with ReLU makes the channels, so that one can stand for "red and round". Of each the largest
    value is kept, what is there, and the center of its mass (x, y) in [-1, 1], where it is; 0 where there is nothing.
    Pooling alone would forget the places that "left of" is about; flattening would learn each thing anew at each place.
    """

    def __init__(self, channels: int, made: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, made, 1)

    def forward(self, maps: Tensor) -> Tensor:
        mixed = self.mix(maps).relu()
        rows, columns = (torch.linspace(-1, 1, n, dtype=maps.dtype, device=maps.device) for n in maps.shape[2:])
        mass = mixed.sum(dim=(2, 3)) + 1
        x, y = (mixed * columns).sum(dim=(2, 3)) / mass, (mixed * rows[:, None]).sum(dim=(2, 3)) / mass
        return torch.cat([mixed.amax(dim=(2, 3)), x, y], dim=1)


class CaptionNetwork(nn.Module):
    """A convolutional encoder and an LSTM that is given the picture with every word.

    Args:
        features: pictures [B, 3, H, W] -> maps [B, channels, h, w].
        channels: of the maps.
        made: channels of :class:`WhatAndWhere`, which makes 3 ``made`` numbers of the maps.
        embedded: length of a word's embedding.
        hidden: cells of the LSTM.
    """

    def __init__(
        self, features: nn.Module, channels: int, *, made: int = 128, embedded: int = 24, hidden: int = 160
    ) -> None:
        super().__init__()
        self.encoder = nn.Sequential(OrderedDict(features=features, summary=WhatAndWhere(channels, made)))
        self.embedding = nn.Embedding(len(VOCABULARY), embedded)
        self.cell = nn.LSTMCell(embedded + 3 * made, hidden)
        self.words = nn.Linear(hidden, len(VOCABULARY))

    def log_probabilities(self, seen: Tensor, said: Tensor) -> Tensor:
        """log P(next word | picture, words so far) behind the stop and behind each word, [B, T + 1, vocabulary].

        ``seen`` [B, S] is what the encoder makes of pictures, ``said`` int64 [B, T] (or [1, T]) are words: the
        lesson's own (teacher forcing) or those that the network has just said.
        """
        said = F.pad(said, (1, 0), value=_NUMBERS[STOP]).expand(len(seen), -1)
        state, made = None, []
        for word in said.unbind(dim=1):
            state = self.cell(torch.cat([self.embedding(word), seen], dim=1), state)
            made.append(self.words(state[0]))
        return torch.stack(made, dim=1).log_softmax(dim=2)

    def forward(self, inputs: Tensor) -> Tensor:
        """log P(first word | picture), [B, vocabulary]."""
        return self.log_probabilities(self.encoder(inputs), inputs.new_empty(1, 0, dtype=torch.long))[:, -1]


class NextWord(nn.Module):
    """A caption network behind fixed words: pictures [B, 3, H, W] -> log P(next word | picture, words)."""

    def __init__(self, captions: CaptionNetwork, said: Sequence[int]) -> None:
        super().__init__()
        self.captions = captions
        self.register_buffer("said", torch.tensor([list(said)], dtype=torch.long), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.captions.log_probabilities(self.captions.encoder(inputs), self.said)[:, -1]


@design("scenes-captions", class_names=VOCABULARY, preprocess=PREPROCESS, target_layer="encoder.features")
def scenes_captions() -> nn.Module:
    """The shape classifier's convolutions and an LSTM that says what is where."""
    return CaptionNetwork(PooledNetwork("gap").features, CHANNELS)


def word_loss(captions: CaptionNetwork, seen: Tensor, lesson: Tensor) -> Tensor:
    """Mean cross-entropy of lessons [B, LONGEST] up to their first stop, each word given the true words before it."""
    found = captions.log_probabilities(seen, lesson[:, :-1])
    stops = lesson == _NUMBERS[STOP]
    counted = stops.cumsum(dim=1) - stops.long() == 0
    return F.nll_loss(found[counted], lesson[counted])


# -- what to do with it


class Captioner:
    """A caption network in its :class:`camlib.Network`, which brings preprocessing, target layer and vocabulary.

    Raises TypeError for a network that is not a :class:`CaptionNetwork` inside.
    """

    def __init__(self, network: Network) -> None:
        if not isinstance(unwrapped(network.module), CaptionNetwork):
            raise TypeError(
                f"A Captioner takes a camlib.Network of a CaptionNetwork; given one of "
                f"{type(network.module).__name__}. camlib.load_network('scenes-captions') is one."
            )
        self.network = network

    def __repr__(self) -> str:
        return f"Captioner({self.network.name!r})"

    def caption(self, photo: Picture) -> str:
        """The sentence for one picture: the most probable word, again and again (greedy decoding)."""
        return self.captions(self.network.prepare(photo)[1][None])[0]

    def captions(self, inputs: Tensor) -> list[str]:
        """Sentences of a ready batch [B, 3, H, W]; one that has not stopped after LONGEST words is cut."""
        inputs = self.network.check_batch(inputs)
        said = torch.empty(len(inputs), 0, dtype=torch.long, device=inputs.device)
        with self.network.held() as module, torch.no_grad():
            seen = module.encoder(inputs)
            for _ in range(LONGEST):
                word = module.log_probabilities(seen, said)[:, -1].argmax(dim=1, keepdim=True)
                said = torch.cat([said, word], dim=1)
        return [sentence_of(row) for row in said.tolist()]

    def next_word(self, prefix: str = "") -> Network:
        """The classifier of the word behind ``prefix``; its logits are log P(word | picture, prefix) (eq. 8).

        A logit is a log-probability, so ``score-cam`` weighs a channel with eq. 8 itself, and gradient methods
        differentiate the log-probability, as Selvaraju et al. (2017) do for captions. The softmax that is printed below
        eq. 8 is ``camlib.explain(net, picture, "score-cam-softmax", target="blue", score="probability")``: nearly equal
        weights, and so nearly the sum of all feature maps. Classes are VOCABULARY.

        Raises ValueError for a word that is not in the vocabulary or a prefix that is already a whole sentence.
        """
        said = words_of(prefix)
        if STOP in prefix.split() or len(said) >= LONGEST:
            raise ValueError(f"Nothing comes after {prefix!r}: expected fewer than {LONGEST} words and no {STOP!r}.")
        module = NextWord(self.network.module, said).to(self.network.device)
        inner = self.network.target_layer
        layer = None if inner is None else f"captions.{inner}"
        return Network(module, layer, self.network.transform, VOCABULARY, f"{self.network.name} after {prefix!r}")

    def steps(self, sentence: str) -> list[tuple[str, str]]:
        """(prefix, word) for each word of a sentence: what :meth:`next_word` and ``target`` take."""
        words = [VOCABULARY[number] for number in words_of(sentence)]
        return [(" ".join(words[:k]), word) for k, word in enumerate(words)]
