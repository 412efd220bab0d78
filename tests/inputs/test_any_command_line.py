"""Command lines of any words: a request, or a refusal of one line with exit code 2; never anything else."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from inputs.effort import searched
from inputs.typed_words import SECRET, assert_ends_well, run_in, typed_words
from programs import PROJECT

from refresh.commands.product import SUBCOMMANDS
from refresh.errors import UsageError
from refresh.options.builders import named_builder, selected
from refresh.options.declaration import Program
from refresh.options.discretion import EVERY_FLAG
from refresh.options.parsing import parse, parse_load
from refresh.wording import escaped

PRODUCT = ["-c", "import sys; from refresh.commands.product import main; sys.exit(main())"]
FLAGS = sorted({*EVERY_FLAG, "--help", "-h", "--version"})
PROGRAMS = sorted(Program, key=str)
STARTS = (
    *([program.command.split()[-1]] for program in (Program.DAILY, Program.BARS, Program.EMAS)),
    *(["-m", module] for module in ("refresh.builder", "refresh.load", "refresh.commands.psql")),
    *([*PRODUCT, word] for word in [*SUBCOMMANDS, "strange"]),
)
"""How each program is started."""
MAY_END_AT_ONCE = {"-h", "--help", "--version"}


def read(program: Program, words: Sequence[str]) -> None:
    """Read a command line as a program does before it looks at its settings."""
    if program.whole is Program.LOAD:
        parse_load(words, program)
        return
    request = parse(program, words)
    if program is Program.BUILDER:
        named_builder(request.builder or "")
    else:
        selected(program, request)


@searched(25)
@given(program=st.sampled_from(PROGRAMS), words=typed_words(FLAGS))
def test_any_words(program: Program, words: list[str]) -> None:
    """Whatever the words are, they are read, or are refused in one line that ends and holds no password."""
    problem = ""
    code: object = None
    try:
        with redirect_stdout(io.StringIO()):
            read(program, words)
    except UsageError as error:
        problem, code = str(error), int(error.exit_code)
    except SystemExit as end:
        code = end.code
    assert code == 2 if problem else code is None or (code == 0 and MAY_END_AT_ONCE.intersection(words))
    assert "\n" not in escaped(problem)
    assert SECRET not in problem
    assert len(problem) < 1_500


@searched(0.2)
@given(start=st.sampled_from(STARTS), words=typed_words(FLAGS))
def test_any_words_of_a_process(tmp_path: Path, start: list[str], words: list[str]) -> None:
    """A program that is started with them ends, with a documented exit code and without a traceback."""
    folder = tmp_path / "a" / "b" / "c"
    folder.mkdir(parents=True, exist_ok=True)
    first, *rest = start
    program = [str(PROJECT / first)] if first.endswith(".py") else [first]
    assert_ends_well(run_in(folder, [*program, *rest, *words]))
