"""`python -m autodepth` is `autodepth`."""

from autodepth.cli.supervisor import main

if __name__ == "__main__":
    main()
