"""Tokens that are there already, in files and variables: read as they are now, and never past their end."""

import os
import stat
from pathlib import Path

import pytest
from tests.workload.tokens import jwt

from remit import workload
from remit.workload import NoWorkloadIdentity, WorkloadToken

OVER = 1_700_000_000


class Kubelet:
    """Writes a projected volume as the kubelet does: a new folder, and one symbolic link that is swapped at once."""

    def __init__(self, volume: Path) -> None:
        self._volume, self._count = volume, 0
        self.path = volume / "token"

    def write(self, token: str) -> None:
        self._count += 1
        folder = self._volume / f"..2026_11_30_{self._count}"
        folder.mkdir()
        (folder / "token").write_text(token)
        (self._volume / "..data_tmp").symlink_to(folder.name)
        (self._volume / "..data_tmp").rename(self._volume / "..data")
        if not self.path.is_symlink():
            self.path.symlink_to(Path("..data") / "token")


def failure(token: WorkloadToken) -> NoWorkloadIdentity:
    with pytest.raises(NoWorkloadIdentity) as raised:
        token()
    assert "canary" not in str(raised.value)
    return raised.value


def test_a_pods_token_is_the_one_that_the_kubelet_wrote_last(tmp_path: Path) -> None:
    kubelet = Kubelet(tmp_path)
    first, second = jwt(jti="1"), jwt(jti="2")
    token = workload.kubernetes(kubelet.path)

    kubelet.write(first)
    before = token()
    kubelet.write(second)

    assert (before, token()) == (first, second)


def test_a_pods_token_that_the_kubelet_does_not_renew_is_told_with_its_end(tmp_path: Path) -> None:
    kubelet = Kubelet(tmp_path)
    kubelet.write(jwt(exp=OVER))

    error = failure(workload.kubernetes(kubelet.path))

    assert error.reason == "WORKLOAD_TOKEN_EXPIRED"
    assert error.message == f"the token in {kubelet.path} was good until 2023-11-14T22:13:20Z, which is over"
    assert "the clock of this machine is wrong" in error.advice


def test_without_a_projected_volume_it_says_what_to_mount(tmp_path: Path) -> None:
    error = failure(workload.kubernetes(tmp_path / "token"))

    assert error.message == f"the token file {tmp_path / 'token'} cannot be read: No such file or directory"
    assert "mount a projected serviceAccountToken with the gateway's audience" in error.advice


def test_a_pods_token_is_looked_for_where_the_docs_mount_it() -> None:
    assert repr(workload.kubernetes()) == "<WorkloadToken kubernetes path='/var/run/secrets/remit/token'>"


def test_a_gitlab_job_has_its_token_in_the_variable_of_id_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    own, other = jwt(jti="own"), jwt(jti="other")
    monkeypatch.setenv("REMIT_ID_TOKEN", own)
    monkeypatch.setenv("OTHER_ID_TOKEN", other)

    assert (workload.gitlab()(), workload.gitlab("OTHER_ID_TOKEN")()) == (own, other)


def test_a_gitlab_job_that_outlives_its_token_is_told_that_no_other_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REMIT_ID_TOKEN", jwt(exp=OVER, jti="canary"))

    error = failure(workload.gitlab())

    assert error.reason == "WORKLOAD_TOKEN_EXPIRED"
    assert error.message == "the token in REMIT_ID_TOKEN was good until 2023-11-14T22:13:20Z, which is over"
    assert error.advice == "GitLab gives a job its token once: start the job again, or give it a longer timeout"


@pytest.mark.parametrize(("value", "told"), [(None, "is not set"), ("", "is empty"), (" \n", "is empty")])
def test_a_gitlab_job_without_id_tokens_is_told_what_to_add(
    monkeypatch: pytest.MonkeyPatch, value: str | None, told: str
) -> None:
    monkeypatch.delenv("REMIT_ID_TOKEN", raising=False)
    if value is not None:
        monkeypatch.setenv("REMIT_ID_TOKEN", value)

    error = failure(workload.gitlab())

    assert error.message == f"the variable REMIT_ID_TOKEN {told}"
    assert "`id_tokens: {REMIT_ID_TOKEN: {aud: AUDIENCE}}`" in error.advice


def test_a_file_and_a_variable_may_hold_tokens_of_any_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("opaque-token\n")
    monkeypatch.setenv("AGENT_TOKEN", " opaque-token ")

    assert workload.file(tmp_path / "token")() == workload.env("AGENT_TOKEN")() == "opaque-token"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "gave nothing"),
        (b" \n", "gave nothing"),
        (b"canary" * 20_000, "gave 16385 characters, which is no token that a gateway takes"),
        ("canary\u00e9".encode(), "holds no token: it is not ASCII"),
    ],
)
def test_a_file_that_holds_no_token_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "token").write_bytes(content)

    assert failure(workload.file(tmp_path / "token")).message == f"the file {tmp_path / 'token'} {told}"


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "token")
    assert stat.S_ISFIFO((tmp_path / "token").stat().st_mode)

    assert failure(workload.file(tmp_path / "token")).message == f"{tmp_path / 'token'} is no file"


def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path: Path) -> None:
    assert failure(workload.file(tmp_path)).message == f"the token file {tmp_path} cannot be read: Is a directory"


@pytest.mark.parametrize("end", [-1e300, 0, float("-inf")])
def test_a_token_with_an_absurd_end_is_over(tmp_path: Path, end: float) -> None:
    (tmp_path / "token").write_text(jwt(exp=end))

    assert "was good until 1970-01-01T00:00:00Z" in failure(workload.file(tmp_path / "token")).message


def test_a_file_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")

    assert "cannot be read: Too many levels of symbolic links" in failure(workload.file(tmp_path / "loop")).message
