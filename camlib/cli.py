"""The command line: ``python -m camlib`` or ``camlib``.

    camlib explain photos/ --method grad-cam score-cam --out maps
    camlib explain cat.jpg --network resnet18 --weights mine.pt --classes names.txt --target tabby --out maps
    camlib compare a.jpg b.jpg --method grad-cam layer-cam --out sheet.png
    camlib layers resnet18
    camlib methods
    camlib networks "*lite*"
    camlib evaluate --photos --out build/photos
    camlib evidence check
    camlib figures sa-fig-04
    eval "$(camlib completion)"

Exit status 0: everything was made; 1: something could not be made, and it was named; 2: the call itself is wrong.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

_ERRORS = (ValueError, TypeError, OSError, RuntimeError)
_COMPLETION = """\
_camlib() {{ local words="{commands}"
  if [ "$COMP_CWORD" -eq 1 ]; then COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[1]}}"))
  else COMPREPLY=($(compgen -f -W "{options}" -- "${{COMP_WORDS[COMP_CWORD]}}")); fi; }}
complete -o filenames -F _camlib camlib
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, see the head of this module; returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["evaluate"]:
        from camlib.evaluate.__main__ import main as evaluate

        return evaluate(words[1:])
    if words[:1] == ["evidence"]:
        from camlib.evaluate.evidence.__main__ import main as evidence

        return evidence(words[1:])
    parser = _parser()
    options = parser.parse_args(words)
    if options.command is None:
        parser.print_help()
        return 2
    try:
        return options.act(options)
    except _ERRORS as error:
        if options.debug:
            raise
        print(f"camlib {options.command}: {error}", file=sys.stderr)
        return 1


# -- commands


def _explain(options: argparse.Namespace) -> int:
    """One overlay, one raw map and one record a picture, method and class; bad pictures are named and skipped."""
    from tqdm import tqdm

    from camlib.zoo.own_weights import network_of

    net = network_of(options.network, options.weights, options.classes, options.device)
    choices = [_choice(text, options.passes) for text in options.method]
    _refuse_wrong(net, choices, options)
    failed, pictures = 0, _pictures(options.pictures)
    stems, size = _stems(pictures), options.batch_size
    with tqdm(total=len(pictures), unit="picture", disable=None) as bar:
        for start in range(0, len(pictures), size):
            part = pictures[start : start + size]
            made, troubles = _explained(net, part, choices, options)
            failed += len(troubles)
            for picture, error in troubles.items():
                print(f"{picture}: {error}", file=sys.stderr)
            for picture, e in made:
                _keep(e, options.out / f"{stems[picture]}-{e.method}-{_slug(e.target_name)}", options)
            bar.update(len(part))
    where = f"maps lie in {options.out}" if failed < len(pictures) else "no map was made"
    print(f"{len(pictures) - failed} of {len(pictures)} pictures; {where}")
    return 1 if failed or not pictures else 0


def _refuse_wrong(net, choices: list, options: argparse.Namespace) -> None:
    """Raises what every picture would raise: for a method, an option, a layer or a class that does not exist."""
    from camlib.registry import find_method

    for name, given in choices:
        find_method(name).checked_options(given)
    if options.passes is not None and not any("passes" in given for _, given in choices):
        raise ValueError(f"--passes {options.passes}: none of these methods takes a budget; score-cam does.")
    if options.command == "compare" and len(options.target) > 1:
        raise ValueError(f"--target {' '.join(options.target)}: a sheet shows one class; give one.")
    if options.layer is not None:
        net.find_layer(options.layer)
    for target in (found for found in map(_target, options.target) if found is not None):
        net.class_index(target, net.survey().logits.shape[1])


def _explained(net, pictures: list[Path], choices: list, options: argparse.Namespace) -> tuple[list, dict]:
    """((picture, explanation) of all that could be explained together, picture -> what is wrong with it)."""
    from camlib.explanation import compare

    targets = [_target(text) for text in options.target]
    try:
        made = compare(net, pictures, choices, targets, options.layer, common=options.common, batch_size=len(pictures))
    except _ERRORS as error:
        if options.debug:
            raise
        if len(pictures) == 1:
            return [], {pictures[0]: error}
        alone = [_explained(net, [picture], choices, options) for picture in pictures]  # which of them was it?
        return [pair for found, _ in alone for pair in found], {p: e for _, wrong in alone for p, e in wrong.items()}
    return [(pictures[e.picture], e) for e in made], {}


def _keep(e, stem: Path, options: argparse.Namespace) -> None:
    """Overlay, raw map and record of one explanation."""
    e.save(stem.with_name(stem.name + ".png"), original=options.original, opacity=options.opacity)
    for suffix in (".npy", ".json"):
        e.save(stem.with_name(stem.name + suffix))


def _compare(options: argparse.Namespace) -> int:
    """One sheet: a row a picture, a column a method, the most probable class or the one that is named."""
    import matplotlib

    matplotlib.use("Agg")
    from camlib import plots
    from camlib.explanation import compare
    from camlib.registry import METHODS
    from camlib.zoo.own_weights import network_of

    net = network_of(options.network, options.weights, options.classes, options.device)
    pictures = _pictures(options.pictures)
    choices = [_choice(text, options.passes) for text in options.method]
    _refuse_wrong(net, choices, options)
    made = compare(net, pictures, choices, [_target(options.target[0])], options.layer, common=options.common,
                   batch_size=options.batch_size)  # fmt: skip
    rows = [made[i : i + len(choices)] for i in range(0, len(made), len(choices))]
    cells = [[row[0].image, *row] for row in rows]
    labels = [f"{p.stem}\n{row[0].target_name} {row[0].probability:.2f}" for p, row in zip(pictures, rows, strict=True)]
    figure = plots.grid(cells, labels, ["picture", *(METHODS[name].title for name, _ in choices)])
    options.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.out, dpi=plots.DPI)
    print(options.out)
    return 0


def _layers(options: argparse.Namespace) -> int:
    from camlib.zoo.own_weights import network_of

    net = network_of(options.network, options.weights, options.classes, "cpu")
    default = net.default_layer.name
    for layer in net.layers(options.depth):
        size = " × ".join(map(str, (*layer.size, layer.channels)))
        print(f"{'*' if layer.name == default else ' '} {layer.name:40s} {size:18s} {layer.note}".rstrip())
    print(f"* {default} is explained unless another layer is named")
    return 0


def _methods(options: argparse.Namespace) -> int:
    from camlib.registry import METHODS, find_method

    for name in options.name or METHODS:
        one = find_method(name)
        print(f"{one.name:22s}{one.family:12s}{one.passes:38s}{one.summary}")
        if options.name:
            given = ", ".join(f"{key}={value!r}" for key, value in one.options.items()) or "none"
            print(f"  source: {one.source}\n  options: {given}")
    return 0


def _networks(options: argparse.Namespace) -> int:
    from camlib.zoo.pretrained import list_networks

    found = [name for name in list_networks() if fnmatch.fnmatch(name, options.pattern)]
    if not found:
        raise ValueError(f"No network is called {options.pattern!r}; patterns are such as '*resnet*'.")
    print("\n".join(found))
    return 0


def _figures(options: argparse.Namespace) -> int:
    """Run the notebook that makes an item; results go to build/, committed figures stay as they are."""
    from camlib import paths
    from camlib.compendium.items import find_item

    item = find_item(options.item)
    os.environ.setdefault("CAMLIB_FIGURES", str(paths.BUILD / "figures"))
    from camlib.compendium.notebook_runner import main as run

    status = run(["run", item.notebook, "--output", str(paths.BUILD / "notebooks-one")])
    print(f"{item.id}: {os.environ['CAMLIB_FIGURES']}/{item.paper}/, notebook {item.notebook}")
    return status


def _completion(options: argparse.Namespace) -> int:
    """A completion script for bash: ``eval "$(camlib completion)"``."""
    commands = next(a for a in _parser()._actions if isinstance(a, argparse._SubParsersAction)).choices
    words = sorted({o for sub in commands.values() for a in sub._actions for o in a.option_strings})
    print(_COMPLETION.format(commands=" ".join(commands), options=" ".join(words)), end="")
    return 0


# -- words of the line


def _pictures(given: Sequence[str]) -> list[Path]:
    """Files, the pictures of folders, the matches of patterns; a name that is no file stays, to be named."""
    from camlib.engine.batches import files_of

    return [path for text in given for path in files_of(text)]


def _stems(pictures: Sequence[Path]) -> dict[Path, str]:
    """What the files of each picture begin with: its name, with its folders where names are not unique."""
    names = [picture.stem for picture in pictures]
    if len(set(names)) == len(pictures):
        return dict(zip(pictures, names, strict=True))
    root = Path(os.path.commonpath([picture.absolute().parent for picture in pictures]))
    return {picture: "-".join(picture.absolute().relative_to(root).parts) for picture in pictures}


def _whole(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number of at least 1")
    return int(text)


def _choice(text: str, passes: int | None) -> tuple[str, dict[str, object]]:
    """A method of the line, "name" or "name:option=value,..."; the budget of passes where the method takes one."""
    from camlib.evaluate.plan import Choice
    from camlib.registry import find_method

    choice = Choice.parse(text)
    takes = passes is not None and "passes" in find_method(choice.name).options
    return choice.name, {**({"passes": passes} if takes else {}), **choice.options}


def _target(text: str) -> int | str | None:
    return None if text == "top" else int(text) if text.isdecimal() else text


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _parser() -> argparse.ArgumentParser:
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="camlib", description=__doc__, formatter_class=form)
    parser.set_defaults(debug=False)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, act, text in (
        ("explain", _explain, "overlay, raw map and record of every picture"),
        ("compare", _compare, "one sheet of several methods"),
    ):
        sub = commands.add_parser(name, help=text, description=act.__doc__)
        sub.add_argument("pictures", nargs="+", metavar="PICTURE", help="files, folders or patterns")
        sub.add_argument("--method", nargs="+", default=["grad-cam"], help="names; options as score-cam:filler=black")
        sub.add_argument("--target", nargs="+", default=["top"], help="class numbers or names; the most probable one")
        sub.add_argument("--layer", help="see `camlib layers NETWORK`; the network's own")
        sub.add_argument("--common", choices=["keep", "center", "project"], default="keep", help="the common map ΣM")
        sub.add_argument("--passes", type=int, help="budget of masked passes, for methods that take one")
        sub.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, mps")
        sub.add_argument("--batch-size", type=_whole, default=8, metavar="N", help="pictures that run together")
        sub.add_argument("--out", type=Path, required=True, help="folder (explain), picture (compare)")
        _add_network(sub, act)
    explain = commands.choices["explain"]
    explain.add_argument("--original", action="store_true", help="overlays at the resolution of the picture")
    explain.add_argument("--opacity", type=float, default=0.8, help="strength of the color, 0 to 1")
    layers = commands.add_parser("layers", help="the layers of a network that can be explained")
    layers.add_argument("network", metavar="NETWORK")
    layers.add_argument("--depth", type=int, help="parts of a name at most")
    _add_network(layers, _layers, named=False)
    methods = commands.add_parser("methods", help="the methods; with a name its source and options, too")
    methods.add_argument("name", nargs="*")
    networks = commands.add_parser("networks", help="names of networks")
    networks.add_argument("pattern", nargs="?", default="*")
    figures = commands.add_parser("figures", help="makes one item of a paper again, by its id")
    figures.add_argument("item")
    completion = commands.add_parser("completion", help='completion for bash: eval "$(camlib completion)"')
    for sub, act in ((methods, _methods), (networks, _networks), (figures, _figures), (completion, _completion)):
        sub.set_defaults(act=act)
    for sub in commands.choices.values():
        sub.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands.add_parser("evidence", help="rows that the claims stand on: camlib evidence --help")
    commands.add_parser("evaluate", help="many pictures, methods and metrics into tables: camlib evaluate --help")
    return parser


def _add_network(sub: argparse.ArgumentParser, act: object, named: bool = True) -> None:
    if named:
        sub.add_argument("--network", default="efficientnet-lite0", help="see `camlib networks`")
    sub.add_argument("--weights", default="default", help="'default', 'none', a published name, or a file of weights")
    sub.add_argument("--classes", type=Path, help="file with one class name a line, for a network of your own")
    sub.set_defaults(act=act)
