"""`python -m autodepth` is `autodepth`."""

from autodepth.cli.main import main

if __name__ == "__main__":
    main()
