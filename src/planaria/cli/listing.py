"""How a command lists its subcommands: in sections, each with its whole first sentence."""

from collections.abc import Mapping, Sequence

import click


class Listing(click.Group):
    """A group whose help cuts no sentence off."""

    def sections(self, ctx: click.Context) -> Mapping[str, Sequence[str]]:
        """Titles, and the names of the subcommands under each."""
        return {"Commands": self.list_commands(ctx)}

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Called by click: a list for each section, all with their texts in one column."""
        sections = self.sections(ctx)
        widest = max(len(name) for names in sections.values() for name in names)
        for title, names in sections.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(widest), self._about(ctx, name)) for name in names])

    def _about(self, ctx: click.Context, name: str) -> str:
        command = self.get_command(ctx, name)
        return "" if command is None else command.get_short_help_str(limit=500)
