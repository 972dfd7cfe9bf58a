"""Which files a module that registers trainables is made of, and the fingerprint of its code."""

import ast
import hashlib
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path

Stamp = list[int] | None


def source_files(module: str) -> tuple[Path, ...]:
    """The files whose change changes the module: its own, and those of its neighbours that it imports, in order.

    Its own are one file, or all Python files of a package. Neighbours are modules of the same top-level package; for a
    module outside of any package, modules in the same folder. Empty if the module cannot be found.
    """
    found: set[Path] = set()
    waiting = [module]
    seen = {module}
    while waiting:
        for file, package in _own_files(waiting.pop()):
            found.add(file)
            for name in imported_names(file, package):
                if name not in seen and _is_neighbour(name, module):
                    seen.add(name)
                    waiting.append(name)
    return tuple(sorted(found))


def stamp(file: Path) -> Stamp:
    """What tells, without reading it, whether a file has changed: its time and size; None if it is not there."""
    try:
        found = file.stat()
    except OSError:
        return None
    return [found.st_mtime_ns, found.st_size]


def fingerprint(files: Sequence[Path]) -> str:
    """12 hex digits over the files' names and contents."""
    digest = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        digest.update(f"{file.name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:12]


def _own_files(module: str) -> Iterator[tuple[Path, str]]:
    """Each file with the package that its relative imports start from."""
    origin = _origin(module)
    if origin is None:
        return
    if origin.name != "__init__.py":
        yield origin, module.rpartition(".")[0]
        return
    for file in origin.parent.rglob("*.py"):
        yield file, ".".join([module, *file.parent.relative_to(origin.parent).parts])


def _origin(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except Exception:  # it imports the parents, which may raise anything
        return None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    return Path(spec.origin)


def _is_neighbour(name: str, module: str) -> bool:
    if "." in module:
        return name.startswith(f"{module.split('.', 1)[0]}.")
    if "." in name:
        return False
    origin, own = _origin(name), _origin(module)
    return origin is not None and own is not None and origin.parent == own.parent and "site-packages" not in own.parts


def imported_names(file: Path, package: str) -> Iterator[str]:
    """Absolute names of what a file imports; of ``from a import b`` both a and a.b, since b may be a module.

    Args:
        file: A Python file; one with a syntax error imports nothing.
        package: What its relative imports start from.
    """
    try:
        tree = ast.parse(file.read_bytes())
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: -(node.level - 1) or None]
                base = ".".join([*above, *filter(None, [base])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
