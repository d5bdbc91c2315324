"""Makes the settings of the policy engine: the bundle, and the OPA server where one decides."""

from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from remit_server.config import loading_bundles
from remit_server.config.files import Files
from remit_server.config.loading_serving import is_address, is_loopback
from remit_server.config.mistakes import Notes
from remit_server.config.settings import OpaSettings, PolicySettings
from remit_server.config.shapes import OpaTable, PolicyTable

_MOST_SOCKET_PATH: Final = 100  # Linux: sun_path has 108 bytes
_ASKED: Final = "who can answer in OPA's place decides what the gateway issues"
_PULLED: Final = "OPA decides by what it pulls there, so nobody may be able to put another bundle in its place"


def policy(item: PolicyTable, files: Files) -> PolicySettings | None:
    """Returns where the bundle is and which engine decides by it, or None."""
    before = len(files.notes.mistakes)
    bundle = files.directory("policy.bundle", item.bundle) if item.bundle is not None else None
    if bundle is not None:
        files.unchangeable("policy.bundle", bundle)
    server = loading_bundles.bundle_server(item.bundle_server, files)
    is_served = item.bundle_server is not None and bool(item.bundle_server.model_fields_set)
    _check_sources(item, files.notes, is_served=is_served)
    signing = loading_bundles.signing(item.signing, files, is_served=is_served)
    opa = _engine(item, files)
    if len(files.notes.mistakes) > before:
        return None
    return PolicySettings(
        bundle=bundle,
        workers=item.workers,
        decision_timeout=timedelta(milliseconds=item.decision_timeout_milliseconds),
        queue=item.queue,
        opa=opa,
        server=server,
        follow=timedelta(seconds=item.follow_seconds) if item.follow_seconds else None,
        signing=signing,
        keep_warm=item.keep_warm,
    )


def _check_sources(item: PolicyTable, notes: Notes, *, is_served: bool) -> None:
    """Notes when bundles would come from two places, or from none."""
    why = "the policy comes from one place, so that it is plain which one is the newest"
    if item.bundle is None and not is_served:
        mend = 'write bundle = "policies", or add [policy.bundle_server]'
        notes.add("policy.bundle", "is missing, and no bundle server is named", why=why, mend=mend)
    if item.bundle is not None and is_served:
        mend = "remove bundle, or [policy.bundle_server]"
        notes.add("policy.bundle", "is set although a bundle server is named", why=why, mend=mend)
    if item.follow_seconds and item.bundle is None:
        mend = "remove it: a bundle server has poll_seconds"
        notes.add("policy.follow_seconds", "is set without a folder", why="it is about the folder", mend=mend)


def _engine(item: PolicyTable, files: Files) -> OpaSettings | None:
    """Returns how OPA is reached, or None where the embedded engine decides or after noting what is wrong."""
    if item.engine == "opa":
        return _opa(item.opa or OpaTable(), files)
    if item.opa is not None and item.opa.model_fields_set:
        why = "the embedded engine decides, and nobody reads this table"
        mend = 'write engine = "opa" under [policy], or remove the table'
        files.notes.add("policy.opa", 'is set although the engine is not "opa"', why=why, mend=mend)
    return None


def _opa(item: OpaTable, files: Files) -> OpaSettings | None:
    """Returns how OPA is reached, or None after noting what is wrong."""
    before = len(files.notes.mistakes)
    url = _url(item.url, files.notes)
    if url is not None and url.scheme == "unix":
        files.unforgeable("policy.opa.url", Path(url.path))
    ca_file = files.authorities("policy.opa.ca_file", item.ca_file) if item.ca_file is not None else None
    if item.ca_file is not None and url is not None and url.scheme != "https":
        mend = "write an https url, or remove ca_file"
        files.notes.add("policy.opa.ca_file", "is set although the url is not https", why=_ASKED, mend=mend)
    token = files.secret("policy.opa.token_file", item.token_file) if item.token_file is not None else None
    bundle_token = None
    if item.bundle_token_file is not None:
        bundle_token = files.secret("policy.opa.bundle_token_file", item.bundle_token_file)
    pair = _key_pair(item, files)
    signing_key = None
    if item.bundle_signing_key_file is not None:
        signing_key = files.private("policy.opa.bundle_signing_key_file", item.bundle_signing_key_file)
    _check_bundle_address(item, files.notes)
    if len(files.notes.mistakes) > before:
        return None
    return OpaSettings(
        url=item.url,
        bundle_address=item.bundle_address,
        ca_file=ca_file,
        token=token,
        bundle_token=bundle_token,
        bundle_key_pair=pair,
        bundle_signing_key=signing_key,
        connections=item.connections,
        start_timeout=timedelta(seconds=item.start_timeout_seconds),
    )


def _url(text: str, notes: Notes) -> SplitResult | None:
    """Returns the parts of OPA's address, or None after noting what is wrong with it."""
    place = "policy.opa.url"
    mend = 'write it like "unix:///run/opa/opa.sock", "http://127.0.0.1:8181" or "https://opa.internal:8181"'
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        notes.add(place, "is no URL", why=_ASKED, mend=mend)
        return None
    if url.scheme == "unix":
        if url.netloc or not url.path.startswith("/") or len(url.path) > _MOST_SOCKET_PATH or url.query or url.fragment:
            notes.add(place, "is not unix:// and the whole path of a socket", why=_ASKED, mend=mend)
            return None
        return url
    bare = url.path in {"", "/"} and not url.query and not url.fragment and "@" not in url.netloc
    if url.scheme not in {"http", "https"} or not url.hostname or not port or not bare:
        # NOTE: a URL may hold a password, so it is not repeated.
        notes.add(place, "is not http or https with a host and a port alone", why=_ASKED, mend=mend)
        return None
    if url.scheme == "http" and not is_loopback(url.hostname):
        notes.add(place, "is http although the host is not this machine", why=_ASKED, mend=mend)
        return None
    return url


def _key_pair(item: OpaTable, files: Files) -> tuple[Path, Path] | None:
    """Returns certificate and key of the bundle's listener, or None where it has none or after noting a mistake."""
    certificate, key = item.bundle_certificate_file, item.bundle_key_file
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        missing = "bundle_certificate_file" if certificate is None else "bundle_key_file"
        why = "TLS needs both"
        files.notes.add(f"policy.opa.{missing}", "is missing beside its other half", why=why, mend="name both or none")
        return None
    return files.key_pair("policy.opa.bundle", certificate, key, separator="_")


def _check_bundle_address(item: OpaTable, notes: Notes) -> None:
    """Notes an address that is none, and one beyond this machine without TLS and token."""
    place = "policy.opa.bundle_address"
    host, _, port = item.bundle_address.rpartition(":")
    if not is_address(item.bundle_address) or not int(port):
        why = "OPA pulls the bundle there"
        notes.add(place, "is no host and port", why=why, mend='write host and port: "127.0.0.1:8182"')
        return
    if is_loopback(host.strip("[]")):
        return
    if item.bundle_certificate_file is None and item.bundle_key_file is None:
        mend = "listen on 127.0.0.1, or name bundle_certificate_file and bundle_key_file"
        notes.add(place, "is not on loopback and has no certificate", why=_PULLED, mend=mend)
    if item.bundle_token_file is None:
        why = "the bundle tells who may have what"
        mend = "listen on 127.0.0.1, or name bundle_token_file and give OPA the same token"
        notes.add(place, "is not on loopback and asks for no token", why=why, mend=mend)
