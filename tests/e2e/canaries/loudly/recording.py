"""Notes what a sandbox's identity provider gives and is shown, and has the processes of a machine say all they can."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.e2e.canaries.traces import Canaries

_EXCHANGED: Final = {
    "code": "an authorization code",
    "code_verifier": "a PKCE verifier",
    "device_code": "a device code",
    "refresh_token": "a refresh token",
}


def loud_environment(environ: Mapping[str, str], log: Path) -> dict[str, str]:
    """Returns the variables by which Python processes log at DEBUG, every library too, into a file."""
    return {"PYTHONPATH": f"{Path(__file__).parent}:{environ.get('PYTHONPATH', '')}", "REMIT_CANARY_LOG": str(log)}


@contextmanager
def recorded(issuer: Any, canaries: Canaries) -> Iterator[None]:
    """Notes what the identity provider gives and is shown while the block runs."""
    sign, sign_ins = issuer._sign, issuer._sign_ins

    def signed(*arguments: Any) -> str:
        return canaries.note(sign(*arguments), "a token of the identity provider")

    class Noted:
        """The sign-ins, whose exchanges are noted."""

        def __getattr__(self, name: str) -> Any:
            return getattr(sign_ins, name)

        def exchange(self, form: Mapping[str, str]) -> Any:
            answer = sign_ins.exchange(form)
            for held in (form, json.loads(answer.body)):
                for name, kind in _EXCHANGED.items():
                    if held.get(name):
                        canaries.note(held[name], kind)
            return answer

    issuer._sign, issuer._sign_ins = signed, Noted()
    try:
        yield
    finally:
        issuer._sign, issuer._sign_ins = sign, sign_ins
