"""`planaria init DIR`: a new garden from the files in `template/`. What is there is never overwritten."""

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import click

from planaria.cli import output
from planaria.cli.errors import NO_GARDEN, CliError


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, is_eager=True, help="Print JSON.")
def init(directory: Path, as_json: bool) -> None:
    """Make a garden in DIR; files that exist are left alone."""
    made: list[str] = []
    kept: list[str] = []
    for name, source in _files(files("planaria.cli") / "template"):
        target = directory / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            # Created or refused in one step: what appears meanwhile is not overwritten either.
            with target.open("xb") as file:
                file.write(source.read_bytes())
            made.append(name)
        except FileExistsError as error:
            if not target.is_file():
                raise CliError(NO_GARDEN, f"{error.filename} is in the way", "name another folder") from error
            kept.append(name)
        except OSError as error:
            mend = "name a folder that you may write"
            raise CliError(NO_GARDEN, f"{error.filename or target}: {error.strerror}", mend) from error
    if as_json:
        output.print_json({"garden": str(directory.absolute()), "made": made, "kept": kept})
        return
    for name in made:
        click.echo(f"made  {directory / name}")
    for name in kept:
        click.echo(f"kept  {directory / name}")
    click.echo(f"\nStart it with `planaria up --garden {directory}`")


def _files(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _files(entry, f"{prefix}{entry.name}/")
        else:
            yield f"{prefix}{entry.name}", entry
