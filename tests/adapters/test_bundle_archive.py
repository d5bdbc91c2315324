"""A bundle travels as an archive and comes out as it went in; what is no plain archive is refused whole."""

import gzip
import io
import json
import tarfile
import tracemalloc
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.policy_bundles import DENY_ALL, written
from tests.real_opa import run_opa

from remit_server.adapters.policy.bundles.archive import archive_of_files, files_of_archive
from remit_server.adapters.policy.bundles.bundle import bundle_of, read_bundle, revision_of
from remit_server.adapters.policy.bundles.bundle_files import MAX_FILES, read_files
from remit_server.adapters.policy.findings import BundleRefused

POLICIES = Path(__file__).parents[2] / "policies"
RULES = "remit/issue/issue.rego"
FILES = {".manifest": b'{"roots":["remit"]}', RULES: DENY_ALL.encode()}
MIB = 1024 * 1024

Change = Callable[[tarfile.TarInfo], None]


def test_what_is_packed_comes_out_as_it_went_in() -> None:
    files = read_files(POLICIES)

    unpacked = files_of_archive(archive_of_files(files))

    assert unpacked == files
    assert revision_of(unpacked) == read_bundle(POLICIES).revision


def test_equal_files_make_equal_archives() -> None:
    files = read_files(POLICIES)

    assert archive_of_files(files) == archive_of_files(dict(reversed(files.items())))


_NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,60}", fullmatch=True)


@given(st.dictionaries(st.lists(_NAMES, min_size=1, max_size=6).map("/".join), st.binary(max_size=2000), max_size=20))
def test_whatever_files_can_stand_side_by_side_come_out_as_they_went_in(files: dict[str, bytes]) -> None:
    side_by_side = {path: content for path, content in files.items() if not _is_above(path, files)}

    assert files_of_archive(archive_of_files(side_by_side)) == side_by_side


def _is_above(path: str, files: Mapping[str, bytes]) -> bool:
    return any(other.startswith(f"{path}/") for other in files)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("prefix", ["/", "./", ""])
def test_archives_of_usual_tools_are_read(form: int, prefix: str) -> None:
    deep = "remit/" + "/".join(["a_long_name_of_a_folder"] * 6) + "/rules.rego"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", format=form) as tar:
        folder = tarfile.TarInfo(f"{prefix}remit/")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for path in (RULES, deep):
            member = tarfile.TarInfo(prefix + path)
            member.size, member.mtime, member.uname = 3, 1_795_000_000, "somebody"
            tar.addfile(member, io.BytesIO(b"abc"))

    assert files_of_archive(packed.getvalue()) == {RULES: b"abc", deep: b"abc"}


def packed_with(change: Change, *, path: str = RULES, content: bytes = b"abc", form: int = tarfile.GNU_FORMAT) -> bytes:
    """Returns an archive whose last file was changed by its header; two sound ones stand before it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=form) as tar:
        for name, text in ((".manifest", b"{}"), ("remit/lib/a.rego", b"package a")):
            sound = tarfile.TarInfo(name)
            sound.size = len(text)
            tar.addfile(sound, io.BytesIO(text))
        member = tarfile.TarInfo(path)
        member.size = len(content)
        change(member)
        tar.addfile(member, io.BytesIO(content))
    return gzip.compress(packed.getvalue())


def _typed(kind: bytes, linkname: str = "") -> Change:
    def change(member: tarfile.TarInfo) -> None:
        member.type, member.linkname = kind, linkname
        if kind != tarfile.REGTYPE:
            member.size = 0

    return change


def _pax(**records: str) -> bytes:
    def change(member: tarfile.TarInfo) -> None:
        member.pax_headers = {name.replace("__", "."): value for name, value in records.items()}

    return packed_with(change, form=tarfile.PAX_FORMAT)


def _same(_: tarfile.TarInfo) -> None:
    """Changes nothing."""


def _named(path: str) -> bytes:
    return packed_with(_same, path=path)


def _edited(start: int, content: bytes, *, mend_checksum: bool = True) -> bytes:
    """Returns an archive with bytes of its third header replaced: after two files of a block each."""
    tar = bytearray(gzip.decompress(packed_with(_same)))
    header = memoryview(tar)[2048:2560]
    assert bytes(header[:12]) == RULES.encode()[:12]
    header[start : start + len(content)] = content
    if mend_checksum:
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
    return gzip.compress(tar)


def _tar() -> bytes:
    return gzip.decompress(packed_with(_same))


def _two_long_names() -> bytes:
    """Returns an archive in which a file has a name by GNU's rule, and another by pax's."""
    gnu = gzip.decompress(packed_with(_same, path="remit/" + "a" * 110 + ".rego"))
    long_name = gnu[2048 : 2048 + 1024]
    pax = gzip.decompress(_pax(path="remit/b.rego"))
    return gzip.compress(pax[:2048] + long_name + pax[2048:])


HOSTILE: Mapping[str, tuple[Callable[[], bytes], str]] = {
    "a symbolic link": (lambda: packed_with(_typed(tarfile.SYMTYPE, "/etc/passwd")), "a link"),
    "a hard link": (lambda: packed_with(_typed(tarfile.LNKTYPE, ".manifest")), "a link"),
    "a device": (lambda: packed_with(_typed(tarfile.CHRTYPE)), "special file"),
    "a block device": (lambda: packed_with(_typed(tarfile.BLKTYPE)), "special file"),
    "a pipe": (lambda: packed_with(_typed(tarfile.FIFOTYPE)), "special file"),
    "a contiguous file": (lambda: packed_with(_typed(tarfile.CONTTYPE)), "special file"),
    "a sparse file": (lambda: packed_with(_typed(b"S")), "sparse"),
    "a multi-volume file": (lambda: packed_with(_typed(b"M")), "special file"),
    "a long link name": (lambda: packed_with(_typed(b"K")), "special file"),
    "a regular file that names another": (lambda: packed_with(_typed(tarfile.REGTYPE, "x")), "names another one"),
    "an absolute path twice": (lambda: _named("//etc/passwd"), "not plain"),
    "a path out of the bundle": (lambda: _named("../../etc/passwd"), "not plain"),
    "a path out of the bundle from below": (lambda: _named("remit/../../x.rego"), "not plain"),
    "a path with a dot": (lambda: _named("remit/./x.rego"), "not plain"),
    "a path with an empty step": (lambda: _named("remit//x.rego"), "not plain"),
    "a path with a backslash": (lambda: _named("remit\\x.rego"), "not plain"),
    "a path with a line's end": (lambda: _named("remit/x\n.rego"), "not plain"),
    "a path that is not ASCII": (lambda: _named("remit/\u0440\u0435go.rego"), "not plain"),
    "a path that is no UTF-8": (lambda: _edited(0, b"\xff\xfe"), "not plain"),
    "a path too deep": (lambda: _named("remit/" + "a/" * 20 + "x.rego"), "not plain"),
    "a file called dot": (lambda: _named("./"), "not plain"),
    "a path twice": (lambda: _named("remit/lib/a.rego"), "twice"),
    "a path twice, with a dot": (lambda: _named("./remit/lib/a.rego"), "twice"),
    "a path twice, with a slash": (lambda: _named("/remit/lib/a.rego"), "twice"),
    "two manifests": (lambda: _named("./.manifest"), "twice"),
    "a path in two cases": (lambda: _named("remit/lib/A.rego"), "the same path on some disks"),
    "a folder in two cases": (lambda: _named("Remit/lib/b.rego"), "the same path on some disks"),
    "a file below a file": (lambda: _named("remit/lib/a.rego/data.json"), "both a file and a folder"),
    "a file where a folder is": (lambda: _named("remit/lib"), "both a file and a folder"),
    "a folder where a file is": (
        lambda: packed_with(_typed(tarfile.DIRTYPE), path="remit/lib/a.rego"),
        "both a file and a folder",
    ),
    "a folder with contents": (lambda: _edited(156, b"5"), "contents of its own"),
    "a size in base 256 that is negative": (lambda: _edited(124, b"\xff" * 12), "not plain octal"),
    "a size in base 256 that is huge": (lambda: _edited(124, b"\x80" + b"\x7f" * 11), "not plain octal"),
    "a size with a sign": (lambda: _edited(124, b"-0000000001\0"), "not plain octal"),
    "a size beyond the end": (lambda: _edited(124, b"77777777777\0"), "cut off"),
    "no size": (lambda: _edited(124, b"\0" * 12), "not plain octal"),
    "an owner that is no number": (lambda: _edited(108, b"nobody\0\0"), "not plain octal"),
    "a time before time": (lambda: _edited(136, b"\xff" * 12), "not plain octal"),
    "a prefix that only some readers heed": (lambda: _edited(345, b"remit/lib"), "only some readers"),
    "a damaged header in the middle": (lambda: _edited(0, b"X", mend_checksum=False), "damaged"),
    "a header of another format": (lambda: _edited(257, b"\0" * 8), "no header of a tar"),
    "a name with a NUL within": (lambda: _edited(5, b"\0"), "holds a NUL"),
    "no name": (lambda: _edited(0, b"\0" * 100), "no name"),
    "a pax size that lies": (lambda: _pax(size="999999999999"), "'size'"),
    "a pax size that is less": (lambda: _pax(size="1"), "'size'"),
    "a pax link": (lambda: _pax(linkpath="/etc/passwd"), "'linkpath'"),
    "a pax sparse map": (lambda: _pax(GNU__sparse__major="1", GNU__sparse__realsize="99999"), "GNU.sparse"),
    "a pax character set": (lambda: _pax(hdrcharset="BINARY"), "'hdrcharset'"),
    "a pax path out of the bundle": (lambda: _pax(path="../x"), "not plain"),
    "a pax header that is too long": (lambda: _pax(comment="x" * 20_000), "too long"),
    "two long names": (_two_long_names, "two long names"),
    "a long name out of the bundle": (lambda: _named("../" + "a/" * 70 + "x"), "not plain"),
    "a tar that is cut off in a header": (lambda: gzip.compress(_tar()[:2300]), "cut off"),
    "a tar that is cut off behind a file": (lambda: gzip.compress(_tar()[:2048]), "cut off"),
    "a tar without its end": (lambda: gzip.compress(_tar()[:3072] + bytes(512)), "where it ends"),
    "another tar behind its end": (lambda: gzip.compress(_tar() + _tar()), "where it ends"),
    "a byte behind its end": (lambda: gzip.compress(_tar() + b"x"), "where it ends"),
    "no tar": (lambda: gzip.compress(b"package remit.issue\n" * 100), "no header of a tar"),
    "nothing": (lambda: b"", "gzip is cut off"),
    "an empty gzip": (lambda: gzip.compress(b""), "cut off"),
    "a plain tar": (_tar, "no sound gzip"),
    "zlib without gzip": (lambda: zlib.compress(_tar()), "no sound gzip"),
    "a gzip in a gzip": (lambda: gzip.compress(packed_with(_same)), "cut off"),
    "a gzip that is cut off": (lambda: packed_with(_same)[:-9], "cut off"),
    "a gzip with a wrong checksum": (lambda: packed_with(_same)[:-8] + bytes(8), "no sound gzip"),
    "bytes behind the gzip": (lambda: packed_with(_same) + b"\0", "stands after it"),
    "a second gzip": (lambda: packed_with(_same) + gzip.compress(b""), "stands after it"),
    "a second gzip far behind": (lambda: packed_with(_same) + bytes(200_000), "stands after it"),
    "a rule over its bound": (lambda: packed_with(_same, content=bytes(256 * 1024 + 1)), "over its bounds"),
    "data over its bound": (
        lambda: packed_with(_same, path="remit/x/data.json", content=bytes(32 * MIB + 1)),
        "over its bounds",
    ),
    "more headers than anybody needs": (
        lambda: gzip.compress(gzip.decompress(_pax(comment="x"))[2048:3072] * 10_001 + _tar()),
        "headers",
    ),
    "too many files": (
        lambda: archive_of_files({f"remit/{number}.rego": b"" for number in range(MAX_FILES + 1)}),
        "over 2000 files",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_with_where_and_why(name: str) -> None:
    make, why = HOSTILE[name]

    with pytest.raises(BundleRefused) as refused:
        files_of_archive(make())

    (finding,) = refused.value.findings
    assert why in finding.problem
    assert finding.mend
    assert str(finding).isprintable()


def _bomb() -> bytes:
    """Returns a gzip of a few hundred kilobytes that unpacks to 256 MiB."""
    packer = zlib.compressobj(9, wbits=31)
    return b"".join([*(packer.compress(bytes(MIB)) for _ in range(256)), packer.flush()])


def test_a_gzip_bomb_is_left_where_a_bundle_must_end() -> None:
    bomb = _bomb()
    tracemalloc.start()
    try:
        with pytest.raises(BundleRefused, match="unpacks to over"):
            files_of_archive(bomb)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(bomb) < MIB
    assert most < 96 * MIB


def test_a_second_archive_behind_a_small_one_is_refused() -> None:
    small = archive_of_files({"remit/data.json": b"{}"})

    with pytest.raises(BundleRefused, match="something stands after it"):
        files_of_archive(small + small)


def test_a_bomb_within_a_file_stays_a_file() -> None:
    inner = _bomb()

    unpacked = files_of_archive(archive_of_files({"remit/x/data.json": inner}))

    assert unpacked == {"remit/x/data.json": inner}


def test_a_bundle_over_its_bound_in_all_is_refused() -> None:
    third = bytes(22 * MIB - 300_000)

    with pytest.raises(BundleRefused, match="over its bounds"):
        files_of_archive(archive_of_files({f"remit/{name}/data.json": third for name in "abc"}))


def test_an_archive_over_its_bound_is_refused_unread() -> None:
    with pytest.raises(BundleRefused, match="it has over"):
        files_of_archive(bytes(64 * MIB + 1))


@given(st.data())
def test_a_flipped_byte_never_gives_other_files(data: Any) -> None:
    archive = bytearray(archive_of_files(FILES))
    place = data.draw(st.integers(0, len(archive) - 1))
    archive[place] ^= data.draw(st.integers(1, 255))

    try:
        unpacked = files_of_archive(bytes(archive))
    except BundleRefused:
        return

    assert unpacked == FILES  # a flag or a time in gzip's header


def _usual(form: int) -> bytes:
    """Returns a tar with a long name, so with an extended header where the format has them."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=form) as tar:
        for path in ("/.manifest", "/remit/" + "a" * 60 + "/" + "b" * 60 + ".rego", f"/{RULES}"):
            member = tarfile.TarInfo(path)
            member.size = 3
            tar.addfile(member, io.BytesIO(b"abc"))
    return packed.getvalue()


TARS = {form: _usual(form) for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)}


@settings(max_examples=150)
@given(st.data())
def test_what_is_taken_of_a_damaged_tar_is_what_python_reads_of_it_too(data: Any) -> None:
    tar = bytearray(TARS[data.draw(st.sampled_from(sorted(TARS)))])
    headers = [start for start in range(0, len(tar), 512) if tar[start + 257 : start + 262] == b"ustar"]
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.sampled_from(headers)) + data.draw(st.integers(0, 1023))
        tar[place] = data.draw(st.sampled_from([0, 32, 45, 46, 47, *range(48, 56), 120, 128, 255]))
    for start in headers:
        tar[start + 148 : start + 156] = b" " * 8
        tar[start + 148 : start + 156] = b"%06o\0 " % sum(tar[start : start + 512])

    try:
        taken = files_of_archive(gzip.compress(tar))
    except BundleRefused:
        return

    with tarfile.open(fileobj=io.BytesIO(tar), mode="r:") as other:
        read = {one.name: (other.extractfile(one) or io.BytesIO()).read() for one in other if one.isreg()}
    assert {name.removeprefix("./").removeprefix("/"): content for name, content in read.items()} == taken


def built(folder: Path, archive: Path, *options: str) -> bytes:
    """Returns what `opa build` makes of a bundle; OPA names files as it is told, so it is told the folder itself."""
    run_opa("build", "--bundle", ".", "--output", str(archive), *options, folder=folder)
    return archive.read_bytes()


def test_opa_build_of_plain_json_data_has_the_revision_of_the_folder(tmp_path: Path) -> None:
    data = '{"remit":{"catalog":{"production":{"accounts":["111122223333"]}}}}\n'
    folder = written(tmp_path / "bundle", {RULES: "package remit.issue\n\nx := 1\n", "data.json": data})

    archive = built(folder, tmp_path / "bundle.tar.gz")

    assert bundle_of(files_of_archive(archive)).revision == read_bundle(folder).revision


def test_opa_build_of_the_default_policies_decides_by_the_same_values_under_a_revision_of_its_own(
    tmp_path: Path,
) -> None:
    archive = built(POLICIES, tmp_path / "bundle.tar.gz", "--revision", "")

    bundle, folder = bundle_of(files_of_archive(archive)), read_bundle(POLICIES)
    assert (bundle.modules, bundle.capabilities) == (folder.modules, folder.capabilities)
    assert json.loads(bundle.data_json) == json.loads(folder.data_json)
    assert bundle.revision != folder.revision


def test_opa_build_that_carries_the_revision_of_its_folder_on_is_refused(tmp_path: Path) -> None:
    archive = built(POLICIES, tmp_path / "bundle.tar.gz")

    with pytest.raises(BundleRefused, match="the files make"):
        bundle_of(files_of_archive(archive))


@pytest.mark.parametrize("query", ["data.remit", 'data.remit.issue.decision with input as {"a": 1}'])
def test_opa_loads_of_our_archive_what_it_loads_of_the_folder(tmp_path: Path, query: str) -> None:
    archive = tmp_path / "ours.tar.gz"
    archive.write_bytes(archive_of_files(read_files(POLICIES)))

    answers = [run_opa("eval", "--bundle", str(place), query) for place in (archive, POLICIES)]

    assert answers[0] == answers[1]
    assert "decision" in answers[0] or "allow" in answers[0]
