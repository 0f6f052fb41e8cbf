"""Amazon's CloudWatch and Cost Explorer on loopback: signatures are checked, and botocore's own
models judge every question and every answer.
"""

import json
from abc import abstractmethod
from datetime import datetime
from functools import cache
from unittest import mock

import botocore.session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.parsers import create_parser
from botocore.validate import ParamValidator

from tests.fake_api import FakeApi, Refusal

ID, SECRET, TOKEN = (
    "AKIACANARY0000000000",
    "CANARY0secret/000000000000000000000000000",
    "CANARY0token",
)
_MADE = ("host", "x-amz-date", "x-amz-security-token")
KEY = f"{ID}:{SECRET}"
SERVICES = {"GraniteServiceVersion20100801": "cloudwatch", "AWSInsightsIndexService": "ce"}


@cache
def model(service):
    return botocore.session.Session().get_service_model(service)


def complaints(value, shape):
    """What botocore has against a value; fields that it does not know are complaints too."""
    return ParamValidator().validate(value, shape).generate_report()


class FakeAmazon(FakeApi):
    """`answer` says what an operation gives; a wrong signature is refused as Amazon does it."""

    def __init__(self):
        super().__init__()
        self.secrets = {ID: SECRET}

    @abstractmethod
    def answer(self, operation, region, document):
        """What the service says."""

    def page(self, request):
        region = self.verify(request)
        target, _, operation = request.headers["x-amz-target"].partition(".")
        api = model(SERVICES[target]).operation_model(operation)
        version = api.service_model.metadata["jsonVersion"]
        assert request.headers["content-type"] == f"application/x-amz-json-{version}"
        assert not complaints(request.document, api.input_shape)
        found = self.answer(operation, region, request.document)
        self.judge(found, api.output_shape)
        return found

    def judge(self, found, shape):
        """What we answer is what botocore reads, field by field."""
        sent = {"status_code": 200, "headers": {}, "body": json.dumps(found, default=str).encode()}
        parsed = create_parser("json").parse(sent, shape)
        del parsed["ResponseMetadata"]
        assert not complaints(parsed, shape)
        assert leaves(parsed) == leaves(found), "botocore leaves nothing out"

    def verify(self, request):
        """The region of a request that was signed with a known secret."""
        said = request.headers.get("authorization", "")
        scope = said.partition("Credential=")[2].partition(",")[0].split("/")
        if scope[0] not in self.secrets:
            raise Refusal(400, "UnrecognizedClientException: The security token is invalid")
        token = request.headers.get("x-amz-security-token")
        known = Credentials(scope[0], self.secrets[scope[0]], token)
        made = self.signed(request, known, *scope[2:4])
        if made != said:
            raise Refusal(400, f"InvalidSignatureException: {made} was expected of {scope[0]}")
        return scope[2]

    def signed(self, request, credentials, region, service):
        """The authorization that Amazon computes of what arrived."""
        names = request.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0]
        headers = {n: request.headers[n] for n in names.split(";") if n not in _MADE}
        url = f"http://{request.headers['host']}{request.path}"
        body = json.dumps(request.document).encode()
        again = AWSRequest(method="POST", url=url, data=body, headers=headers)
        at = datetime.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ")
        with mock.patch("botocore.auth.get_current_datetime", return_value=at):
            SigV4Auth(credentials, service, region).add_auth(again)
        return again.headers["Authorization"]

    def error_body(self, message):
        kind, colon, text = message.partition(": ")
        found = {"__type": kind, "message": text} if colon else {"message": message}
        return json.dumps(found).encode()


def leaves(value):
    """How many values a document holds."""
    if isinstance(value, dict):
        return sum(map(leaves, value.values()))
    return sum(map(leaves, value)) if isinstance(value, list) else 1
