"""The definitions of our modules that a piece of code can reach, and the modules' sources without the others.

A step uses a few functions of each module that it imports. The others would travel in its command all the same. A
top-level function, class, constant or import stays where something that stays mentions its name. Statements that bind
no name, and functions that a decorator may have registered somewhere, always stay.
"""

import ast
import re
import symtable
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

_WHOLE = "*"
"""Mark for all names of a module that is used as a value."""

_PURE_DECORATORS = {"cache", "contextmanager", "dataclass", "lru_cache", "total_ordering", "unique"}
"""Decorators that register what they decorate nowhere."""

_ANNOTATION = re.compile(r"[\w.,|\[\] ]{1,200}")

_Import = ast.Import | ast.ImportFrom


class Program:
    """A package as a graph of definitions.

    Args:
        package: Its name.
        root: Its folder.
    """

    def __init__(self, package: str, root: Path) -> None:
        self._package = package
        self._root = root
        self._modules: dict[str, _Module] = {}
        self._needed: dict[str, set[str]] = {}
        self._open: list[tuple[str, str]] = []

    def reach(self, code: str) -> dict[Path, str]:
        """Returns the source of each module that code needs, reduced to the definitions that it can reach.

        Args:
            code: What imports the package's modules; imports within functions count.
        """
        self._follow(None, _mentions(ast.parse(code), code))
        while self._open:
            module, name = self._open.pop()
            for definition in self._modules[module].definitions.get(name, ()):
                if isinstance(definition, _Import):
                    for alias in definition.names:
                        if _bound_by(alias) == name:
                            self._import(definition, alias)
                else:
                    self._follow(self._modules[module], self._modules[module].mentions(definition))
        return {module.file: module.reduced(self._needed[name]) for name, module in sorted(self._modules.items())}

    def _follow(self, module: "_Module | None", mentions: "_Mentions") -> None:
        """Marks all that a statement mentions: names of its own module, and those of others that it imports."""
        modules: dict[str, str] = {}
        for statement in mentions.imports:
            modules |= self._bound_modules(statement)
            for alias in statement.names:
                self._import(statement, alias)
        if module is not None:
            for name in mentions.names & module.definitions.keys():
                self._want(module.name, name)
                for definition in module.definitions[name]:
                    if isinstance(definition, _Import):
                        bound = self._bound_modules(definition)
                        modules |= {name: bound[name]} if name in bound else {}
        for name, target in modules.items():
            for attribute in {_WHOLE} if name in mentions.bare else mentions.attributes.get(name, set()):
                self._want(target, attribute)

    def _import(self, statement: _Import, alias: ast.alias) -> None:
        if isinstance(statement, ast.Import):
            self._load(alias.name)
        elif statement.module and not self._load(f"{statement.module}.{alias.name}") and self._load(statement.module):
            self._want(statement.module, alias.name)

    def _bound_modules(self, statement: _Import) -> dict[str, str]:
        """Returns, for each name that an import binds to a module of the package, that module's name."""
        prefix = f"{statement.module}." if isinstance(statement, ast.ImportFrom) else ""
        named = {_bound_by(alias): f"{prefix}{alias.name}" for alias in statement.names}
        return {name: target for name, target in named.items() if self._load(target)}

    def _want(self, module: str, name: str) -> None:
        names = set(self._modules[module].definitions) if name == _WHOLE else {name}
        self._open += [(module, each) for each in sorted(names - self._needed[module])]
        self._needed[module] |= names

    def _load(self, name: str) -> bool:
        """Takes a module in, with the packages that it is in, if it is one of the package's."""
        if name in self._modules:
            return True
        package, *parts = name.split(".")
        file = _file(self._root, *parts) if package == self._package else None
        if file is None:
            return False
        module = self._modules[name] = _module(name, file)
        self._needed[name] = set()
        if parts:
            self._load(name.rpartition(".")[0])
        for statement in module.effects:
            self._follow(module, module.mentions(statement))
        return True


@dataclass(frozen=True)
class _Mentions:
    """Names that a statement mentions.

    Attributes:
        names: Names that it takes from its module.
        bare: Names that are used as they are, and not only for an attribute.
        attributes: For each name, the attributes of it that are used.
        imports: Imports within it.
    """

    names: set[str]
    bare: set[str]
    attributes: dict[str, set[str]]
    imports: list[_Import]


class _Module:
    def __init__(self, name: str, file: Path) -> None:
        self.name = name
        self.file = file
        source = file.read_text()
        self._source_lines = source.splitlines()
        self._tree = ast.parse(source)
        self._mentions: dict[ast.stmt, _Mentions] = {}

    def mentions(self, statement: ast.stmt) -> _Mentions:
        """Returns what one of its statements mentions."""
        if statement not in self._mentions:
            first, last = _lines(statement)
            text = "\n".join(self._source_lines[first:last])
            self._mentions[statement] = _mentions(statement, text)
        return self._mentions[statement]

    @cached_property
    def definitions(self) -> dict[str, list[ast.stmt]]:
        """Its top-level statements by the names that they bind."""
        found: dict[str, list[ast.stmt]] = {}
        for statement in self._tree.body:
            for name in _bound(statement):
                found.setdefault(name, []).append(statement)
        return found

    @cached_property
    def effects(self) -> list[ast.stmt]:
        """The statements that stay whatever is needed."""
        return [statement for statement in self._tree.body if not _bound(statement) and not _is_for_types(statement)]

    def reduced(self, needed: set[str]) -> str:
        """Returns the source without the definitions that are not needed; what is left stays on its line."""
        lines = [*self._source_lines]
        for statement in self._tree.body:
            names = _bound(statement)
            if (names and not needed & set(names)) or _is_for_types(statement):
                left = ""
            elif isinstance(statement, _Import) and set(names) - needed:
                left = _import_of(statement, needed)
            else:
                continue
            first, last = _lines(statement)
            lines[first:last] = [left] + [""] * (last - first - 1)
        return "\n".join(lines) + "\n"


@cache
def _file(root: Path, *parts: str) -> Path | None:
    place = root.joinpath(*parts)
    return next((each for each in (place / "__init__.py", place.with_suffix(".py")) if each.is_file()), None)


@cache
def _module(name: str, file: Path) -> _Module:
    return _Module(name, file)


def _mentions(statement: ast.stmt | ast.Module, text: str) -> _Mentions:
    names = set(_free_names(symtable.symtable(text, "", "exec")))
    bare: set[str] = set()
    attributes: dict[str, set[str]] = {}
    imports: list[_Import] = []
    nodes: list[ast.AST] = [statement]
    while nodes:
        node = nodes.pop()
        if isinstance(node, _Import):
            imports.append(node)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            attributes.setdefault(node.value.id, set()).add(node.attr)
            continue
        elif isinstance(node, ast.Name):
            bare.add(node.id)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            # A class that is defined further down is named in an annotation as text.
            names |= set(re.findall(r"\w+", node.value) if _ANNOTATION.fullmatch(node.value) else ())
        nodes += ast.iter_child_nodes(node)
    return _Mentions(names, bare, attributes, imports)


def _free_names(table: symtable.SymbolTable) -> Iterator[str]:
    """Yields the names that a statement takes from its module, at its top or within functions and classes."""
    for symbol in table.get_symbols():
        if symbol.is_referenced() and (symbol.is_global() or table.get_type() == "module"):
            yield symbol.get_name()
    for child in table.get_children():
        yield from _free_names(child)


def _bound(statement: ast.stmt) -> list[str]:
    """Returns the names that a top-level statement binds; none for one that may do more than that."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        is_special = statement.name.startswith("__") or not all(map(_is_pure, statement.decorator_list))
        return [] if is_special else [statement.name]
    if isinstance(statement, _Import):
        return [_bound_by(alias) for alias in statement.names]
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    targets = [statement.target] if isinstance(statement, ast.AnnAssign) else targets
    stored = (node for target in targets for node in ast.walk(target) if isinstance(node, ast.Name))
    return [node.id for node in stored if isinstance(node.ctx, ast.Store)]


def _lines(statement: ast.stmt) -> tuple[int, int]:
    """Returns where a top-level statement begins, with its decorators, and where it has ended."""
    first = min([statement.lineno, *(each.lineno for each in getattr(statement, "decorator_list", ()))])
    return first - 1, statement.end_lineno or statement.lineno


def _import_of(statement: _Import, needed: set[str]) -> str:
    left = [alias for alias in statement.names if _bound_by(alias) in needed]
    if isinstance(statement, ast.Import):
        return ast.unparse(ast.Import(left))
    return ast.unparse(ast.ImportFrom(statement.module, left, statement.level))


def _bound_by(alias: ast.alias) -> str:
    return alias.asname or alias.name.partition(".")[0]


def _is_pure(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return (called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")) in _PURE_DECORATORS


def _is_for_types(statement: ast.stmt) -> bool:
    """Tells an `if TYPE_CHECKING:`, of which nothing is there when a program runs."""
    return (
        isinstance(statement, ast.If) and getattr(statement.test, "id", "") == "TYPE_CHECKING" and not statement.orelse
    )
