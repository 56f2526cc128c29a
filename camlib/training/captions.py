"""A captioner of scenes: the encoder starts from a classifier of shapes, the LSTM learns sentences word by word."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from camlib.data.scenes import Scenes, make_scenes
from camlib.networks import Network
from camlib.training.fitting import Batch, fit
from camlib.training.recipes import Run, recipe
from camlib.training.scenes import TEST_SCENES
from camlib.zoo.captioner import VOCABULARY, Captioner, lessons, true_sentences, unambiguous, word_loss
from camlib.zoo.scenes import PREPROCESS, SIZE, scene_inputs
from camlib.zoo.trained import kept_weights

_TEST_FAMILY = 2 * 10**9  # seeds from here on are never trained on
_DRAWN = {1: 16, 2: 104}  # scenes of one and of two objects a step; about 48 of these are unambiguous
_STEPS = 2000
STARTS_FROM = "scenes-gap"


def caption_scenes(indices: int | range, seed: int, objects: tuple[int, int] = (1, 2)) -> Scenes:
    """Those of the scenes with these numbers for which one sentence (or its reverse) is the true one.

    Objects do not overlap, and the two of a scene differ in color and shape: see :func:`unambiguous`.
    """
    return make_scenes(indices, seed, size=SIZE, objects=objects, occlusion=0, repeat=0, chosen=unambiguous)


def caption_accuracy(module: nn.Module, seed: int) -> float:
    """Share of scenes of two objects, unseen in training, whose caption is true to the last word."""
    scenes = caption_scenes(TEST_SCENES, _TEST_FAMILY + seed, objects=(2, 2))
    captioner = Captioner(Network(module, transform=PREPROCESS, class_names=VOCABULARY))
    said = [sentence for x in scene_inputs(scenes).split(250) for sentence in captioner.captions(x)]
    return sum(one in true for one, true in zip(said, true_sentences(scenes), strict=True)) / len(said)


def _caption_batches(seed: int) -> Callable[[int], Batch]:
    """Scenes with one of their true sentences, a quarter of one object; which of two objects comes first is drawn."""

    def draw(step: int) -> Batch:
        parts = [
            caption_scenes(range(step * count, (step + 1) * count), 2 * seed + objects, (objects, objects))
            for objects, count in _DRAWN.items()
        ]
        inputs = torch.cat([scene_inputs(part) for part in parts])
        return inputs, lessons([sentence for part in parts for sentence in part.sentences])

    return draw


@recipe("scenes-captions", test=caption_accuracy, accuracy=0.9, after=[STARTS_FROM], minutes=4)
def train(module: nn.Module, run: Run) -> Mapping[str, Any]:
    """Teacher forcing: each word is learned given the true words before it. All of the network is trained."""
    state = kept_weights(STARTS_FROM)
    features = {key.removeprefix("features."): v for key, v in state.items() if key.startswith("features.")}
    module.encoder.features.load_state_dict(features)
    module.to(memory_format=torch.channels_last)  # faster on a CPU
    loss = fit(
        module.encoder,
        _caption_batches(run.seed + 3000),
        _STEPS,
        run,
        rate=4e-3,
        parameters=module.parameters(),
        loss=partial(word_loss, module),
    )
    facts = {"steps": _STEPS, "scenes drawn": _STEPS * sum(_DRAWN.values()), "loss": round(loss, 4)}
    return facts | {"starts from": STARTS_FROM}
