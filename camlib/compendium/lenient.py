"""An IPython extension: a notebook goes on without the cells that cannot run, and says what is missing.

``notebook_runner run --lenient`` loads it, for the papers' setting, where weights may be missing and nobody has
read what the text will say about other networks. Three things change, and nothing in the notebook:

- A cell that raises is left out: what it raised is printed after "left out: " where weights are missing, else after
  "failed: ".
- A later cell that needs a name which such a cell would have assigned or changed is left out, too, so that nothing is
  made from an older value of that name.
- An ``assert`` that fails prints "does not hold here: " and its condition, and the cell goes on: in notebooks it stands
  for a sentence of the text about one network; ``report.prose`` does the same. An identity (``report.check``) still
  raises.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

from camlib.checkpoints import WeightsUnavailable

LEFT_OUT, FAILED, DOUBTED = "left out: ", "failed: ", "does not hold here: "
DEPENDENT = f"{LEFT_OUT}needs "
"""How the three remarks begin, and the one of a cell that needs another one."""
_HIDDEN = "_camlib_lenient"
_FRAME = f"""
{_HIDDEN}.shown = None
try:
    pass
except Exception as _camlib_error:
    {_HIDDEN}.leave_out(_camlib_error)
{_HIDDEN}.shown
"""


_active = False


def active() -> bool:
    """Whether this process runs a notebook in this way: with parameters that its text was not written for."""
    return _active


def load_ipython_extension(shell: Any) -> None:
    """What ``%load_ext camlib.compendium.lenient`` calls."""
    global _active
    _active = True
    lenience = Lenience(shell.user_ns)
    shell.user_ns[_HIDDEN] = lenience
    shell.ast_transformers.append(lenience)


def unload_ipython_extension(shell: Any) -> None:
    """What ``%unload_ext`` calls: cells run as they are written again."""
    global _active
    _active = False
    shell.user_ns.pop(_HIDDEN, None)
    shell.ast_transformers[:] = [one for one in shell.ast_transformers if not isinstance(one, Lenience)]


class Lenience(ast.NodeTransformer):
    """Rewrites cells before they run, and keeps the names that are missing.

    Attributes:
        namespace: the notebook's names.
        missing: name -> why it is missing.
        shown: the value of the cell's last expression, which IPython displays.
    """

    def __init__(self, namespace: dict[str, Any]) -> None:
        self.namespace, self.missing, self.shown = namespace, {}, None
        self._changes: frozenset[str] = frozenset()
        self._said: set[str] = set()

    def visit_Module(self, cell: ast.Module) -> ast.Module:
        """The cell with all of its statements in a ``try``, or a line that says why it is left out."""
        self._changes, self._said = changes(cell, self.namespace), set()
        lacking = sorted(needs(cell) & set(self.missing))
        if lacking:
            reason = self.missing[lacking[0]]
            self._lack(reason)
            return ast.parse(f"print({DEPENDENT + ', '.join(lacking) + ' (' + reason + ')'!r})")
        for name in self._changes:
            self.missing.pop(name, None)
        return self._guarded(self.generic_visit(cell)) if cell.body else cell

    def visit_Assert(self, statement: ast.Assert) -> ast.If:
        """The same condition, without the end of the run."""
        call = ast.parse(f"{_HIDDEN}.doubt({ast.unparse(statement.test)!r})").body
        condition = ast.UnaryOp(ast.Not(), statement.test)
        return ast.copy_location(ast.If(condition, call, []), statement)

    def leave_out(self, error: Exception) -> None:
        """Called by a cell that raised: says so, and takes its names as missing from now on."""
        said = " ".join(str(error).split())
        expected = isinstance(error, WeightsUnavailable)
        print(f"{LEFT_OUT}{said}" if expected else f"{FAILED}{type(error).__name__}: {said}")
        self._lack(said.partition(":")[0] if expected else f"a cell above failed with {type(error).__name__}")

    def doubt(self, condition: str) -> None:
        """Called by an assertion that fails; each is said once a cell."""
        if condition not in self._said:
            self._said.add(condition)
            print(f"{DOUBTED}{condition}")

    def _lack(self, reason: str) -> None:
        self.missing |= dict.fromkeys(self._changes, reason)

    def _guarded(self, cell: ast.Module) -> ast.Module:
        """The statements inside of the frame; the value of a last expression is shown behind it, as ever."""
        start, guard, show = ast.parse(_FRAME).body
        *before, last = cell.body
        if not isinstance(last, ast.Expr):
            guard.body = cell.body
            return ast.fix_missing_locations(ast.Module([start, guard], []))
        keep = ast.Assign([ast.Attribute(ast.Name(_HIDDEN, ast.Load()), "shown", ast.Store())], last.value)
        guard.body = [*before, ast.copy_location(keep, last)]
        return ast.fix_missing_locations(ast.Module([start, guard, show], []))


# -- which names a cell needs, and which it changes


def changes(cell: ast.AST, namespace: dict[str, Any]) -> frozenset[str]:
    """Names that a cell assigns or whose value it changes (``rows[0] = 1``, ``rows.append(1)``); modules are not."""
    found = set()
    for node in ast.walk(cell):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.alias):
            found.add((node.asname or node.name).partition(".")[0])
        elif isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store):
            found.add(_root(node))
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            called = node.value.func
            found |= {_root(called)} if isinstance(called, ast.Attribute) else set()
    return frozenset(name for name in found if name and not isinstance(namespace.get(name), ModuleType))


def _root(node: ast.expr) -> str:
    """The name at the beginning of ``name.a[0].b``; empty where something else begins."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def needs(cell: ast.AST) -> frozenset[str]:
    """Names that a cell reads before it has assigned them itself: they come from another cell, or from Python."""
    reader = _Reader()
    reader.visit(cell)
    return frozenset(reader.needed)


class _Reader(ast.NodeVisitor):
    """Walks in the order in which Python evaluates; a name in one branch counts as assigned after both."""

    def __init__(self) -> None:
        self.needed: set[str] = set()
        self.bound: set[str] = set()

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self.needed |= {node.id} - self.bound
        else:
            self.bound.add(node.id)

    def visit_Assign(self, node: ast.Assign) -> None:
        self._each([node.value, *node.targets])

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._each([node.value, node.target])

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.needed |= {_root(node.target)} - self.bound - {""}
        self._each([node.value, node.target])

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self._each([node.value, node.target])

    def visit_For(self, node: ast.For) -> None:
        self._each([node.iter, node.target, *node.body, *node.orelse])

    def visit_alias(self, node: ast.alias) -> None:
        self.bound.add((node.asname or node.name).partition(".")[0])

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self.bound |= {node.name} - {None}
        self._each([node.type, *node.body])

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._each([*node.decorator_list, *node.args.defaults, *node.args.kw_defaults])
        self.bound.add(node.name)
        local = {name.id for name in ast.walk(node) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)}
        self._inside(local | _arguments(node.args), node.body)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._each([*node.args.defaults, *node.args.kw_defaults])
        self._inside(_arguments(node.args), [node.body])

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._each([*node.decorator_list, *node.bases, *node.keywords])
        self._inside(set(), node.body)
        self.bound.add(node.name)

    def _comprehension(self, node: Any) -> None:
        outside = set(self.bound)
        for part in node.generators:
            self._each([part.iter, part.target, *part.ifs])
        self._each([node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt])
        self.bound = outside

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    def _inside(self, local: set[str], body: Iterable[ast.AST]) -> None:
        outside = set(self.bound)
        self.bound |= local
        self._each(body)
        self.bound = outside

    def _each(self, nodes: Iterable[ast.AST | None]) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)


def _arguments(given: ast.arguments) -> set[str]:
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    return {argument.arg for argument in every if argument is not None}


def remarks(notebook: Any) -> Iterator[tuple[int, str]]:
    """(index of the cell, line) of everything that this extension has printed into a notebook that ran."""
    for index, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            for line in output.get("text", "").splitlines():
                if line.startswith((LEFT_OUT, FAILED, DOUBTED)):
                    yield index, line
