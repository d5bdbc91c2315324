"""The pages: what is decided about, in words and to the letter. Nothing in them runs."""

import json
from html import escape
from typing import Final

from remit.mcp.confirming.approvals import ShownApproval

HEADERS: Final = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # with none at all browsers send the form's Origin as null
    "X-Content-Type-Options": "nosniff",
}
_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:3rem auto;padding:0 1rem;color:#1b1f24}"
    "pre{background:#f4f5f7;padding:1rem;overflow:auto;font-size:13px}"
    "dt{color:#59636e}dd{margin:0 0 .6rem}"
    "button{font:inherit;padding:.5rem 1.4rem;margin-right:.6rem;border:1px solid #59636e;background:#fff}"
    "button[value=yes]{background:#0b5d3b;border-color:#0b5d3b;color:#fff}"
)


def page(title: str, *parts: str) -> bytes:
    """Returns a whole page; the parts are HTML."""
    body = "".join(parts)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style><h1>{escape(title)}</h1>{body}</html>"
    ).encode()


def told(title: str, text: str) -> bytes:
    """Returns a page that says one thing, each line of it on its own."""
    return page(title, *(f"<p>{escape(line.strip())}</p>" for line in text.splitlines() if line.strip()))


def question(shown: ShownApproval, action: str, form_token: str) -> bytes:
    """Returns the page that asks: who, for whom, what exactly, for how long; yes or no, which goes to `action`."""
    facts = {
        "Agent": shown.actor,
        "Works for": shown.subject,
        "Says it is for": shown.purpose,
        "Role": shown.role_arn,
        "For": f"{shown.seconds} seconds" if shown.seconds else "as long as policy allows",
        "Digest": shown.digest,
    }
    listed = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    return page(
        "An agent asks for AWS access in your name",
        f"<dl>{listed}</dl><p>Exactly this would be allowed, and nothing else:</p>",
        f"<pre>{escape(_indented(shown.session_policy))}</pre>",
        f'<form method="post" action="{escape(action)}">',
        f'<input type="hidden" name="form" value="{escape(form_token)}">',
        '<button name="answer" value="yes">Allow</button><button name="answer" value="no">Refuse</button></form>',
    )


def _indented(policy: str) -> str:
    try:
        return json.dumps(json.loads(policy), indent=2)
    except ValueError:
        return policy
