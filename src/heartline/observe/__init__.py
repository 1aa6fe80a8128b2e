"""Looking at a running heartline: its trace as JSON lines or log records, its counts as Prometheus text."""

from .metrics import metrics_page
from .trace import JsonTrace, LogTrace

__all__ = ["JsonTrace", "LogTrace", "metrics_page"]
