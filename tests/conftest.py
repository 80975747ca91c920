"""What holds for every test.

Without torch, as in the leg of the oldest dependencies, what compares with it is left out. A job in
a shell's background ignores ctrl-C, and so would all that it starts: tests send it. Compiled
networks are kept for their own tests alone, and none is left with the user.
"""

import os
import signal
from importlib.util import find_spec

WITH_TORCH = (
    *("training", "test_folding.py", "malformed", "test_network.py", "test_scan.py"),
    *("test_windows.py", "evaluation/test_distances.py", "evaluation/test_metrics.py"),
    "evaluation/test_protocol.py",
)
collect_ignore = [] if find_spec("torch") else list(WITH_TORCH)

os.environ["STROKESEG_COMPILED"] = "off"


def pytest_report_header():
    return (
        f"torch is not installed, left out: {', '.join(collect_ignore)}" if collect_ignore else ""
    )


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
