"""Opens what a source has: the archive, the signature, the time; or says what is wrong with it."""

from collections.abc import Mapping
from dataclasses import dataclass

from remit_server.adapters.policy.bundles.archive import files_of_archive
from remit_server.adapters.policy.bundles.bundle import SIGNATURES, revision_of
from remit_server.adapters.policy.bundles.manifest import built_time_of
from remit_server.adapters.policy.findings import BundleRefused
from remit_server.adapters.policy.sources.signatures import BundleSignatures
from remit_server.application.policy.following.offers import Offer, OfferCode
from remit_server.application.policy.following.source_ports import Offered, Unacceptable
from remit_server.config.policy_settings import BundleSigningSettings


@dataclass(frozen=True, slots=True)
class Opening:
    """Opens bundles of one source; `signing` says whose signature they may bear."""

    source: str
    signing: BundleSigningSettings

    def archive(self, content: bytes) -> Offered | Unacceptable:
        """Returns what an archive offers. Takes seconds for a large one: not on the event loop."""
        try:
            files = files_of_archive(content)
        except BundleRefused as refused:
            return Unacceptable(OfferCode.MALFORMED, str(refused))
        return self.files(files)

    def files(self, files: Mapping[str, bytes]) -> Offered | Unacceptable:
        """Returns what files (by path) offer; likewise."""
        revision = revision_of(files)
        signed_by = ""
        if self.signing.keys and SIGNATURES in files:
            try:
                signed_by = BundleSignatures.by(self.signing.keys, self.signing.scope).signed_by(files)
            except BundleRefused as refused:
                return Unacceptable(OfferCode.SIGNATURE_WRONG, str(refused), revision)
        try:
            built_time = built_time_of(files)
        except BundleRefused as refused:
            return Unacceptable(OfferCode.MALFORMED, str(refused), revision)
        size = sum(len(content) for content in files.values())
        return Offered(Offer(self.source, revision, built_time, signed_by, size), files)
