import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from tests.hostile_issuer import HostileIssuer, hostile_issuer
from tests.token_forge import usual_key_set

from remit_sandbox.certificates import Authority
from remit_server.adapters.identity.https_fetch import CheckedResolver, FetchFailed, HttpsFetch

LOOPBACK = frozenset({"127.0.0.1"})


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "authority")


@pytest.fixture
async def issuer(authority: Authority) -> AsyncIterator[HostileIssuer]:
    async with hostile_issuer(authority) as running:
        yield running


@pytest.fixture
def fetch(issuer: HostileIssuer) -> HttpsFetch:
    return HttpsFetch(hosts=LOOPBACK, ca_file=issuer.ca_file, deadline_seconds=2.0, max_bytes=4096)


def _answering(*addresses: str) -> Callable[[str, int], Awaitable[Sequence[str]]]:
    """A DNS that says what a test wants: a real one cannot be made to lie."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        del host, port
        return addresses

    return resolve


async def test_a_document_is_fetched_over_tls(issuer: HostileIssuer, fetch: HttpsFetch) -> None:
    assert await fetch(f"{issuer.url}/keys") == usual_key_set()


@pytest.mark.parametrize("target", ["metadata", "self", "file"])
async def test_no_redirect_is_followed(issuer: HostileIssuer, fetch: HttpsFetch, target: str) -> None:
    with pytest.raises(FetchFailed, match="status 302"):
        await fetch(f"{issuer.url}/redirect/{target}")

    assert issuer.asked == [f"/redirect/{target}"]


@pytest.mark.parametrize("status", [204, 404, 500])
async def test_only_an_answer_of_200_is_an_answer(issuer: HostileIssuer, fetch: HttpsFetch, status: int) -> None:
    with pytest.raises(FetchFailed, match=f"status {status}"):
        await fetch(f"{issuer.url}/status/{status}")


@pytest.mark.parametrize("path", ["/drip", "/drip/headers"])
async def test_one_deadline_covers_a_server_that_drips(issuer: HostileIssuer, path: str) -> None:
    hasty = HttpsFetch(hosts=LOOPBACK, ca_file=issuer.ca_file, deadline_seconds=0.3)

    with pytest.raises(FetchFailed, match="no whole answer within"):
        await hasty(f"{issuer.url}{path}")

    assert issuer.asked == [path]


async def test_the_deadline_covers_a_resolver_that_hangs() -> None:
    async def hanging(host: str, port: int) -> Sequence[str]:
        del host, port
        await asyncio.Event().wait()
        return ()

    with pytest.raises(FetchFailed, match="no whole answer within"):
        await HttpsFetch(hosts={"idp.example.com"}, resolve=hanging, deadline_seconds=0.05)("https://idp.example.com/k")


async def test_a_body_of_200_megabytes_is_left_at_its_bound(issuer: HostileIssuer, fetch: HttpsFetch) -> None:
    with pytest.raises(FetchFailed, match="longer than 4096 bytes"):
        await fetch(f"{issuer.url}/huge")

    assert issuer.sent_bytes < 8 * 1024 * 1024


async def test_a_declared_length_changes_nothing(issuer: HostileIssuer, fetch: HttpsFetch) -> None:
    with pytest.raises(FetchFailed, match="longer than 4096 bytes"):
        await fetch(f"{issuer.url}/huge/declared")


async def test_a_compressed_answer_is_refused_unread(issuer: HostileIssuer, fetch: HttpsFetch) -> None:
    with pytest.raises(FetchFailed, match="compressed"):
        await fetch(f"{issuer.url}/gzip")


async def test_a_certificate_of_another_authority_is_not_taken(issuer: HostileIssuer, tmp_path: Path) -> None:
    stranger = Authority.create(tmp_path / "stranger")
    strict = HttpsFetch(hosts=LOOPBACK, ca_file=stranger.bundle_path)

    with pytest.raises(FetchFailed, match="certificate"):
        await strict(f"{issuer.url}/keys")

    assert issuer.asked == []


async def test_a_certificate_for_another_name_is_not_taken(authority: Authority) -> None:
    async with hostile_issuer(authority, names=("idp.example.com",)) as misnamed:
        strict = HttpsFetch(hosts=LOOPBACK, ca_file=misnamed.ca_file)

        with pytest.raises(FetchFailed, match="certificate"):
            await strict(f"{misnamed.url}/keys")

        assert misnamed.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/keys",
        "file:///etc/passwd",
        "ftp://127.0.0.1/keys",
        "data:application/json,{}",
        "http://169.254.169.254/latest/meta-data/",
        "https://169.254.169.254/latest/meta-data/",
        "https://127.0.0.1@evil.example/keys",
        "https://evil.example\\@127.0.0.1/keys",
        "https://127.0.0.1/keys?next=evil",
        "https://127.0.0.1/keys#x",
        "https://127.0.0.1:99999/keys",
        "https://[::1/keys",
        "https:///keys",
        "//127.0.0.1/keys",
        "https://127.1/keys",
        "https://127.0.0.1\n/keys",
        "",
    ],
)
async def test_only_https_to_a_listed_host_is_asked(url: str) -> None:
    with pytest.raises(FetchFailed, match="the URL"):
        await HttpsFetch(hosts=LOOPBACK, resolve=_answering())(url)


BAD_ADDRESSES = [
    "169.254.169.254",
    "127.0.0.1",
    "10.0.0.7",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "0.0.0.0",  # noqa: S104 - an address to refuse, not to bind
    "224.0.0.1",
    "255.255.255.255",
    "192.0.2.1",
    "::1",
    "::",
    "fe80::1",
    "fd00:ec2::254",
    "ff02::1",
    "::ffff:169.254.169.254",
    "::ffff:10.0.0.1",
    "2002:a9fe:a9fe::1",
    "2001:0:0:0:0:0:5601:5601",
    "64:ff9b::a9fe:a9fe",
]


@pytest.mark.parametrize("address", BAD_ADDRESSES)
async def test_a_name_that_resolves_to_an_inner_address_is_not_connected_to(address: str) -> None:
    fetch = HttpsFetch(hosts={"idp.example.com"}, resolve=_answering(address))

    with pytest.raises(FetchFailed, match="not public"):
        await fetch("https://idp.example.com/keys")


@pytest.mark.parametrize("address", BAD_ADDRESSES)
async def test_one_inner_address_among_public_ones_refuses_the_host(address: str) -> None:
    fetch = HttpsFetch(hosts={"idp.example.com"}, resolve=_answering("93.184.215.14", address))

    with pytest.raises(FetchFailed, match="not public"):
        await fetch("https://idp.example.com/keys")


@pytest.mark.parametrize("host", ["169.254.169.254", "10.0.0.1", "[fd00:ec2::254]", "[::ffff:127.0.0.1]"])
async def test_a_listed_inner_address_is_refused_too(host: str) -> None:
    fetch = HttpsFetch(hosts={host.strip("[]")})

    with pytest.raises(FetchFailed, match=r"not public|the URL"):
        await fetch(f"https://{host}/keys")


async def test_a_name_that_resolves_elsewhere_the_second_time_reaches_nothing(issuer: HostileIssuer) -> None:
    answers = [["127.0.0.1"], ["169.254.169.254"]]

    async def rebinding(host: str, port: int) -> Sequence[str]:
        del host, port
        return answers.pop(0)

    fetch = HttpsFetch(hosts={"localhost"}, ca_file=issuer.ca_file, resolve=rebinding)
    with pytest.raises(FetchFailed, match="certificate"):  # it is made out to 127.0.0.1, so it got this far
        await fetch(f"https://localhost:{issuer.port}/keys")

    with pytest.raises(FetchFailed, match="resolves to another address"):
        await fetch(f"https://localhost:{issuer.port}/keys")


async def test_a_host_without_an_address_is_a_failure() -> None:
    with pytest.raises(FetchFailed, match="no address"):
        await HttpsFetch(hosts={"idp.example.com"}, resolve=_answering())("https://idp.example.com/keys")


async def test_what_is_no_address_is_a_failure() -> None:
    with pytest.raises(FetchFailed):
        await HttpsFetch(hosts={"idp.example.com"}, resolve=_answering("elsewhere"))("https://idp.example.com/keys")


async def test_a_proxy_of_the_environment_is_not_used(
    issuer: HostileIssuer, fetch: HttpsFetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")

    assert await fetch(f"{issuer.url}/keys") == usual_key_set()


PRIVATE = ["10.1.2.3", "172.16.0.9", "192.168.1.1", "fd12:3456::1"]


def resolving_to(address: str) -> Callable[[str, int], Awaitable[Sequence[str]]]:
    async def resolve(host: str, port: int) -> Sequence[str]:
        del host, port
        return [address]

    return resolve


@pytest.mark.parametrize("address", PRIVATE)
async def test_an_issuer_inside_the_own_network_is_reached_only_when_its_settings_say_so(address: str) -> None:
    resolve = resolving_to(address)
    plain = CheckedResolver(resolve, private_network=False)
    inside = CheckedResolver(resolve, private_network=True)

    with pytest.raises(FetchFailed, match="not public"):
        await plain.resolve("idp.internal", 443)
    (found,) = await inside.resolve("idp.internal", 443)

    assert found["host"] == address


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "fd00:ec2::254", "fe80::1", "127.0.0.1", "224.0.0.1", "::ffff:169.254.169.254"],
)
async def test_metadata_loopback_and_multicast_are_never_reached_inside_a_private_network(address: str) -> None:
    inside = CheckedResolver(resolving_to(address), private_network=True)

    with pytest.raises(FetchFailed):
        await inside.resolve("idp.internal", 443)
