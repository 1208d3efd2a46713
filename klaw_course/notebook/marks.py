"""Skip a cell that needs what this cluster lacks, and with it every cell that rests on it; the others run.

A cell says what it needs in its first line, which is a comment that people read, too:

    # Needs a private cluster: it kills the node.

A cell that is skipped leaves names undefined, or as they were before it. A later cell that reads such a name is skipped
with it, until a cell that runs gives the name a value again.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable

THINGS = ("a private cluster", "simulated nodes", "a node on this machine", "Linux", "PyTorch")
MARK = re.compile(rf"# Needs ({'|'.join(THINGS)}): (.+\.)")
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class Marks:
    """Decide for one cell after the other whether it runs.

    Args:
        lacks: what a mark may name to a function that tells whether this cluster lacks it; asked when a cell needs it.
    """

    def __init__(self, lacks: dict[str, Callable[[], bool]]):
        self._lacks = lacks
        self._missing: dict[str, str] = {}  # name -> what the cell needed that was to define it
        self._cell = ""

    def why_skipped(self, cell: str, tree: ast.Module) -> str:
        """Tell in a sentence why a cell is skipped; an empty text if it runs.

        Args:
            cell: its source, as the reader sees it.
            tree: the same, parsed, with magics replaced by what they call.
        """
        reads, sets, surely_sets = _names(tree)
        mark = MARK.match(cell)
        needs, sentence = "", ""
        if mark and self._lacks[mark[1]]():
            needs, sentence = mark[1], f"Skipped. This cell needs {mark[1]}: {mark[2]}"
        elif rests_on := sorted(reads & set(self._missing)):
            needs = self._missing[rests_on[0]]
            sentence = f"Skipped, too: {rests_on[0]!r} comes from a cell that needs {needs}."
        if sentence:
            self._missing.update(dict.fromkeys(sets, needs))
        else:
            for name in surely_sets:
                self._missing.pop(name, None)
        return sentence

    def remember(self, info) -> None:
        """Keep the source of the cell that is about to run (IPython's event ``pre_run_cell``)."""
        self._cell = info.raw_cell or ""

    def visit(self, tree: ast.Module) -> ast.Module:
        """Give IPython the cell as it is, or an empty one (an entry of ``ast_transformers``)."""
        sentence = self.why_skipped(self._cell, tree)
        if not sentence:
            return tree
        print(sentence)
        return ast.Module(body=[], type_ignores=[])


def install(shell, marks: Marks) -> None:
    """Let the marks decide on every cell that this shell runs from now on."""
    remove(shell)
    shell.events.register("pre_run_cell", marks.remember)
    shell.ast_transformers.append(marks)


def remove(shell) -> None:
    """Let every cell run again. Safe to repeat."""
    for marks in [entry for entry in shell.ast_transformers if isinstance(entry, Marks)]:
        shell.ast_transformers.remove(marks)
        shell.events.unregister("pre_run_cell", marks.remember)


def _names(tree: ast.Module) -> tuple[set[str], set[str], set[str]]:
    """What a cell reads before it sets it; what it may set or change; what it sets whichever way it goes."""
    sets = set().union(*(_set(statement) for statement in tree.body))
    surely = set().union(*(_surely_set(statement) for statement in tree.body))
    return _read_one_by_one(tree.body), sets, surely


def _read_one_by_one(statements: list[ast.stmt]) -> set[str]:
    """Names that statements read, but for what those before have surely set."""
    reads, surely = set(), set()
    for statement in statements:
        reads |= _read(statement) - surely
        surely |= _surely_set(statement)
    return reads


def _surely_set(statement: ast.stmt) -> set[str]:
    unconditional = (ast.Assign, ast.AnnAssign, ast.With, ast.Import, ast.ImportFrom, *_SCOPES)
    return _set(statement, changed_too=False) if isinstance(statement, unconditional) else set()


def _read(node: ast.AST) -> set[str]:
    """Names that a node reads from outside itself; a function reads them when it is called."""
    if isinstance(node, ast.Name):
        return {node.id} if isinstance(node.ctx, (ast.Load, ast.Del)) else set()
    if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        return {node.target.id} | _read(node.value)
    if isinstance(node, (ast.For, ast.AsyncFor)):
        return _read(node.iter) | (_read_one_by_one(node.body + node.orelse) - _set(node.target, changed_too=False))
    if isinstance(node, (ast.With, ast.AsyncWith)):
        opened = set().union(*(_set(item, changed_too=False) for item in node.items))
        return set().union(*(_read(item) for item in node.items)) | (_read_one_by_one(node.body) - opened)
    found = set().union(*(_read(child) for child in ast.iter_child_nodes(node)), set())
    if isinstance(node, (*_SCOPES, *_COMPREHENSIONS)):
        inside = set().union(*(_set(child, changed_too=False) for child in ast.iter_child_nodes(node)), set())
        found -= inside | {child.arg for child in ast.walk(node) if isinstance(child, ast.arg)}
    return found


def _set(node: ast.AST, changed_too: bool = True) -> set[str]:
    """Names that a node gives a value, and (``x[1] = ...``, ``x.a = ...``) those whose value it changes."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {node.name}
    if isinstance(node, (ast.Lambda, *_COMPREHENSIONS)):
        return set()
    if isinstance(node, ast.Name):
        return {node.id} if isinstance(node.ctx, (ast.Store, ast.Del)) else set()
    if isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, ast.Store):
        return _base(node) if changed_too else set()
    if isinstance(node, ast.alias):
        return {(node.asname or node.name).partition(".")[0]}
    if isinstance(node, ast.ExceptHandler) and node.name:
        return {node.name}.union(*(_set(child, changed_too) for child in node.body))
    return set().union(*(_set(child, changed_too) for child in ast.iter_child_nodes(node)), set())


def _base(node: ast.AST) -> set[str]:
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return {node.id} if isinstance(node, ast.Name) else set()
