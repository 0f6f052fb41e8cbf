"""CloudWatch on loopback: metrics by region, listed and summed as the real one does it."""

from collections import defaultdict

from tests.fake_amazon import FakeAmazon
from tests.fake_api import Refusal


class FakeCloudWatch(FakeAmazon):
    """`put` adds a sum; pages hold `listed` metrics and `points` values, to show their joints."""

    def __init__(self, listed=500, points=100_800):
        super().__init__()
        self.data = defaultdict(dict)
        self._listed, self._points = listed, points

    def put(self, region, metric, model, at, value, *, namespace="AWS/Bedrock", **dims):
        named = dims or {"ModelId": model}
        self.data[region, namespace, metric, tuple(sorted(named.items()))][at] = value

    def answer(self, operation, region, document):
        if operation == "ListMetrics":
            return self.list_metrics(region, document)
        return self.metric_data(region, document)

    def list_metrics(self, region, document):
        found = sorted(key for key in self.data if key[:2] == (region, document["Namespace"]))
        at = int(document.get("NextToken", 0))
        metrics = [
            {"Namespace": namespace, "MetricName": metric, "Dimensions": named(dims)}
            for _, namespace, metric, dims in found[at : at + self._listed]
        ]
        return self.paged({"Metrics": metrics}, at + self._listed, len(found))

    def metric_data(self, region, document):
        if len(document["MetricDataQueries"]) > 500:
            raise Refusal(400, "ValidationException: at most 500 metric data queries")
        points = [
            (query["Id"], at, value)
            for query in document["MetricDataQueries"]
            for at, value in sorted(self.sums(region, query["MetricStat"], document).items())
        ]
        at = int(document.get("NextToken", 0))
        page = points[at : at + self._points]
        more = at + self._points < len(points)
        results = [
            {
                "Id": query["Id"],
                "Label": query["MetricStat"]["Metric"]["MetricName"],
                "Timestamps": [float(p[1]) for p in page if p[0] == query["Id"]],
                "Values": [float(p[2]) for p in page if p[0] == query["Id"]],
                "StatusCode": "PartialData" if more else "Complete",
            }
            for query in document["MetricDataQueries"]
        ]
        found = {"MetricDataResults": results}
        return self.paged(found, at + self._points, len(points))

    def sums(self, region, stat, document):
        assert stat["Stat"] == "Sum"
        assert document["ScanBy"] == "TimestampAscending"
        metric, period = stat["Metric"], stat["Period"]
        dims = tuple(sorted((d["Name"], d["Value"]) for d in metric["Dimensions"]))
        sums = defaultdict(float)
        for at, value in self.data.get(
            (region, metric["Namespace"], metric["MetricName"], dims), {}
        ).items():
            if document["StartTime"] <= at < document["EndTime"]:
                sums[at - at % period] += value
        return sums

    @staticmethod
    def paged(found, following, total):
        return found | ({"NextToken": str(following)} if following < total else {})


def named(dims):
    return [{"Name": name, "Value": value} for name, value in dims]
