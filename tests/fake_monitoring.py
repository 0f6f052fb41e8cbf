"""Cloud Monitoring on loopback: counts of models by minute, summed to what was asked for."""

import re
from collections import defaultdict
from datetime import UTC, datetime

from tests.fake_api import Refusal
from tests.fake_google import FakeGoogle


class FakeMonitoring(FakeGoogle):
    """`put` adds to a series; `page_series` is how many series a page holds."""

    scope = "https://www.googleapis.com/auth/monitoring.read"

    def __init__(self, page_series=100):
        super().__init__()
        self.counts = defaultdict(lambda: defaultdict(int))
        self._size = page_series

    def put(self, project, metric, model, at, count, version="", location="us-central1", **labels):
        of = {
            "model_user_id": model,
            "model_version_id": version,
            "publisher": "google",
            "location": location,
            "resource_container": "projects/1",
        }
        key = (project, metric, tuple(sorted(labels.items())), tuple(sorted(of.items())))
        self.counts[key][at] += count

    def answer(self, request):
        (project,) = re.fullmatch("/v3/projects/([^/]+)/timeSeries", request.path).groups()
        of = dict(request.query)
        assert of["aggregation.perSeriesAligner"] == "ALIGN_SUM"
        period = int(of["aggregation.alignmentPeriod"].removesuffix("s"))
        start, end = (epoch(of[f"interval.{side}Time"]) for side in ("start", "end"))
        if start >= end:
            raise Refusal(400, "The start time must be before the end time")
        type_ = re.fullmatch('metric.type="(.*)"', of["filter"])[1]
        prefix, _, metric = type_.rpartition("/")
        assert prefix == "aiplatform.googleapis.com/publisher/online_serving"
        found = [
            series(type_, key[2], key[3], points)
            for key, counts in sorted(self.counts.items())
            if key[:2] == (project, metric) and (points := sums(counts, start, end, period))
        ]
        at = int(of.get("pageToken", 0))
        more = at + self._size < len(found)
        page = {"timeSeries": found[at : at + self._size], "unit": "1"} if found else {}
        return page | ({"nextPageToken": str(at + self._size)} if more else {})


def sums(counts, start, end, period):
    """Newest first, aligned to the end of what was asked."""
    found = defaultdict(int)
    for at, count in counts.items():
        if start <= at < end:
            found[end - -(-(end - at) // period) * period] += count
    return sorted(found.items(), reverse=True)


def series(type_, labels, of, points):
    return {
        "metric": {"type": type_, "labels": dict(labels)},
        "resource": {"type": "aiplatform.googleapis.com/PublisherModel", "labels": dict(of)},
        "metricKind": "DELTA",
        "valueType": "INT64",
        "points": [
            {
                "interval": {"startTime": iso(at), "endTime": iso(at + 3600)},
                "value": {"int64Value": str(count)},
            }
            for at, count in points
        ],
    }


def epoch(text):
    return int(datetime.fromisoformat(text).timestamp())


def iso(at):
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
