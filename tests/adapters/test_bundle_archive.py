"""A bundle travels as an archive and comes out as it went in."""

from pathlib import Path

from remit_server.adapters.policy.archive import archive_of_files, files_of_archive
from remit_server.adapters.policy.bundle import read_bundle, revision_of
from remit_server.adapters.policy.bundle_files import read_files

POLICIES = Path(__file__).parents[2] / "policies"


def test_what_is_packed_comes_out_as_it_went_in() -> None:
    files = read_files(POLICIES)

    unpacked = files_of_archive(archive_of_files(files))

    assert unpacked == files
    assert revision_of(unpacked) == read_bundle(POLICIES).revision


def test_equal_files_make_equal_archives() -> None:
    files = read_files(POLICIES)

    assert archive_of_files(files) == archive_of_files(dict(reversed(files.items())))
