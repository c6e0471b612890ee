"""Options of sandboxes whose history tests study: nothing appears late, and lists have credits.

The clock of these sandboxes stands still or their tests compare two calls, so what is late would
never appear or would appear between the calls; credits in lists save a request per job. Documented
delays and credits are tested with delays set, in `tests/lifecycle/test_late_facts.py`,
`tests/sandbox_server/test_delays.py` and
`test_usage.py`, and with `FakeApi`, whose lists have no credits.
"""

from __future__ import annotations

from typing import Any

SETTLED: dict[str, Any] = {
    "job_delay": 0.0,
    "results_delay": 0.0,
    "billing_delay": 0.0,
    "usage_in_lists": True,
}
