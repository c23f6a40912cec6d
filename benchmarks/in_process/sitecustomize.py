"""Has studies run their trials in their driver's process: a queue is measured, and no Ray starts.

Python imports this by itself where this folder is on PYTHONPATH.
"""

import os
import sys

# Whoever searches is a supervisor's child; what confirms or carries a policy out has none.
if "AUTODEPTH_SUPERVISED" in os.environ or {"confirm", "enqueue"} & set(sys.orig_argv[:4]):
    from autodepth.service.search import requests

    for _name in ("SearchRequest", "ResumeRequest", "ConfirmRequest", "StudyRequest"):
        getattr(requests, _name).__init__.__kwdefaults__["runner"] = "in-process"
