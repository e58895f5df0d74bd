"""YAML to a mapping, with every key that stands twice, and syntax errors with line and column."""

from collections.abc import Iterator
from typing import Any

import yaml
from yaml.reader import ReaderError

from keras_ds2.recipe.faults import dotted


def parse_yaml(text: str) -> tuple[Any, list[str]]:
    """Reads YAML.

    Args:
        text: one YAML document.

    Returns:
        The value (`None` where the text cannot be read), and the faults found.
    """
    try:
        loader = yaml.SafeLoader(text)
    except ReaderError as error:
        before = text[: error.position]
        place = f"line {before.count(chr(10)) + 1}:{error.position - before.rfind(chr(10))}"
        return None, [f"{place}: not YAML: character U+{error.character:04X} is not allowed"]
    try:
        node = loader.get_single_node()
        if node is None:
            return None, []
        faults = list(_repeated(node, set()))
        return loader.construct_document(node), faults
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}:{mark.column + 1}: " if mark else ""
        context = f" ({error.context})" if error.context else ""
        return None, [f"{place}not YAML: {error.problem}{context}"]
    except ValueError as error:  # a date such as 2026-99-99
        return None, [f"not YAML: {error}"]
    finally:
        loader.dispose()


def _repeated(node: yaml.Node, seen: set[int], place: tuple[str | int, ...] = ()) -> Iterator[str]:
    """Faults of the mappings under `node`; `seen`: nodes visited, as an alias comes again."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _repeated(item, seen, (*place, index))
    elif isinstance(node, yaml.MappingNode):
        first: dict[str, int] = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in first and key.tag != "tag:yaml.org,2002:merge":
                lines = f"{first[name]} and {line}"
                yield f"{dotted((*place, name))}: expected once, received twice, on lines {lines}"
            first.setdefault(name, line)
            yield from _repeated(value, seen, (*place, name))
