"""Every method and option beside its literal loop: the largest deviation."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import camlib
from camlib import METHODS, Network, Preprocess
from camlib.compendium.loops import averaged, gradient, hybrid, score, tail
from camlib.compendium.loops.networks import NETWORKS
from camlib.compendium.loops.page import Row
from camlib.compendium.loops.plain import MEAN, SIZE, STD, Plain
from camlib.registry import Detailed

PIECEWISE = ("gap", "average", "max", "signed", "dead")
ALIVE = ("gap", "average", "max", "signed")
TARGETS = (1, 3)
Loop = Callable[..., Any]


@dataclass(frozen=True)
class Case:
    """One method with options, the loop that it is compared with, and the networks on which.

    ``told`` are options of the loop that differ from the method's: the loop's own words for them.
    """

    method: str
    loop: Loop
    options: dict[str, Any] = field(default_factory=dict)
    networks: Sequence[str] = PIECEWISE
    told: dict[str, Any] | None = None


def _each(method: str, loop: Loop, *options: dict[str, Any], networks: Sequence[str] = PIECEWISE) -> list[Case]:
    return [Case(method, loop, option, networks) for option in ({}, *options)]


def _score_family() -> Iterator[Case]:
    for method in score.SCORES:
        loop = score.score_cam_loop
        for options in ({}, {"align_corners": True}, {"order": "normalize-first"}, {"filler": "black"}):
            if not ("order" in options and method == "score-cam-binary"):  # it is not offered there
                yield Case(method, loop, options, told=options | {"method": method})
    for options in ({"masks": "unshifted"}, {"masks": "binary"}, {"filler": "blur"}, {"filler": "noise"}):
        yield Case("score-cam", score.score_cam_loop, options)
    asked = {"score": "probability"}
    yield Case("score-cam-softmax", score.score_cam_loop, asked, told=asked | {"method": "score-cam-softmax"})
    for options in ({}, {"signal": "deconvnet"}, {"clip": 0.9}):
        yield Case("guided-score-cam", score.guided_score_cam_loop, options, ("gap", "average", "max"))
    few = {"steps": 4}
    yield from _each("is-cam", averaged.is_cam_loop, few, few | {"path": "linear"}, few | {"weighting": "probability"})
    few = {"samples": 3, "sigma": 0.5}
    more = ({"noise": "picture"}, {"weighting": "probability"}, {"seed": 5})
    yield from _each("ss-cam", averaged.ss_cam_loop, few, *(few | one for one in more))
    for options in ({"steps": 6}, {"steps": 4, "learning_rate": 0.05}):
        yield Case("opti-cam", averaged.opti_cam_loop, options, ALIVE)


def _gradient_family() -> Iterator[Case]:
    linear = ("gap", "dead")
    yield from _each("feature-map", gradient.feature_map_loop)
    yield from _each("gap-cam", gradient.gap_cam_loop, networks=linear)
    yield from _each("eigen-cam", gradient.eigen_cam_loop, {"center": True})
    for name in ("grad-cam", "xgrad-cam", "layer-cam", "hires-cam"):
        yield from _each(name, getattr(gradient, f"{name.replace('-', '_')}_loop"))
    yield from _each("grad-cam++", gradient.grad_cam_plus_plus_loop)
    yield Case("grad-cam++", gradient.grad_cam_plus_plus_loop, {"exact": True}, ("smooth",))
    yield from _each("sca-cam", gradient.sca_cam_loop)
    yield Case("sca-cam", gradient.sca_cam_loop, {"form": "softmax"}, linear)
    few = {"samples": 4, "noise": 0.3, "seed": 7}
    yield from _each("smooth-grad-cam++", gradient.smooth_grad_cam_plus_plus_loop, few)
    more = ({"gamma": 1.0}, {"rivals": 1}, {"weighting": "probability"})
    yield from _each("finer-cam", gradient.finer_cam_loop, *more)
    yield from _each("case", gradient.case_loop, {"rivals": 2}, {"rivals": [0, 4]})
    yield from _each("shapley-cam", gradient.shapley_cam_loop, networks=("gap", "average", "smooth"))
    yield Case("shapley-cam", gradient.shapley_cam_loop, {"score": "logit"}, ("smooth",))
    yield from _each("lift-cam", tail.lift_cam_loop, networks=("gap", "average", "signed", "dead"))


def _tail_and_hybrid() -> Iterator[Case]:
    yield from _each("ablation-cam", tail.ablation_cam_loop, {"signed": True})
    yield from _each("fd-cam", tail.fd_cam_loop, {"quantile": 0.5})
    yield from _each("recipro-cam", tail.recipro_cam_loop, {"gaussian": True}, {"score": "logit"})
    grouped = {"groups": 2, "theta": 40.0, "kernel": 7, "sigma": 2.0}
    sizes = {key: value for key, value in grouped.items() if key != "groups"} | {"sizes": (3, 3)}
    yield Case("group-cam", hybrid.group_cam_loop)
    yield Case("group-cam", hybrid.group_cam_loop, grouped, told=sizes)
    options = [
        {"perturbation": "blur"}, {"perturbation": "blur", "sigma": 2.0}, {"perturbation": "noise", "seed": 5},
        {"lambda1": 0.5}, {"lambda2": 0.5}, {"tau": 0.3}, {"fill": "black"}, {"scale": "maxabs"}, {"scale": "max"},
        {"form": "score-gradient"}, {"form": "product"}, {"form": "mixed", "scale": "none"}, {"softmax": False},
    ]  # fmt: skip
    yield from _each("sa-cam", hybrid.sa_cam_loop, *options)
    yield Case("sa-cam", hybrid.sa_cam_loop, {"exact": True}, ("smooth",))
    readings = [
        {"theta": 80.0}, {"filler": "black"}, {"score": "logit"}, {"clamp": False}, {"rescale": False},
        {"clamp": False, "rescale": False}, {"rectified": "both"}, {"rectified": "neither"},
    ]  # fmt: skip
    yield from _each("union-cam", _union_heatmap, *readings)


def _union_heatmap(net: Plain, picture: Tensor, c: int, **options: Any) -> Tensor:
    return hybrid.union_cam_loop(net, picture, c, **options)["heatmap"]


def cases() -> list[Case]:
    """All comparisons, in the order of the registry."""
    found = [*_gradient_family(), *_score_family(), *_tail_and_hybrid()]
    order = list(METHODS)
    return sorted(found, key=lambda case: order.index(case.method))


# -- measuring


@cache
def plain(name: str) -> Plain:
    """One of :data:`NETWORKS`, built once."""
    return NETWORKS[name]()


def pictures(count: int = 2) -> Tensor:
    """Smooth random pictures as network input, [count, 3, 32, 32], float64."""
    made = []
    for seed in range(count):
        coarse = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
        made.append(F.interpolate(coarse, SIZE, mode="bilinear", align_corners=False)[0].double())
    mean, std = (torch.tensor(values).double().view(1, 3, 1, 1) for values in (MEAN, STD))
    return (torch.stack(made) - mean) / std


def deviation(case: Case) -> float:
    """Largest deviation of the method from its loop over networks, pictures and classes, relative to the largest."""
    error = 0.0
    for name in case.networks:
        net, x = plain(name), pictures()
        told = case.options if case.told is None else case.told
        with torch.no_grad():
            expected = torch.stack([case.loop(net, one, c, **told) for one, c in zip(x, TARGETS, strict=True)])
        found = _found(case, net, x).double()
        if found.shape != expected.shape:
            raise ValueError(f"{case.method} {case.options}: {tuple(found.shape)} beside {tuple(expected.shape)}")
        error = max(error, float((found - expected).abs().max() / expected.abs().max()))
    return error


def _found(case: Case, net: Plain, x: Tensor) -> Tensor:
    network = Network(net.module, transform=Preprocess(SIZE, MEAN, STD))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # flat maps are what some of these networks are for
        if case.method == "union-cam":  # its branches are chosen at the size of the picture
            made = [
                camlib.explain(network, one[None], case.method, c, net.layer, **case.options)
                for one, c in zip(x, TARGETS, strict=True)
            ]
            return torch.stack([e.heatmap for e in made])
        trace = camlib.Trace(network, x, net.layer)
        found = METHODS[case.method].function(trace, torch.tensor(TARGETS), **case.options)
    return found.values if isinstance(found, Detailed) else found


def measure() -> list[Row]:
    """Rows of all cases."""
    rows = []
    for case in cases():
        method = METHODS[case.method]
        values = "heatmap" if case.method == "union-cam" else method.makes
        words = ", ".join(f"{key}={value!r}" for key, value in case.options.items())
        rows.append(Row(case.method, words, method.source, " ".join(case.networks), values, deviation(case)))
    return rows
