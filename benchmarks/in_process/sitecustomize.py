"""Has searches run their trials in their driver's process: a queue is measured, and no Ray starts.

Python imports this by itself where this folder is on PYTHONPATH.
"""

import os

if "AUTODEPTH_SUPERVISED" in os.environ:  # a driver
    from autodepth.service.search import requests

    for _request in (requests.SearchRequest, requests.ResumeRequest):
        _request.__init__.__kwdefaults__["runner"] = "in-process"  # type: ignore[misc]
