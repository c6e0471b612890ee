"""Types of public parameters and return values."""

from __future__ import annotations

import os
from datetime import date
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

TimeLike: TypeAlias = str | date | pd.Timestamp | np.datetime64


Ids: TypeAlias = Any
"""An id, an iterable of ids, or a frame (pandas, Polars, Arrow …) with the column of ids."""


Record = dict[str, Any]


PathLike = str | os.PathLike[str]
