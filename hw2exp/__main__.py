"""Run the command ``python -m hw2exp``: list the commands."""

from collections.abc import Sequence

from hw2exp.system.problems import ConfigError, nearest
from hw2exp.system.process import VERSION, failed, parser_of, process
from hw2exp.system.terminal import echo

COMMANDS = {
    "train": "train one run, or with -m a sweep",
    "report": "make one page of all runs below a folder: tables, figures, claims",
    "plot": "draw one picture of many runs, for a slide or a paper",
    "extract": "write the folders of some runs of a sweep whose records are packed",
    "zoom": "run a map's sweep again on a smaller window",
    "compare": "show runs or sweeps side by side: what differs, and how each ended",
    "anatomy": "draw why a spike or a divergence of a run happened",
    "whatif": "show what would have prevented a spike of a run",
    "playground": "write a page in which two networks train, for a browser, offline",
    "theory": "work out the write-up's answers, and check them",
}

BEGIN = """\
Begin with a gradient that explodes, ask why, and cure it:

  python -m hw2exp.train experiment=explosion_sgd hydra.run.dir=outputs/lost
  python -m hw2exp.anatomy outputs/lost --spike divergence
  python -m hw2exp.train experiment=explosion_sgd clip=norm

Then a surprise: under RMSprop clipping makes more spikes, and more runs that solve their task:

  python -m hw2exp.train -m experiment=explosion clip=none,norm 'seed=range(0,32)'

Each command says more with --help."""


def main(argv: Sequence[str] | None = None) -> int:
    """List the commands.

    Args:
        argv: the arguments; by default those of the process.

    Returns:
        The exit status: 0 for success, 2 for bad input.
    """
    names = "\n".join(f"  python -m hw2exp.{name:<10} {what}" for name, what in COMMANDS.items())
    text = f"{VERSION}: train recurrent networks, and see why they blow up\n\n{names}\n\n{BEGIN}"
    try:
        parser = parser_of("hw2exp", "List the commands.")
        parser.add_argument("command", nargs="*", help="none is run from here")
        if words := parser.parse_args(argv).command:
            known = words[0] in COMMANDS
            hint = f"type python -m hw2exp.{words[0]}" if known else nearest(words[0], COMMANDS)
            raise ConfigError([f"{words[0]}: no argument of python -m hw2exp; {hint}"])
    except ConfigError as error:
        return failed(error)
    echo(text)
    return 0


if __name__ == "__main__":
    process(main)
