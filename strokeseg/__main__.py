"""`python -m strokeseg` is `strokeseg`."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C is heeded while it is still being imported, too."""
    try:
        from strokeseg.cli import main as command
    except KeyboardInterrupt:
        sys.stderr.write("strokeseg: error: interrupted; nothing was left half-written\n")
        sys.exit(130)
    command()


if __name__ == "__main__":
    main()
