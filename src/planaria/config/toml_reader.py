"""From TOML to structs, with an error that names line, key and mend for whatever does not fit."""

import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec

from planaria.config.errors import SettingsError
from planaria.config.toml_lines import KeyPath

_SECRET_KEYS = frozenset({"api_key", "apikey", "key", "token", "secret", "password"})


class TomlReader:
    """Turns parsed TOML into structs, and says of any key what is wrong with it."""

    def __init__(self, file: Path, lines: Mapping[KeyPath, int]) -> None:
        self.file = file
        self.lines = lines

    def fault(self, path: KeyPath, problem: str, mend: str) -> SettingsError:
        """What is wrong with a key, with its line."""
        line = next((self.lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in self.lines), None)
        return SettingsError(self.file, problem, mend, line=line, key=".".join(path))

    def struct(self, kind: type[Any], data: object, path: KeyPath) -> Any:
        """A table as a struct of this kind.

        Raises:
            SettingsError: an unknown key, or a value of a wrong type.
        """
        if not isinstance(data, dict):
            name = path[-1]
            raise self.fault(
                path, f"{name!r} must be a table, not {shown(data)}", f"write [{'.'.join(path)}]"
            )
        fields = {field.name: field for field in msgspec.structs.fields(kind)}
        values: dict[str, Any] = {}
        for key, value in data.items():
            if key not in fields:
                raise self._unknown(key, fields.keys(), path)
            values[key] = self._value(fields[key].type, value, (*path, key))
        return kind(**values)

    def _value(self, kind: Any, value: object, path: KeyPath) -> Any:
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            return self.struct(kind, value, path)
        if get_origin(kind) is dict:
            entry = get_args(kind)[1]
            if not isinstance(value, dict):
                raise self.fault(path, f"{path[-1]!r} must be a table", f"write [{'.'.join(path)}.NAME]")
            return {name: self._value(entry, inner, (*path, name)) for name, inner in value.items()}
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            wanted = str(error).split(" - at ", 1)[0].replace("`", "")
            problem = f"{'.'.join(path)!r} is {shown(value)}"
            raise self.fault(path, problem, wanted[:1].lower() + wanted[1:]) from error

    def _unknown(self, key: str, known: Any, path: KeyPath) -> SettingsError:
        place = f"in [{'.'.join(path)}]" if path else "at the top level"
        if key.lower() in _SECRET_KEYS and "api_key_env" in known:
            # The value is a secret and stays out of the message.
            return self.fault(
                (*path, key),
                f"a literal key {key!r} {place}",
                'secrets stay out of this file: write api_key_env = "NAME_OF_THE_VARIABLE" and set that variable',
            )
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
        mend = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
        return self.fault((*path, key), f"unknown key {key!r} {place}", mend)


def bad_toml(error: tomllib.TOMLDecodeError, text: str, file: Path) -> SettingsError:
    """Python before 3.14 tells the place of a TOML error only in its message."""
    message = str(error)
    found = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", message)
    line = text.count("\n") + 1
    if found:
        message = message[: found.start()]
        line = int(found.group(1) or line)
    return SettingsError(file, f"not valid TOML: {message}", "mend the syntax there", line=line)


def shown(value: object) -> str:
    """A value as its writer would know it again: TOML's words, cut short."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a table"
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
