"""Makes the settings of what is told of the gateway itself."""

from remit_server.config import loading_serving
from remit_server.config.files import Files
from remit_server.config.loading_cloud import check_endpoint
from remit_server.config.loading_serving import is_loopback
from remit_server.config.shapes import ListenTable
from remit_server.config.source import Source, table
from remit_server.config.telemetry.settings import Callers, MetricsSettings, TracingSettings
from remit_server.config.telemetry.shapes import TracingTable


def metrics(item: ListenTable, files: Files) -> MetricsSettings | None:
    """Returns how the figures are told, or None where they are not or after noting what is wrong."""
    found, place = item.metrics, "listen.metrics"
    if found is None:
        return None
    before = len(files.notes.mistakes)
    listener = loading_serving.http(found, files, place)
    token = None if found.token_file is None else files.secret(f"{place}.token_file", found.token_file)
    if listener is not None and found.token_file is None and not is_loopback(_host(listener.address)):
        why = "figures tell strangers when a gateway is weak, and whether what they try has an effect"
        mend = "name token_file, and have the scraper show that token; or listen on 127.0.0.1"
        files.notes.add(f"{place}.token_file", "is missing off loopback", why=why, mend=mend)
    if listener is None or len(files.notes.mistakes) != before:
        return None
    return MetricsSettings(listener, token)


def tracing(source: Source, files: Files) -> TracingSettings | None:
    """Returns where traces go, or None where the file has no such table or after noting what is wrong."""
    if "tracing" not in source.tree:
        return None
    found: TracingTable | None = table(source, "tracing", files.notes)
    if found is None:
        return None
    before = len(files.notes.mistakes)
    why = "who reads along there sees when the gateway does what"
    check_endpoint(found.endpoint, files.notes, place="tracing.endpoint", why=why)
    ca_file = None if found.ca_file is None else files.authorities("tracing.ca_file", found.ca_file)
    token = None if found.token_file is None else files.secret("tracing.token_file", found.token_file)
    if len(files.notes.mistakes) != before:
        return None
    return TracingSettings(found.endpoint.rstrip("/"), ca_file, token, found.share, Callers(found.callers))


def _host(address: str) -> str:
    """Returns the host of an address."""
    return address.rpartition(":")[0].strip("[]")
