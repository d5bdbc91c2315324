"""A bundle that a gateway sent: the files in it, once they are those that its digest names."""

from collections.abc import Mapping


def received_files(revision: str, archive: bytes) -> Mapping[str, bytes]:
    """Returns the files of a downloaded bundle, by their plain paths.

    Raises BundleRefused for what is no bundle or another one than it is said to be: a gateway, or whoever poses as one,
    does not choose what stands under a digest.
    """
    from remit_server.adapters.policy.bundles.archive import files_of_archive
    from remit_server.adapters.policy.bundles.bundle import revision_of
    from remit_server.adapters.policy.findings import BundleRefused, Finding

    files = files_of_archive(archive)
    if (found := revision_of(files)) != revision:
        problem = f"what was sent as revision {revision[:12]} is {found[:12]}"
        raise BundleRefused([Finding("archive", 0, problem, "Do not use it, and look at who sent it")])
    return files
