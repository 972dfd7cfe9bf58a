"""Imports modules and prints the cards of their trainables: ``python -m searchd.worker.cards [--installed] MODULE...``.

Prints one JSON document: ``cards``; ``errors``, the last line of the error, with file and line,
by module that cannot be imported; ``taken``, the later module of two that register the same name, by that name;
``files``, all source files whose change may change the answer; and ``stamps``, their times and sizes.

It runs in a process of its own, so that trainables, with whatever they import, stay out of the server.
"""

import argparse
import contextlib
import importlib
import json
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from searchd.domain.card import Card
from searchd.trainable import Registration, registered
from searchd.trainable.registry import NameTaken
from searchd.worker.card_json import card_to_json
from searchd.worker.loading import installed_modules
from searchd.worker.sources import Stamp, fingerprint, source_files, stamp


def read_cards(modules: Sequence[str]) -> dict[str, Any]:
    """Import the modules and describe what they registered, as the JSON document that ``main`` prints."""
    cards: list[Card] = []
    errors: dict[str, str] = {}
    taken: dict[str, str] = {}
    stamps: dict[str, Stamp] = {}
    for module in dict.fromkeys(modules):
        before = dict(registered())
        sources = source_files(module)
        # Before the import, so that a change during it is noticed later.
        stamps.update({str(file): stamp(file) for file in sources})
        try:
            importlib.import_module(module)
        except BaseException as error:
            traceback.print_exc()
            errors[module] = _reason(error, sources)
            if isinstance(error, NameTaken):
                taken[error.name] = module
            continue
        code = fingerprint(sources)
        cards += [_card(r, code) for name, r in registered().items() if before.get(name) is not r]
    return {
        "cards": [card_to_json(card) for card in cards],
        "errors": errors,
        "taken": taken,
        "files": sorted(stamps),
        "stamps": stamps,
    }


def _reason(error: BaseException, sources: Sequence[Path]) -> str:
    """The last line of an error, with the place in the module's files that it comes from, if it comes from there."""
    last = f"{type(error).__name__}: {error}".strip().rsplit("\n", 1)[-1]
    own = {str(file) for file in sources}
    places = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in own]
    if not places or isinstance(error, SyntaxError):  # which names its place itself
        return last
    return f"{last} ({Path(places[-1].filename).name}:{places[-1].lineno})"


def _card(registration: Registration, code: str) -> Card:
    return Card(
        registration.name,
        registration.description,
        registration.form,
        registration.metrics,
        registration.space,
        registration.default,
        registration.checkpoints,
        registration.folds,
        code,
        registration.gradients,
        registration.parent,
    )


def main(arguments: Sequence[str]) -> None:
    """Print the document for the modules named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m searchd.worker.cards", description=__doc__)
    parser.add_argument("--installed", action="store_true", help="installed entry points too")
    parser.add_argument("modules", nargs="*")
    asked = parser.parse_args(arguments)
    modules = [*asked.modules, *(installed_modules().values() if asked.installed else ())]
    with contextlib.redirect_stdout(sys.stderr):
        document = read_cards(modules)
    sys.stdout.write(json.dumps(document))


if __name__ == "__main__":
    main(sys.argv[1:])
