"""`[checkpoints]`: signed points of the audit chain that are kept elsewhere."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from remit_server.config.files import Files
from remit_server.config.identity_rules import url_mistake
from remit_server.config.table_shape import Table, key
from remit_server.domain.secret import Secret


@dataclass(frozen=True, slots=True)
class CheckpointSettings:
    """Where checkpoints are kept (a file, a URL, or both), the key that signs them, and how often there is one."""

    signing_key_file: Path
    file: Path | None = None
    url: str | None = None
    token: Secret | None = field(default=None, repr=False)
    ca_file: Path | None = None
    private_network: bool = False
    every: timedelta = timedelta(seconds=60)
    every_records: int = 10_000


class CheckpointTable(Table):
    """`[checkpoints]`: signed points of the audit chain, kept where nobody who runs the gateway can change them."""

    file: str | None = key("The file that they are added to.", 'file = "checkpoints/audit.jsonl"', None)
    url: str | None = key("Where they are sent (https).", 'url = "https://siem.acme.example/checkpoints"', None)
    signing_key_file: str | None = key(
        "The private key (PEM, Ed25519) that signs them.", 'signing_key_file = "secrets/checkpoints.key"', None
    )
    token_file: str | None = key(
        "The file with the bearer token that the URL asks for.", 'token_file = "secrets/checkpoints-token"', None
    )
    ca_file: str | None = key("The authorities (PEM) of its TLS certificate.", 'ca_file = "tls/issuer-ca.pem"', None)
    private_network: bool = key(
        "Whether its host may have an address of a private network.", "private_network = false", default=False
    )
    every_seconds: int = key("How often there is one.", "every_seconds = 60", 60, ge=5, le=86_400)
    every_records: int = key("After how many records besides.", "every_records = 10000", 10_000, ge=1, le=10_000_000)


def checkpoints(item: CheckpointTable, files: Files) -> CheckpointSettings | None:
    """Returns where checkpoints are kept, None after noting what is wrong."""
    before = len(files.notes.mistakes)
    why = "a checkpoint is worth something only where it is kept, and signed"
    if item.file is None and item.url is None:
        mend = "name a file, an https URL, or both"
        files.notes.add("checkpoints.file", "is missing, and url too", why=why, mend=mend)
    if item.url is not None and (wrong := url_mistake(item.url)):
        files.notes.add("checkpoints.url", wrong, why=why, mend='write it like "https://siem.acme.example/checkpoints"')
    if item.signing_key_file is None:
        mend = "make a key by `openssl genpkey -algorithm ed25519` and name its file"
        files.notes.add("checkpoints.signing_key_file", "is missing", why=why, mend=mend)
        return None
    signing_key = files.private("checkpoints.signing_key_file", item.signing_key_file)
    token = files.secret("checkpoints.token_file", item.token_file) if item.token_file is not None else None
    ca_file = files.authorities("checkpoints.ca_file", item.ca_file) if item.ca_file is not None else None
    path = files.path(item.file) if item.file is not None else None
    if path is not None and not path.parent.is_dir():
        mend = f"make {path.parent}, on a volume that the gateway's operators cannot change"
        files.notes.add("checkpoints.file", f"{path} is in a folder that does not exist", why=why, mend=mend)
    if signing_key is None or len(files.notes.mistakes) > before:
        return None
    return CheckpointSettings(
        signing_key_file=signing_key,
        file=path,
        url=item.url,
        token=token,
        ca_file=ca_file,
        private_network=item.private_network,
        every=timedelta(seconds=item.every_seconds),
        every_records=item.every_records,
    )
