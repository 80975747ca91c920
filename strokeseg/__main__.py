"""`python -m strokeseg` is `strokeseg`."""

from strokeseg.cli import main

if __name__ == "__main__":
    main()
