"""A person before the sandbox's sign-in pages, with a browser that follows redirects."""

from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import httpx

from remit.local.login.device import Prompt
from remit_sandbox.certificates import Authority
from remit_sandbox.issuer import LocalIssuer


@dataclass(frozen=True)
class Visitor:
    """Somebody who knows the sandbox's password; `answer` is what they press."""

    issuer: LocalIssuer
    authority: Authority
    user: str = "alice"
    answer: str = "allow"

    def enters(self, prompt: Prompt) -> None:
        """Opens the page of the device flow and enters the code."""
        code = parse_qs(urlsplit(prompt.complete_uri or "").query)["user_code"]
        assert code == [prompt.user_code]
        with self._browser() as browser:
            assert prompt.user_code in browser.get(str(prompt.complete_uri)).text
            browser.post(prompt.uri, data={**self._form(), "user_code": prompt.user_code}).raise_for_status()

    def visits(self, url: str) -> httpx.Response:
        """Opens the sign-in page, fills it in and goes where it leads."""
        with self._browser() as browser:
            browser.get(url).raise_for_status()
            return browser.post(url, data=self._form())

    def _form(self) -> dict[str, str]:
        return {"user": self.user, "password": self.issuer.password, "answer": self.answer}

    def _browser(self) -> httpx.Client:
        return httpx.Client(verify=self.authority.trust(), follow_redirects=True, trust_env=False, timeout=60)
