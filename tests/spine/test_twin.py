"""The twin: the caller's computation on the caller's memory, in objects of its own, made without running any code."""

from __future__ import annotations

import copy
import functools
import gc
import threading
import weakref
from collections import OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable
from types import SimpleNamespace

import helpers
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from camlib.layers import Twin, structural_copy

X = helpers.batch(2, torch.float32)
Pair = namedtuple("Pair", "first second")


def built(build: Callable[[], nn.Module]) -> nn.Module:
    return helpers.seeded(build, dtype=torch.float32).train()


def expected(module: nn.Module) -> Tensor:
    """What a deep copy in eval mode says."""
    with torch.no_grad():
        return copy.deepcopy(module).eval()(X)


class Holding(nn.Module):
    """conv - ReLU - mean, whose convolution is also reached through ``holder``, which is no module."""

    def __init__(self, hold: Callable[[nn.Module], object], take: Callable[[object], Callable]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)
        self.holder, self.take = hold(self.conv), take

    def forward(self, x: Tensor) -> Tensor:
        return self.take(self.holder)(x).relu().mean(dim=(2, 3))


class Helper:
    """Not a module: an object of the caller's that holds one."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __call__(self, x: Tensor) -> Tensor:
        return self.module(x)


class Slotted:
    __slots__ = ("module",)

    def __init__(self, module: nn.Module) -> None:
        self.module = module


class ListOfModules(list):
    """A list with a method, as configuration libraries have them."""

    def first(self) -> nn.Module:
        return self[0]


class Alike(type):
    """Classes that all compare equal, and that no dictionary takes."""

    def __eq__(cls, other: object) -> bool:
        return isinstance(other, Alike)

    __hash__ = None


class AlikeObject(metaclass=Alike):
    pass


class AlikeList(list, metaclass=Alike):
    pass


def closure(module: nn.Module) -> Callable:
    return lambda x: module(x)


HOLDERS = {
    "list": (lambda m: [m], lambda h: h[0]),
    "tuple": (lambda m: (m, 1), lambda h: h[0]),
    "dictionary": (lambda m: {"a": [m]}, lambda h: h["a"][0]),
    "module as a key": (lambda m: {m: 1}, lambda h: next(iter(h))),
    "ordered dictionary": (lambda m: OrderedDict(a=m), lambda h: next(iter(h.values()))),
    "default dictionary": (lambda m: defaultdict(list, a=[m]), lambda h: h["a"][0]),
    "deque": (lambda m: deque([m], maxlen=3), lambda h: h[0]),
    "set": (lambda m: {m}, lambda h: next(iter(h))),
    "named tuple": (lambda m: Pair(m, 2), lambda h: h.first),
    "object": (Helper, lambda h: h),
    "object with slots": (Slotted, lambda h: h.module),
    "namespace": (lambda m: SimpleNamespace(m=m), lambda h: h.m),
    "subclass of list": (lambda m: ListOfModules([m]), lambda h: h.first()),
    "list of a class that equals another": (lambda m: [AlikeObject(), AlikeList([m])], lambda h: h[1][0]),
    "bound method": (lambda m: m.forward, lambda h: h),
    "method of an object": (lambda m: Helper(m).__call__, lambda h: h),
    "partial": (lambda m: functools.partial(lambda inner, x: inner(x), m), lambda h: h),
    "closure": (closure, lambda h: h),
    "weak reference": (weakref.ref, lambda h: h()),
    "weak proxy": (lambda m: [weakref.proxy(m)], lambda h: h[0]),
}


@pytest.mark.parametrize(("hold", "take"), HOLDERS.values(), ids=HOLDERS)
def test_a_module_that_is_held_twice_is_one_module_in_the_twin(hold, take):
    """A hook on the twin's convolution sees the call through the holder, and the caller's sees none."""
    module = built(lambda: Holding(hold, take))
    module.take = take  # a plain function is shared
    with torch.no_grad():
        wanted = module(X)
    twin = Twin(module)
    assert twin.is_current()
    calls, theirs = [], []
    twin.module.conv.register_forward_hook(lambda *_: calls.append(1))
    theirs_handle = None
    if not isinstance(module.holder, weakref.ProxyType | weakref.CallableProxyType):
        plain = module.take(module.holder)
        plain = getattr(plain, "__self__", plain)
        theirs_handle = plain.register_forward_hook(lambda *_: theirs.append(1)) if hasattr(plain, "_modules") else None
    gc.collect()
    with torch.no_grad():
        found = twin.module(X)
    assert torch.equal(found, wanted)
    if "method" not in str(hold) and not callable(getattr(module.holder, "__func__", None)):
        assert len(calls) == 1
    assert not theirs
    if theirs_handle is not None:
        theirs_handle.remove()


class Recurrent(nn.Module):
    """Rows of a picture through an LSTM, which keeps its weights in a list beside the table of parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.fc = nn.LSTM(96, 8, batch_first=True), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.lstm(x.permute(0, 2, 1, 3).flatten(2))[0][:, -1])


def pruned() -> nn.Module:
    module = helpers.Gap()
    prune.random_unstructured(module.features[0], "weight", amount=0.5)
    return module


def patched() -> nn.Module:
    module = helpers.Gap()
    module.forward = lambda x: module.fc(module.features(x).amax(dim=(2, 3)))
    return module


def spectral() -> nn.Module:
    module = helpers.Gap()
    parametrizations.spectral_norm(module.features[0])
    parametrizations.weight_norm(module.features[2])
    return module


def tied() -> nn.Module:
    module = helpers.Gap()
    module.again = module.features
    module.fc2 = nn.Linear(6, 5)
    module.fc2.weight = module.fc.weight
    return module


def hooked() -> nn.Module:
    module = helpers.Gap()
    module.features.register_forward_hook(lambda m, args, output: output * 2)
    module.features.register_forward_pre_hook(lambda m, args: (args[0] + 1,))
    module.fc.register_forward_hook(lambda m, args, output: output + 3, prepend=True)
    module.fc.register_forward_hook(lambda m, args, output: output * 5, prepend=True)
    return module


MODULES = {
    "plain": helpers.Gap,
    "norms and dropout": helpers.Trainable,
    "LSTM": Recurrent,
    "pruned": pruned,
    "forward of its own": patched,
    "parametrized": spectral,
    "tied": tied,
    "hooked": hooked,
    "fx": lambda: torch.fx.symbolic_trace(helpers.Trainable()),
}


@pytest.mark.parametrize("build", MODULES.values(), ids=MODULES)
def test_the_twin_computes_what_a_deep_copy_in_eval_mode_computes(build):
    module = built(build) if build is not pruned else build()
    if build is not pruned:  # PyTorch cannot copy pruned layers
        wanted = expected(module)
    else:
        with torch.no_grad():
            wanted = module(X)
    before = helpers.state(module)
    twin = Twin(module)
    with torch.no_grad():
        found, again = twin.module(X), structural_copy(twin.module)(X)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)
    assert torch.equal(again, found)
    assert not any(child.training for child in twin.module.modules())
    assert twin.is_current()
    helpers.assert_same(before, helpers.state(module))


@pytest.mark.parametrize("build", MODULES.values(), ids=MODULES)
def test_the_twin_shares_memory_and_no_object(build):
    module = build()
    twin = Twin(module)
    theirs = dict(module.named_parameters()) | dict(module.named_buffers())
    ours = dict(twin.module.named_parameters()) | dict(twin.module.named_buffers())
    assert theirs.keys() == ours.keys()
    for name, tensor in theirs.items():
        assert ours[name] is not tensor
        assert ours[name].data_ptr() == tensor.data_ptr()
        assert isinstance(ours[name], nn.Parameter) == isinstance(tensor, nn.Parameter)
        assert not ours[name].requires_grad
    modules = set(map(id, module.modules()))
    assert modules.isdisjoint(map(id, twin.module.modules()))
    assert [name for name, _ in twin.module.named_modules()] == [name for name, _ in module.named_modules()]


def test_no_code_of_the_callers_runs():
    class Touchy(helpers.Gap):
        armed = False

        def _refuse(self, *_: object) -> None:
            assert not self.armed

        train = eval = apply = _apply = __deepcopy__ = __copy__ = __reduce_ex__ = _refuse
        __getstate__ = __setstate__ = state_dict = parameters = buffers = requires_grad_ = _refuse

        def __setattr__(self, name: str, value: object) -> None:
            self._refuse()
            super().__setattr__(name, value)

    module = Touchy()
    module.lock = threading.Lock()
    Touchy.armed = True
    twin = Twin(module)
    assert twin.is_current()
    assert twin.module.lock is module.lock
    with torch.no_grad():
        assert torch.equal(twin.module(X), module(X))


# -- is it still the caller's?


def _swap_head(m: nn.Module) -> None:
    m.fc = nn.Linear(6, 5)


def _hook(m: nn.Module) -> None:
    m.features[1].register_forward_hook(lambda *_: None)


CHANGES = {
    "another head": _swap_head,
    "another child of a container": lambda m: m.features.__setitem__(0, nn.Conv2d(3, 8, 5, padding=2)),
    "one more child": lambda m: m.features.append(nn.ReLU()),
    "a hook": _hook,
    "half precision": lambda m: m.half(),
    "another parameter": lambda m: setattr(m.fc, "bias", nn.Parameter(torch.ones(5))),
    "no parameter": lambda m: setattr(m.fc, "bias", None),
    "data of a parameter": lambda m: setattr(m.fc.weight, "data", torch.ones(5, 6)),
    "fewer rows of a parameter": lambda m: setattr(m.fc.weight, "data", m.fc.weight.data[:3]),
    "a buffer": lambda m: m.register_buffer("ramp", torch.ones(1)),
    "a setting": lambda m: setattr(m.features[2], "padding", (0, 0)),
    "a setting inside a dictionary": lambda m: m.settings.__setitem__("scale", 3.0),
    "a setting of an object": lambda m: setattr(m.config, "scale", 3.0),
    "an item of a list": lambda m: m.list.append(1),
    "a slot": lambda m: setattr(m.slotted, "module", 3.0),
    "another class": lambda m: setattr(m, "__class__", type("Other", (helpers.Gap,), {})),
    "a forward of its own": lambda m: setattr(m, "forward", lambda x: x),
    "assigned weights": lambda m: m.load_state_dict(helpers.Gap().state_dict(), assign=True),
}


def furnished() -> nn.Module:
    module = helpers.Gap()
    module.settings, module.config, module.list = {"scale": 2.0}, Helper(None), [0]
    module.config.scale = 2.0
    module.slotted = Slotted(2.0)
    return module


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_of_the_callers_module_is_seen(change):
    module = furnished()
    twin = Twin(module)
    assert twin.is_current()
    change(module)
    assert not twin.is_current()
    assert Twin(module).is_current()


KEPT = {
    "nothing": lambda m: None,
    "train mode": lambda m: m.train(),
    "train mode of a part": lambda m: m.features[1].train(),
    "weights in place": lambda m: m.load_state_dict(helpers.Gap().state_dict()),
    "frozen": lambda m: m.requires_grad_(False),
    "gradients": lambda m: m(X).sum().backward(),
    "no gradients": lambda m: m.zero_grad(),
}


@pytest.mark.parametrize("change", KEPT.values(), ids=KEPT)
def test_what_leaves_the_computation_alone_leaves_the_twin(change):
    module = furnished().eval()
    twin = Twin(module)
    change(module)
    assert twin.is_current()
    with torch.no_grad():
        assert torch.equal(twin.module(X), module.eval()(X))


def test_a_twin_of_a_part():
    module = built(helpers.Trainable)
    twin = Twin(module)
    assert twin.counterpart(module.features[3]) is twin.module.features[3]
    assert twin.counterpart(nn.ReLU()) is None
    assert twin.counterpart(module) is twin.module


# -- modes


class Lora(nn.Module):
    """A low-rank addition that is merged into the weight by ``eval()`` and taken out of it by ``train()``."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(5, 6))
        self.a, self.b = nn.Parameter(torch.randn(2, 6)), nn.Parameter(torch.randn(5, 2))
        self.merged = False

    def train(self, mode: bool = True) -> Lora:
        if mode == self.merged:
            sign = -1 if mode else 1
            self.weight.data += sign * (self.b @ self.a).data
            self.merged = not mode
        return super().train(mode)

    def forward(self, x: Tensor) -> Tensor:
        y = x @ self.weight.T
        return y + x @ self.a.T @ self.b.T if self.training else y


class WithLora(helpers.Gap):
    def __init__(self) -> None:
        super().__init__()
        self.fc = Lora()


@pytest.mark.parametrize("mode", [True, False])
def test_layers_that_merge_weights_when_they_change_their_mode(mode):
    module = helpers.seeded(WithLora, dtype=torch.float32).train(mode)
    wanted, before = expected(module), helpers.state(module)
    twin = Twin(module)
    assert twin.is_current()
    with torch.no_grad():
        torch.testing.assert_close(twin.module(X), wanted)
    helpers.assert_same(before, helpers.state(module))
    assert module.fc.merged is not mode
    with torch.no_grad():
        module.fc.a.mul_(2)
    assert twin.is_current() is not mode  # merged weights were made from the old ones
    module.train(not mode)
    assert not twin.is_current()


def test_a_module_that_nobody_registers_keeps_its_mode_and_its_statistics():
    class Listed(helpers.Gap):
        def __init__(self) -> None:
            super().__init__()
            self.norms = [nn.BatchNorm2d(6)]

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.norms[0](self.features(x)).mean(dim=(2, 3)))

    module = built(Listed).eval()
    norm = module.norms[0]
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    twin = Twin(module)
    assert twin.module.norms[0].training
    with torch.no_grad():
        found = twin.module(X)
    assert all(torch.equal(before[name], value) for name, value in norm.state_dict().items())
    with torch.no_grad():
        assert torch.equal(found, module(X))  # the same batch statistics; this pass changes the running ones


# -- wrappers


def test_compiled_and_parallel_wrappers_are_taken_off():
    module = helpers.seeded(helpers.Gap, dtype=torch.float32)
    wanted = expected(module)
    inner = copy.deepcopy(module)
    inner.features[0] = torch.compile(inner.features[0])
    compiled_call = copy.deepcopy(module)
    compiled_call.features.compile()
    wrapped = torch.compile(module), nn.DataParallel(module), torch.compile(nn.DataParallel(module))
    for given in (*wrapped, inner, compiled_call):
        twin = Twin(given)
        assert twin.is_current()
        assert [name for name, _ in twin.module.named_modules()] == [name for name, _ in module.named_modules()]
        with torch.no_grad():
            assert torch.equal(twin.module(X), wanted)
    assert Twin(nn.DataParallel(module)).counterpart(module.fc) is not None


def test_a_forward_that_its_class_compiles_runs_eagerly():
    class Decorated(helpers.Gap):
        @torch.compile  # it imports the compiler: seconds that the collection of tests need not take
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)

    module = helpers.seeded(Decorated, dtype=torch.float32)
    calls = []
    twin = Twin(module)
    twin.module.features[1].register_forward_hook(lambda *_: calls.append(torch.compiler.is_compiling()))
    with torch.no_grad():
        torch.testing.assert_close(twin.module(X), expected(helpers.seeded(helpers.Gap, dtype=torch.float32)))
    assert calls == [False]


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_torchscript_runs_as_a_whole():
    module = helpers.seeded(helpers.Trainable, dtype=torch.float32)
    wanted = expected(module)
    for script in (torch.jit.script(module), torch.jit.script(copy.deepcopy(module).train())):
        modes = [child.training for child in script.modules()]
        twin = Twin(script)
        with torch.no_grad():
            torch.testing.assert_close(twin.module(X), wanted)
        assert [child.training for child in script.modules()] == modes
        assert list(twin.module.children()) == []


def test_tensors_made_in_inference_mode_are_shared_too():
    with torch.inference_mode():
        module = helpers.Trainable().eval()
    twin = Twin(module)
    assert not any(tensor.is_inference() for tensor in (*twin.module.parameters(), *twin.module.buffers()))
    assert twin.is_current()
    with torch.inference_mode():
        module.fc.weight.fill_(0.5)
    assert bool((twin.module.fc.weight == 0.5).all())


# -- memory


def test_a_twin_costs_no_memory_for_tensors():
    module = nn.Sequential(nn.Linear(1000, 1000), nn.Linear(1000, 1000))
    twin = Twin(module)
    assert sum(len(owners) for owners in twin.shared_memory().values()) == 4
    addresses = {tensor.data_ptr() for tensor in module.parameters()}
    assert twin.shared_memory().keys() == addresses


def test_private_tensors_follow_the_callers():
    module = helpers.Trainable().eval()
    norm = module.features[1]
    twin = Twin(module, private=[id(norm.running_mean)])
    own = twin.module.features[1].running_mean
    assert own.data_ptr() != norm.running_mean.data_ptr()
    own.fill_(7.0)
    with torch.no_grad():
        norm.running_mean.fill_(3.0)
    twin.refresh()
    assert bool((own == 3.0).all())
    assert twin.is_current()


def test_random_numbers_of_a_modules_own_generator_are_not_drawn_from_it():
    class Noisy(helpers.Gap):
        def __init__(self) -> None:
            super().__init__()
            self.generator = torch.Generator().manual_seed(3)

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + torch.rand(5, generator=self.generator)

    module = Noisy()
    before = module.generator.get_state()
    with torch.no_grad():
        found = Twin(module).module(X)
    assert torch.equal(module.generator.get_state(), before)
    with torch.no_grad():
        assert torch.equal(found, module(X))
