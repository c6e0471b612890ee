"""Options of sandboxes whose history tests study: nothing appears late, and lists have credits."""

from __future__ import annotations

from typing import Any

SETTLED: dict[str, Any] = {
    "job_delay": 0.0,
    "results_delay": 0.0,
    "billing_delay": 0.0,
    "usage_in_lists": True,
}
