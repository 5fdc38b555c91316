"""Write the reference pages from the code: the public names from their docstrings, the commands from their help.

    python docs/reference/generate.py

A test checks that the pages are what this writes.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import dataworth

HERE = Path(__file__).resolve().parent
MADE = "<!-- Made by docs/reference/generate.py; do not edit. -->\n"


def api() -> str:
    """The public names, in groups, with how they are called and one line each."""
    groups: dict[str, list[str]] = {"Functions": [], "Methods": [], "Records": [], "Errors and warnings": []}
    for name in dataworth.__all__:
        if name == "__version__":
            continue
        thing = getattr(dataworth, name)
        groups[_group(thing)].append(f"| `{_call(name, thing)}` | {_first_sentence(thing)} |")
    parts = [
        f"{MADE}\n# The public names\n",
        "All that `import dataworth as dw` offers, beside `dw.__version__`. `help(dw.read_points)` shows the whole of",
        "it for any name: arguments with shapes and units, what is raised, and an example that is run as a test.",
    ]
    for title, lines in groups.items():
        parts += [f"\n## {title}\n", "| call | what it does |\n| --- | --- |", *lines]
    return "\n".join(parts) + "\n"


def commands() -> str:
    """Every command with its arguments and options."""
    import typer.main

    from dataworth.cli.app import app

    group: Any = typer.main.get_command(app)
    parts = [
        f"{MADE}\n# The commands\n",
        "`dataworth COMMAND --help` says the same. Exit codes: 0 done; 2 asked wrongly, with one line that says what",
        "would be right; 1 our fault or the machine's; 130 stopped by Ctrl-C, 143 by SIGTERM while models were",
        "trained. Files appear whole or not at all.\n",
        "Options before the command:\n",
        *_parameters(group),
    ]
    for name, command in group.commands.items():
        parts += [f"\n## dataworth {name}\n", _plain(command.help)]
        if command.epilog:
            parts += [f"\n```console\n{_plain(command.epilog).removeprefix('Example: ')}\n```"]
        parts += ["", *_parameters(command)]
    return "\n".join(parts) + "\n"


PAGES = {"api.md": api, "commands.md": commands}


def _group(thing: Any) -> str:
    if inspect.isfunction(thing):
        return "Functions"
    if issubclass(thing, (Exception, Warning)):
        return "Errors and warnings"
    return "Records" if thing.__module__.startswith("dataworth.records") else "Methods"


def _call(name: str, thing: Any) -> str:
    """How it is called, without types; errors are caught, not called."""
    if isinstance(thing, type) and issubclass(thing, (Exception, Warning)):
        return name
    bare = [
        parameter.replace(annotation=inspect.Parameter.empty, default=_shown(parameter.default))
        for parameter in inspect.signature(thing).parameters.values()
    ]
    return name + str(inspect.Signature(bare)).replace("<factory>", "{}").replace("|", "\\|")


class _Name:
    """A function as a default value, shown by its name."""

    def __init__(self, function: Any) -> None:
        self._name = function.__name__

    def __repr__(self) -> str:
        return str(self._name)


def _shown(default: Any) -> Any:
    return _Name(default) if inspect.isfunction(default) else default


def _first_sentence(thing: Any) -> str:
    text = " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())
    return re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text).replace("``", "`").replace("|", "\\|")


def _parameters(command: Any) -> list[str]:
    lines = ["| option | what it is |", "| --- | --- |"]
    for parameter in command.params:
        if parameter.param_type_name == "option":
            shown = " ".join([", ".join(parameter.opts), *filter(None, [parameter.metavar])])
        else:
            shown = parameter.metavar or parameter.name.upper()
        needed = " **Required.**" if parameter.required else ""
        lines.append(f"| `{shown}` | {_plain(parameter.help).replace('|', chr(92) + '|')}{needed} |")
    return lines


def _plain(text: str | None) -> str:
    return (text or "").replace("\f", "").strip()


def main() -> None:
    """Write every page."""
    for name, make in PAGES.items():
        (HERE / name).write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
