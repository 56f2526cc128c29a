"""Captions: sentences against geometry, the LSTM against torch's own, eq. 8 against a literal loop, kept weights."""

import math
from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from helpers import network, picture, seeded
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import camlib
from camlib import training
from camlib.data.scenes import COLORS, SHAPES, make_scenes
from camlib.training.captions import caption_scenes
from camlib.zoo.captioner import (
    LONGEST,
    STOP,
    VOCABULARY,
    Captioner,
    CaptionNetwork,
    WhatAndWhere,
    lessons,
    sentence_of,
    true_sentences,
    unambiguous,
    word_loss,
    words_of,
)
from camlib.zoo.scenes import scene_inputs

SCENES = make_scenes(120, 11, objects=(1, 3))
NEXT = "a red circle left of a"


@pytest.fixture(scope="module")
def small():
    """A captioner with random weights for pictures of 32 x 32, in float64."""
    body = lambda: nn.Sequential(nn.Conv2d(3, 6, 3, 4, 1), nn.ReLU())  # noqa: E731
    module = seeded(lambda: CaptionNetwork(body(), 6, made=7, embedded=5, hidden=12), 3)
    return Captioner(network(module, target_layer="encoder.features", class_names=VOCABULARY, name="small"))


@pytest.fixture(scope="module")
def trained():
    return Captioner(camlib.load_network("scenes-captions"))


@pytest.fixture(scope="module")
def pairs():
    """Unseen scenes of two objects."""
    return caption_scenes(120, 3 * 10**9, objects=(2, 2))


# -- sentences ---------------------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from(VOCABULARY[1:])))
def test_words_and_numbers_go_both_ways(words):
    sentence = " ".join(words)
    assert sentence_of(words_of(sentence)) == sentence
    assert sentence_of([*words_of(sentence), VOCABULARY.index(STOP), 1, 2]) == sentence


def test_every_sentence_fits_the_vocabulary_and_the_longest_fits_a_lesson():
    taught = lessons(SCENES.sentences)
    assert taught.shape == (len(SCENES), LONGEST)
    assert [sentence_of(row) for row in taught.tolist()] == SCENES.sentences
    assert max(len(sentence.split()) for sentence in SCENES.sentences) + 1 == LONGEST
    assert (taught[:, -1] == VOCABULARY.index(STOP)).all()


def test_unknown_words_are_named():
    with pytest.raises(ValueError, match=r"\['crimson'\] in 'a crimson circle': expected words of \., a, an, red"):
        words_of("a crimson circle")


def told(sentence):
    """(color, shape) of each phrase, and the words between them."""
    words = sentence.split()
    named = [(words[i - 1], word) for i, word in enumerate(words) if word in SHAPES]
    return named, " ".join(words[3:-3])


def lies(scenes, i, first, second):
    """How object ``first`` lies to ``second``, measured on the boxes, and by how much more than along the other axis.

    Boxes need visible pixels only; a shape's box is centered within a fifth of its radius.
    """
    x0, y0, x1, y1 = scenes.boxes[i, first] - scenes.boxes[i, second]
    x, y = float(x0 + x1) / 2, float(y0 + y1) / 2
    word = ("left of" if x < 0 else "right of") if abs(x) > abs(y) else ("above" if y < 0 else "below")
    return word, abs(abs(x) - abs(y))


def test_both_sentences_of_a_scene_are_true_and_name_the_same_objects(pairs):
    for i, sentences in enumerate(true_sentences(pairs)):
        assert pairs.sentences[i] in sentences
        assert len(sentences) == 2
        seen = set()
        for sentence in sentences:
            named, relation = told(sentence)
            known = [(list(COLORS)[c], SHAPES[s]) for c, s in zip(pairs.colors[i], pairs.shapes[i], strict=True)]
            first, second = (known.index(phrase) for phrase in named)
            found, margin = lies(pairs, i, first, second)
            assert found == relation or margin < 4
            seen.add((first, second))
        assert seen == {(0, 1), (1, 0)}


def test_a_scene_of_one_object_has_one_sentence():
    alone = make_scenes(20, 4, objects=(1, 1))
    assert true_sentences(alone) == [{sentence} for sentence in alone.sentences]
    assert unambiguous(alone).all()


def test_unambiguous_scenes_by_a_loop():
    scenes = make_scenes(300, 5, objects=(1, 3), repeat=0.5)
    expected = []
    for i in range(len(scenes)):
        count = int(scenes.counts[i])
        (x0, y0), (x1, y1) = scenes.centers[i, :2].tolist()
        clear = abs(abs(x0 - x1) - abs(y0 - y1)) >= 8 if count == 2 else False
        shapes, colors = scenes.shapes[i, :2].tolist(), scenes.colors[i, :2].tolist()
        expected.append(count == 1 or (count == 2 and clear and len(set(shapes)) == len(set(colors)) == 2))
    assert unambiguous(scenes).tolist() == expected
    assert 0 < sum(expected) < len(scenes)


def test_chosen_scenes_are_the_scenes_themselves():
    kept = torch.tensor([4, 2, 9])
    some = SCENES.select(kept)
    assert torch.equal(some.images, SCENES.images[kept])
    assert some.sentences == [SCENES.sentences[i] for i in kept.tolist()]
    assert torch.equal(some.masks, SCENES.masks[kept])


# -- the network -------------------------------------------------------------------------------------------------------


def inputs_of(seeds, dtype=torch.float64):
    return torch.stack([picture(seed) for seed in seeds]).to(dtype) * 4 - 2


def test_what_and_where_by_hand():
    """Two channels on 3 x 5 positions: one spot of 3 in the upper right corner; 2 and 2 to the left and right."""
    summary = WhatAndWhere(2, 2)
    summary.mix.weight.data, summary.mix.bias.data = torch.eye(2)[..., None, None], torch.zeros(2)
    maps = torch.zeros(2, 2, 3, 5)
    maps[0, 0, 0, 4] = 3
    maps[0, 1, 1, 0] = maps[0, 1, 1, 4] = 2
    largest, x, y = summary(maps).detach().view(2, 3, 2).unbind(dim=1)
    assert largest.tolist() == [[3, 2], [0, 0]]
    assert x.tolist() == [[3 / 4, 0], [0, 0]]
    assert y.tolist() == [[-3 / 4, 0], [0, 0]]


def test_teacher_forcing_is_step_by_step_decoding(small):
    """One call with all words = one network for each prefix; and no word sees the words behind it."""
    inputs, sentence = inputs_of(range(3)), "a red circle left of an orange star"
    module = small.network.module
    with torch.no_grad():
        at_once = module.log_probabilities(module.encoder(inputs), torch.tensor([words_of(sentence)]))
    steps = small.steps(sentence)
    assert [word for _, word in steps] == sentence.split()
    for k, (prefix, _) in enumerate(steps):
        assert torch.allclose(small.next_word(prefix).logits(inputs).double(), at_once[:, k], atol=1e-6)
    assert torch.equal(small.next_word("").logits(inputs), small.network.logits(inputs))
    assert torch.allclose(at_once.exp().sum(dim=2), torch.ones(3, len(steps) + 1).double())


def test_the_cell_agrees_with_torch_lstm(small):
    module, said = small.network.module, torch.tensor([words_of(NEXT)]).expand(2, -1)
    lstm = nn.LSTM(module.cell.input_size, module.cell.hidden_size, batch_first=True).double()
    for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        getattr(lstm, f"{part}_l0").data = getattr(module.cell, part).data
    with torch.no_grad():
        seen = module.encoder(inputs_of((0, 1)))
        words = module.embedding(torch.cat([torch.zeros(2, 1, dtype=torch.long), said], dim=1))
        states, _ = lstm(torch.cat([words, seen[:, None].expand(-1, words.shape[1], -1)], dim=2))
        assert torch.allclose(module.words(states).log_softmax(dim=2), module.log_probabilities(seen, said))


def test_loss_by_a_loop_over_words(small):
    module, sentences = small.network.module, ["a red circle", "a blue star above an orange ring"]
    with torch.no_grad():
        seen = module.encoder(inputs_of((0, 1)))
        terms = []
        for b, sentence in enumerate(sentences):
            words = [*words_of(sentence), 0]
            for k, word in enumerate(words):
                before = torch.tensor([words[:k]], dtype=torch.long)
                terms.append(-float(module.log_probabilities(seen[b : b + 1], before)[0, -1, word]))
        assert len(terms) == 4 + 8
        assert float(word_loss(module, seen, lessons(sentences))) == pytest.approx(sum(terms) / len(terms))


def test_greedy_decoding_takes_the_most_probable_word_each_time(trained, pairs):
    for photo in pairs.images[:3]:
        words = []
        while (best := trained.next_word(" ".join(words)).predict(photo, top=1)[0][1]) != STOP:
            words.append(best)
        assert trained.caption(photo) == " ".join(words)


def test_a_sentence_without_end_is_cut(small):
    module = small.network.module
    before = module.words.bias.detach().clone()
    try:
        module.words.bias.data[VOCABULARY.index("of")] = 1e3
        assert small.captions(inputs_of((0, 1))) == [" ".join(["of"] * LONGEST)] * 2
    finally:
        module.words.bias.data = before


@pytest.mark.parametrize("prefix", ["a red circle .", " ".join(["a"] * LONGEST)])
def test_nothing_comes_after_a_whole_sentence(small, prefix):
    with pytest.raises(ValueError, match=r"Nothing comes after .*: expected fewer than 9 words and no '\.'"):
        small.next_word(prefix)


def test_wrong_words_and_networks_are_refused(small):
    with pytest.raises(ValueError, match=r"\['mauve'\] in 'a mauve'"):
        small.next_word("a mauve")
    with pytest.raises(ValueError, match="No class is called 'mauve'"):
        camlib.explain(small.next_word("a"), picture(0), target="mauve")
    with pytest.raises(TypeError, match=r"Captioner takes a camlib\.Network of a CaptionNetwork; given one of ReLU"):
        Captioner(camlib.Network(nn.ReLU()))


# -- maps of words -----------------------------------------------------------------------------------------------------


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.sampled_from(VOCABULARY), st.booleans())
def test_score_cam_of_a_word_is_equation_8_by_a_loop(small, seed, word, printed):
    """f(A·I, S, s) weighs the map A; as printed its softmax over the maps does."""
    photo, net = picture(seed), small.next_word(NEXT)
    method, options = ("score-cam-softmax", {"score": "probability"}) if printed else ("score-cam", {})
    found = camlib.explain(net, photo, method, target=word, relu=False, **options)
    module, x = small.network.module, small.network.prepare(photo)[1][None].double()
    with torch.no_grad():
        maps = module.encoder.features(x)[0]
        weights = []
        for a in maps:
            mask = F.interpolate(a[None, None], (32, 32), mode="bilinear", align_corners=False)
            if float(mask.max()) == float(mask.min()):
                weights.append(-math.inf if printed else 0.0)
                continue
            masked = x * (mask - mask.min()) / (mask.max() - mask.min())
            said = torch.tensor([words_of(NEXT)])
            weights.append(math.exp(module.log_probabilities(module.encoder(masked), said)[0, -1, words_of(word)[0]]))
        if printed:
            weights = [math.exp(f) / sum(math.exp(f) for f in weights) for f in weights]
        expected = sum(w * a for w, a in zip(weights, maps, strict=True))
    assert found.target_name == word
    assert found.weights.tolist() == pytest.approx(weights, abs=1e-6)
    assert torch.allclose(found.raw, expected.float(), atol=1e-5)


def test_softmax_over_channels_of_the_log_probability_is_the_probability_scaled(small):
    net = small.next_word(NEXT)
    score, softmax = camlib.compare(net, picture(1), ["score-cam", "score-cam-softmax"], ["blue"])
    assert torch.allclose(softmax.weights, score.weights / score.weights.sum(), atol=1e-6)
    assert torch.allclose(softmax.heatmap, score.heatmap, atol=1e-5)


def test_grad_cam_of_a_word_is_the_gradient_of_its_log_probability(small):
    net, photo, word = small.next_word(NEXT), picture(2), "star"
    found = camlib.explain(net, photo, "grad-cam", target=word)
    module = small.network.module
    maps = module.encoder.features(small.network.prepare(photo)[1][None].double()).detach().requires_grad_()
    said = torch.tensor([words_of(NEXT)])
    value = module.log_probabilities(module.encoder.summary(maps), said)[0, -1, words_of(word)[0]]
    (gradient,) = torch.autograd.grad(value, maps)
    assert torch.allclose(found.weights.double(), gradient[0].mean(dim=(1, 2)), atol=1e-7)


def test_explaining_words_leaves_the_captioner_as_it_was(small):
    module = small.network.module.train()
    state = {key: value.clone() for key, value in module.state_dict().items()}
    camlib.compare(small.next_word("a"), picture(0), ["score-cam", "grad-cam", "ablation-cam"], ["red"])
    small.caption(picture(0))
    assert all(child.training for child in module.modules())
    assert all(torch.equal(value, state[key]) for key, value in module.state_dict().items())
    assert all(p.grad is None for p in module.parameters())
    assert not any(child._forward_hooks or child._forward_pre_hooks for child in module.modules())
    module.eval()


def test_accuracy_counts_either_true_sentence(monkeypatch):
    scenes = caption_scenes(60, training.captions._TEST_FAMILY + 5, objects=(2, 2))
    true = [sorted(both) for both in true_sentences(scenes)]
    said = [both[i % 2] if i % 4 else both[0].replace(" a", " an", 1) for i, both in enumerate(true)]
    fake = mock.Mock(captions=mock.Mock(side_effect=lambda x: [said.pop(0) for _ in x]))
    monkeypatch.setattr(training.captions, "Captioner", lambda network: fake)
    monkeypatch.setattr(training.captions, "TEST_SCENES", 60)
    wrong = len(range(0, len(scenes), 4))
    assert training.captions.caption_accuracy(nn.ReLU(), 5) == pytest.approx(1 - wrong / len(scenes))
    assert said == []


# -- kept weights ------------------------------------------------------------------------------------------------------
# Their accuracy on fresh scenes is checked in test_training.py, with that of all trained networks.


def test_a_mirrored_scene_turns_left_into_right(trained, pairs):
    """The network knows places: the same words before the relation, the picture mirrored, the other word after."""
    left, right = (VOCABULARY.index(word) for word in ("left", "right"))
    aside = [i for i, sentence in enumerate(pairs.sentences) if {"left", "right"} & set(sentence.split())][:12]
    turned = []
    for i in aside:
        net = trained.next_word(" ".join(pairs.sentences[i].split()[:3]))
        x = scene_inputs(pairs)[i : i + 1]
        plain, mirrored = net.logits(torch.cat([x, x.flip(3)]))
        turned.append((plain[left] > plain[right]) != (mirrored[left] > mirrored[right]))
    assert sum(turned) >= len(turned) - 1
