"""Which builders a request runs, in their fixed order."""

from __future__ import annotations

from collections.abc import Sequence

from refresh.catalog import BUILDERS, BuilderConfig, Group, builders
from refresh.errors import UsageError
from refresh.options.declaration import Program
from refresh.options.request import Request
from refresh.wording import nearest


def selected(program: Program, request: Request) -> tuple[BuilderConfig, ...]:
    """The builders to run. Raises ``UsageError`` for unknown names or an empty selection."""
    narrowings = {"bars": ("--builders", request.builders), "emas": ("--refreshers", request.refreshers)}
    offered: list[BuilderConfig] = []
    named: list[BuilderConfig] = []
    for group in _groups(program, request):
        offered += builders(group)
        named += _named(*narrowings[group.key], builders(group))
    skipped = _named("--skip", request.skip, offered)
    chosen = tuple(builder for builder in named if builder not in skipped)
    if not chosen:
        raise UsageError("--builders, --refreshers and --skip together leave nothing to run; loosen one of them")
    return chosen


def _groups(program: Program, request: Request) -> list[Group]:
    """The group of a program that has its own, else that of the target, else all."""
    own = [group for group in Group if group.name == program.name]
    targets = [group for group in Group if getattr(request, group.key)]
    return own or targets or list(Group)


def _named(flag: str, names: Sequence[str] | None, offered: Sequence[BuilderConfig]) -> Sequence[BuilderConfig]:
    """The builders with these names or keys, all of them without a narrowing."""
    if names is None:
        return offered
    for name in names:
        if not _answering(name, offered):
            spellings = [builder.name for builder in offered]
            raise UsageError(f"{flag} {name}: no such builder; {nearest(name, spellings)}")
    return [builder for builder in offered if builder.name in names or builder.key in names]


def _answering(name: str, offered: Sequence[BuilderConfig]) -> list[BuilderConfig]:
    return [builder for builder in offered if name in {builder.name, builder.key}]


def named_builder(name: str) -> BuilderConfig:
    """The builder that one name or key means. Raises ``UsageError`` where there is none, or more than one."""
    answering = _answering(name, BUILDERS)
    if not answering:
        keys = [builder.key for builder in BUILDERS]
        raise UsageError(f"builder {name}: no such builder; {nearest(name, keys)}")
    if len(answering) > 1:
        keys = [builder.key for builder in answering]
        raise UsageError(f"builder {name}: two have this name; say {' or '.join(keys)}")
    return answering[0]
