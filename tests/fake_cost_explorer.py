"""Cost Explorer on loopback: what was charged by day, service and kind of usage, in pages."""

from datetime import UTC, date, datetime, timedelta

from tests.fake_amazon import FakeAmazon
from tests.fake_api import Refusal


class FakeCostExplorer(FakeAmazon):
    """`charged` is (day, service, usage type) -> amount as text; `page_groups` a page's size."""

    def __init__(self, page_groups=1000):
        super().__init__()
        self.charged = {}
        self.estimated_from = "9999-12-31"
        self.unit = "USD"
        self._size = page_groups

    def answer(self, operation, region, document):
        assert region == "us-east-1"
        period = document["TimePeriod"]
        if not period["Start"] < period["End"]:
            raise Refusal(400, "ValidationException: Start time must be before the end time")
        if operation == "GetDimensionValues":
            return self.services(document)
        assert document["GroupBy"] == [
            {"Type": "DIMENSION", "Key": "SERVICE"},
            {"Type": "DIMENSION", "Key": "USAGE_TYPE"},
        ]
        return self.costs(document)

    def services(self, document):
        word, period = document["SearchString"].casefold(), document["TimePeriod"]
        found = {
            service
            for day, service, _ in self.charged
            if period["Start"] <= day < period["End"] and word in service.casefold()
        }
        values = [{"Value": name, "Attributes": {}} for name in sorted(found)]
        return {"DimensionValues": values, "ReturnSize": len(found), "TotalSize": len(found)}

    def costs(self, document):
        period, wanted = document["TimePeriod"], document["Filter"]["Dimensions"]["Values"]
        lines = [
            (day, service, usage, amount)
            for (day, service, usage), amount in sorted(self.charged.items())
            if period["Start"] <= day < period["End"] and service in wanted
        ]
        at = int(document.get("NextPageToken", 0))
        page = lines[at : at + self._size]
        found = {
            "GroupDefinitions": document["GroupBy"],
            "ResultsByTime": [self.day(day, page, document["Metrics"]) for day in days(period)],
            "DimensionValueAttributes": [],
        }
        more = at + self._size < len(lines)
        return found | ({"NextPageToken": str(at + self._size)} if more else {})

    def day(self, day, page, metrics):
        groups = [
            {
                "Keys": [service, usage],
                "Metrics": {name: {"Amount": amount, "Unit": self.unit} for name in metrics},
            }
            for of, service, usage, amount in page
            if of == day
        ]
        following = (date.fromisoformat(day) + timedelta(days=1)).isoformat()
        return {
            "TimePeriod": {"Start": day, "End": following},
            "Total": {},
            "Groups": groups,
            "Estimated": day >= self.estimated_from,
        }


def days(period):
    at = date.fromisoformat(period["Start"])
    while at.isoformat() < period["End"]:
        yield at.isoformat()
        at += timedelta(days=1)


def iso(at):
    return datetime.fromtimestamp(at, UTC).date().isoformat()
