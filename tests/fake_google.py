"""Google's APIs on loopback: tokens for assertions that a service account really signed."""

import json
from abc import abstractmethod
from functools import cache

from google.auth import crypt, jwt

from tests.fake_api import FakeApi, Refusal

TOKEN = "ya29.CANARY0token000000000000000000"
EMAIL = "crossover@acme.iam.gserviceaccount.com"


@cache
def keys():
    """A private key and its public half, both as PEM."""
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric import rsa

    made = rsa.generate_private_key(65537, 2048)
    private = made.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
    public = made.public_key().public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


class FakeGoogle(FakeApi):
    """`answer` gives a page to who holds the token; `tokens` counts those that were given out."""

    scope = ""

    def __init__(self):
        super().__init__()
        self.token = TOKEN
        self.tokens = 0
        self.known = True

    def service_account(self):
        """The file that Google makes for a service account."""
        return json.dumps(
            {
                "type": "service_account",
                "project_id": "acme",
                "private_key_id": "CANARY0id",
                "private_key": keys()[0],
                "client_email": EMAIL,
                "client_id": "1",
                "token_uri": f"{self.url}/token",
            }
        )

    @abstractmethod
    def answer(self, request):
        """What the service says."""

    def page(self, request):
        if request.path == f"{self.root}/token":
            return self.give(request.document)
        if request.headers.get("authorization") != f"Bearer {self.token}":
            sent = request.headers.get("authorization")
            raise Refusal(401, f"Request had invalid authentication credentials: {sent}")
        return self.answer(request)

    def give(self, form):
        assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
        verifier = crypt.RSAVerifier.from_string(keys()[1])
        said = jwt.decode(form["assertion"], certs=None, verify=False)
        signed, _, signature = form["assertion"].rpartition(".")
        assert verifier.verify(signed.encode(), unpadded(signature))
        assert (said["iss"], said["scope"]) == (EMAIL, self.scope)
        if not self.known:
            raise Refusal(400, f"Invalid JWT Signature for CANARY0id, {form['assertion']}")
        self.tokens += 1
        return {"access_token": self.token, "expires_in": 3600, "token_type": "Bearer"}

    def error_body(self, message):
        return json.dumps({"error": {"code": 0, "message": message, "status": "X"}}).encode()


def unpadded(text):
    import base64

    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
