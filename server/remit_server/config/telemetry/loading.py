"""Makes the settings of what is told of the gateway itself."""

from remit_server.config import loading_serving
from remit_server.config.files import Files
from remit_server.config.loading_serving import is_loopback
from remit_server.config.shapes import ListenTable
from remit_server.config.telemetry.settings import MetricsSettings


def metrics(item: ListenTable, files: Files) -> MetricsSettings | None:
    """Returns how the figures are told, or None where they are not or after noting what is wrong."""
    table, place = item.metrics, "listen.metrics"
    if table is None:
        return None
    before = len(files.notes.mistakes)
    listener = loading_serving.http(table, files, place)
    token = None if table.token_file is None else files.secret(f"{place}.token_file", table.token_file)
    if listener is not None and table.token_file is None and not is_loopback(_host(listener.address)):
        why = "figures tell strangers when a gateway is weak, and whether what they try has an effect"
        mend = "name token_file, and have the scraper show that token; or listen on 127.0.0.1"
        files.notes.add(f"{place}.token_file", "is missing off loopback", why=why, mend=mend)
    if listener is None or len(files.notes.mistakes) != before:
        return None
    return MetricsSettings(listener, token)


def _host(address: str) -> str:
    """Returns the host of an address."""
    return address.rpartition(":")[0].strip("[]")
