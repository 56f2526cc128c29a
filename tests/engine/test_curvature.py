"""Gradients of any score and Hessian-vector products against the whole Hessian, differences and closed forms."""

from __future__ import annotations

import helpers
import pytest
import torch
import torch.nn.functional as F
from head_cases import EXACT, smooth, traced
from torch import Tensor, nn

import camlib
from camlib import Trace

SCORES = {
    "logit": lambda y: y[:, 2],
    "difference": lambda y: y[:, 0] - 2 * y[:, 3],
    "log-probability": lambda y: y.log_softmax(dim=1)[:, 1],
}


@pytest.mark.parametrize("score", SCORES.values(), ids=SCORES.keys())
def test_hessian_vector_products_equal_the_whole_hessian_times_the_vector(score):
    module, trace = smooth()
    vector = torch.randn(2, 2, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    g, product = trace.hessian_product(score, vector)
    for b in range(2):
        maps = trace.activations[b]
        hessian = torch.autograd.functional.hessian(
            lambda m: score(module.head(m.view(1, 2, 3, 3))).sum(), maps.flatten()
        )
        slope = torch.autograd.functional.jacobian(
            lambda m: score(module.head(m.view(1, 2, 3, 3))).sum(), maps.flatten()
        )
        assert float(hessian.abs().max()) > 1e-3
        assert helpers.relative(product[b].flatten(), hessian @ vector[b].flatten()) < EXACT
        assert helpers.relative(g[b].flatten(), slope) < EXACT
    assert torch.equal(g, trace.score_gradients(score))
    assert torch.equal(trace.score_gradients(SCORES["logit"]), trace.gradients(torch.tensor([2, 2])))


class Attentive(nn.Module):
    """A head with PyTorch's fused attention over positions, whose backward pass has no derivative of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.maps, self.query, self.fc = nn.Identity(), nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.maps(x).flatten(2).mT[:, None]
        return self.fc(F.scaled_dot_product_attention(self.query(tokens), tokens, tokens)[:, 0].mean(dim=1))


def test_hessian_vector_products_through_fused_attention_equal_differences_of_gradients():
    module = helpers.seeded(Attentive)
    x, vector = torch.randn(2, 2, 4, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    net, score, step = camlib.Network(module), lambda y: y[:, 1], 1e-5
    g, product = Trace(net, x, "maps").hessian_product(score, vector)
    ahead, behind = (Trace(net, x + sign * step * vector, "maps").score_gradients(score) for sign in (1, -1))
    assert helpers.relative(product, (ahead - behind) / (2 * step)) < 1e-6
    assert helpers.relative(g, Trace(net, x, "maps").score_gradients(score)) < 1e-9


def test_a_piecewise_linear_score_has_no_curvature():
    trace = traced(helpers.seeded(helpers.Pooled))
    g, product = trace.hessian_product(lambda y: y[:, 1], trace.activations)
    assert g.any()
    assert not product.any()
    linear = traced(helpers.seeded(helpers.Gap))
    assert not linear.hessian_product(lambda y: y[:, 1], linear.activations)[1].any()


def test_a_layer_that_no_score_depends_on_is_named():
    class Aside(helpers.Gap):
        def forward(self, x: Tensor) -> Tensor:
            self.features(x)
            return self.fc(x.mean(dim=(2, 3)).repeat(1, 2))

    trace = traced(helpers.seeded(Aside))
    for ask in (
        lambda: trace.score_gradients(SCORES["logit"]),
        lambda: trace.hessian_product(SCORES["logit"], trace.maps),
    ):
        with pytest.raises(ValueError, match="do not depend on layer 'features'"):
            ask()
