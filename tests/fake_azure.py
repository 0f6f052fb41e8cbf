"""Azure's management API on loopback, with tokens that the real azure-identity fetches."""

import functools
import json
from abc import abstractmethod
from collections import defaultdict
from datetime import UTC, date, datetime
from urllib.parse import urlsplit

import azure.identity
from azure.core.pipeline.transport import RequestsTransport

from tests.fake_api import FakeApi, Refusal

SECRET, TOKEN = "CANARY~secret.0000000000000000000000", "eyJ.CANARY0token.000"
TENANT, CLIENT = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"
LOGIN = {"tenant": TENANT, "client_id": CLIENT}


class Redirecting(RequestsTransport):
    """Carries to loopback what is meant for the issuer of tokens, which must be https."""

    def __init__(self, url):
        super().__init__()
        self._url = url

    def send(self, request, **named):
        parts = urlsplit(request.url)
        assert parts.netloc == "login.microsoftonline.com"
        request.url = f"{self._url}/login{parts.path}"
        return super().send(request, **named)


def redirect(monkeypatch, fake):
    """Let the library's credentials of this test ask the fake for tokens."""
    real = azure.identity.ClientSecretCredential
    made = functools.partial(real, transport=Redirecting(fake.url))
    monkeypatch.setattr("azure.identity.ClientSecretCredential", made)


class FakeAzure(FakeApi):
    """`answer` gives a page to who holds the token; `secret` is the one that is known."""

    def __init__(self):
        super().__init__()
        self.secret, self.token, self.tokens = SECRET, TOKEN, 0

    @abstractmethod
    def answer(self, request):
        """What the service says."""

    def page(self, request):
        if request.path.startswith("/login/"):
            return self.login(request)
        sent = request.headers.get("authorization")
        if sent != f"Bearer {self.token}":
            raise Refusal(401, f"The access token is invalid: {sent}")
        return self.answer(request)

    def login(self, request):
        base = f"https://login.microsoftonline.com/{TENANT}"
        if request.path.endswith("openid-configuration"):
            return {
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "issuer": f"{base}/v2.0",
            }
        if request.path == "/login/common/discovery/instance":
            return {"metadata": [], "tenant_discovery_endpoint": f"{base}/v2.0"}
        assert request.path == f"/login/{TENANT}/oauth2/v2.0/token"
        form = request.document
        assert (form["grant_type"], form["client_id"]) == ("client_credentials", CLIENT)
        assert form["scope"] == f"{self.url}/.default"
        if form["client_secret"] != self.secret:
            raise Refusal(401, f"AADSTS7000215: Invalid client secret provided: {form}")
        self.tokens += 1
        return {"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"}

    def error_body(self, message):
        if message.startswith("AADSTS"):
            return json.dumps({"error": "invalid_client", "error_description": message}).encode()
        return json.dumps({"error": {"code": "X", "message": message}}).encode()


# --- Azure Monitor ---


RESOURCE = (
    "/subscriptions/33333333-3333-3333-3333-333333333333/resourceGroups/ai"
    "/providers/Microsoft.CognitiveServices/accounts/acme-openai"
)


class FakeMonitor(FakeAzure):
    """`put` adds to a metric of a deployment; an hour without a call is told as 0."""

    def __init__(self):
        super().__init__()
        self.counts = defaultdict(lambda: defaultdict(int))

    def put(self, metric, deployment, at, count, status=None, resource=RESOURCE):
        self.counts[resource, metric, deployment, status][at] += count

    def answer(self, request):
        resource, _, rest = request.path.partition("/providers/Microsoft.Insights/")
        assert rest == "metrics"
        of = dict(request.query)
        assert (of["interval"], of["aggregation"]) == ("PT1H", "Total")
        start, end = (int(datetime.fromisoformat(t).timestamp()) for t in of["timespan"].split("/"))
        if start >= end:
            raise Refusal(400, "timespan: the start must be before the end")
        by_status = "StatusCode eq '*'" in of["$filter"]
        assert "ModelDeploymentName eq '*'" in of["$filter"]
        most = int(of.get("top", 10))
        metrics = [
            self.metric(resource, name, start, end, most, by_status=by_status)
            for name in of["metricnames"].split(",")
        ]
        return {
            "cost": 59,
            "timespan": of["timespan"],
            "interval": "PT1H",
            "value": metrics,
            "namespace": "Microsoft.CognitiveServices/accounts",
            "resourceregion": "swedencentral",
        }

    def metric(self, resource, name, start, end, most, *, by_status):
        series = [
            {
                "metadatavalues": [dimension("modeldeploymentname", deployment)]
                + ([dimension("statuscode", status)] if by_status else []),
                "data": [
                    {"timeStamp": iso(hour), "total": float(total(counts, hour))}
                    for hour in range(start, end, 3600)
                ],
            }
            for (of, metric, deployment, status), counts in sorted(self.counts.items(), key=str)
            if (of, metric) == (resource, name)
        ]
        return {
            "id": f"{resource}/providers/Microsoft.Insights/metrics/{name}",
            "type": "Microsoft.Insights/metrics",
            "name": {"value": name, "localizedValue": name},
            "unit": "Count",
            "timeseries": series[:most],
            "errorCode": "Success",
        }


def total(counts, hour):
    return sum(count for at, count in counts.items() if hour <= at < hour + 3600)


def dimension(name, value):
    return {"name": {"value": name, "localizedValue": name}, "value": value}


def iso(at):
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# --- Cost Management ---


class FakeCostManagement(FakeAzure):
    """`charged` is (day, service, resource, meter) -> (cost, currency); pages hold `page_rows`."""

    def __init__(self, page_rows=1000):
        super().__init__()
        self.charged = {}
        self.columns = ("Cost", "UsageDate", "ResourceId", "Meter", "Currency")
        self._size = page_rows

    def charge(self, day, meter, cost, currency="EUR", service="Cognitive Services"):
        self.charged[day, service, RESOURCE, meter, currency] = cost

    def answer(self, request):
        asked, of = request.document, dict(request.query)
        assert request.path.endswith("/providers/Microsoft.CostManagement/query")
        assert (asked["type"], asked["timeframe"]) == ("ActualCost", "Custom")
        data = asked["dataset"]
        assert data["granularity"] == "Daily"
        assert [group["name"] for group in data["grouping"]] == ["ResourceId", "Meter"]
        first, last = (
            date.fromisoformat(asked["timePeriod"][side][:10]) for side in ("from", "to")
        )
        assert first <= last
        services = data["filter"]["dimensions"]["values"]
        rows = [
            self.row(cost, day, resource, meter, currency)
            for (day, service, resource, meter, currency), cost in sorted(self.charged.items())
            if first <= date.fromisoformat(day) <= last and service in services
        ]
        at = int(of.get("$skiptoken", 0))
        link = f"https://{request.headers['host']}{request.path}?api-version=x&$skiptoken="
        more = at + self._size < len(rows)
        return {
            "id": "x",
            "type": "Microsoft.CostManagement/query",
            "properties": {
                "nextLink": link + str(at + self._size) if more else None,
                "columns": [{"name": name, "type": "String"} for name in self.columns],
                "rows": rows[at : at + self._size],
            },
        }

    def row(self, cost, day, resource, meter, currency):
        of = {
            "Cost": cost,
            "UsageDate": int(day.replace("-", "")),
            "ResourceId": resource.lower(),
            "Meter": meter,
            "Currency": currency,
        }
        return [of[name] for name in self.columns]
