"""`python -m autodepth` is `autodepth`."""

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    if not sys.flags.safe_path:
        here = sys.path.pop(0)  # the current folder, whose files are nobody's code
        if Path(__file__).parents[1] == Path(here):  # but where autodepth itself lies there
            sys.path.append(here)
            before = os.environ.get("PYTHONPATH")
            os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (before, here)))

    from autodepth.cli.supervisor import main

    main()
