"""The form that STS is sent, held to the standard library's own writer of forms."""

import json
from urllib.parse import parse_qsl, quote, urlencode

from hypothesis import given
from hypothesis import strategies as st
from tests.sts_orders import an_order

from remit_server.adapters.aws.sts_protocol import assume_role_body

RESOURCES = st.text(st.characters(codec="latin-1", categories=["L", "N", "P", "S", "Zs"]), max_size=60)


@given(RESOURCES)
def test_a_form_is_what_urlencode_writes(resource: str) -> None:
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": resource}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]}, ensure_ascii=False)

    body = assume_role_body(an_order(session_policy=policy)).decode("ascii")

    form = parse_qsl(body, strict_parsing=True, encoding="utf-8", errors="strict")
    assert dict(form)["Policy"] == policy
    assert body == urlencode(form, quote_via=quote, safe="")
