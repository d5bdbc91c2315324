"""examples/kubernetes-sidecar: the manifest's commands as two processes, and a kubelet that rotates the token."""

import dataclasses
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e.examples.platform_gateway import EXAMPLES, environment, gateway_of
from tests.e2e.examples.pods import Pod
from tests.e2e.gateways import OwnGateway
from tests.e2e.machines import BIN
from tests.profile_tokens import KUBERNETES_TOKEN
from tests.waiting import until
from tests.workload.test_read_tokens import Kubelet

from remit_sandbox.sandbox import Sandbox
from remit_server.adapters.strict_yaml import strict_yaml

HERE = EXAMPLES / "kubernetes-sidecar"
TEXT = (HERE / "reporter.yaml").read_text()
DOCUMENTS: list[dict[str, Any]] = [dict(yaml.safe_load(text)) for text in TEXT.split("\n---\n")]
KINDS = {document["kind"]: document for document in DOCUMENTS}
TEMPLATE: dict[str, Any] = KINDS["Job"]["spec"]["template"]["spec"]
PORT = "8181"


@pytest.fixture(scope="module")
def gateway(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnGateway]:
    with gateway_of("kubernetes-sidecar", sandbox, tmp_path_factory.mktemp("kubernetes")) as running:
        yield running


@dataclasses.dataclass(frozen=True)
class Node:
    """The pod, its kubelet, and where the sidecar finds this gateway, which no manifest of an example can know."""

    pod: Pod
    kubelet: Kubelet
    sandbox: Sandbox
    gateway: dict[str, str]

    def token(self) -> str:
        """Returns what the API server makes for the pod: for its service account, with the audience of the volume."""
        account, now = KINDS["ServiceAccount"]["metadata"], int(time.time())
        (source,) = volume("remit-token")["projected"]["sources"]
        claims = {
            **KUBERNETES_TOKEN,
            "aud": [source["serviceAccountToken"]["audience"]],
            "sub": f"system:serviceaccount:{account['namespace']}:{account['name']}",
            "iat": now,
            "nbf": now,
            "exp": now + source["serviceAccountToken"]["expirationSeconds"],
            "jti": str(uuid.uuid4()),
        }
        own = {"name": account["name"], "uid": str(uuid.uuid4())}
        names = {**claims["kubernetes.io"], "namespace": account["namespace"], "serviceaccount": own}
        return self.sandbox.issuer.signed({**claims, "kubernetes.io": names})

    def is_started(self) -> bool:
        """Says what the sidecar's startup probe says."""
        return not self.pod.runs("remit", self.pod.container("remit")["startupProbe"]["exec"]["command"]).returncode

    def reports(self) -> "Any":
        """Runs the job's container."""
        return self.pod.runs("reporter", self.pod.container("reporter")["command"])


def volume(name: str) -> dict[str, Any]:
    (found,) = (one for one in TEMPLATE["volumes"] if one["name"] == name)
    return dict(found)


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.fixture
def node(sandbox: Sandbox, gateway: OwnGateway, tmp_path: Path) -> Node:
    """A node where the pod's port is a free one, and its volumes are folders."""
    folders = {one["name"]: tmp_path / one["name"] for one in TEMPLATE["volumes"]}
    for folder in folders.values():
        folder.mkdir()
    shell = environment(sandbox, tmp_path, gateway)
    reached = {name: shell.pop(name) for name in ("REMIT_GATEWAY", "REMIT_CA_FILE")}
    port = free_port()
    template = yaml.safe_load(yaml.safe_dump(TEMPLATE).replace(PORT, port))
    pod = Pod(template, folders, {"PATH": shell["PATH"], "AWS_ENDPOINT_URL": sandbox.aws.endpoint_url})
    settings = pod.told("remit", KINDS["ConfigMap"]["data"]["client.toml"])
    (folders["remit-client"] / "client.toml").write_text(settings)
    return Node(pod, Kubelet(folders["remit-token"]), sandbox, reached)


async def test_the_jobs_container_reads_what_the_sidecars_task_allows(node: Node) -> None:
    node.kubelet.write(node.token())
    with node.pod.running("remit", str(BIN / "remit"), **node.gateway) as sidecar:
        await until(lambda: node.is_started() or sidecar.poll() is not None)

        done = node.reports()
        more = node.pod.runs("reporter", ["aws", "s3", "cp", "s3://reports/2026/q2/summary.md", "-"])
        mode = (node.pod.folders["authorization"] / "authorization").stat().st_mode & 0o777
        sidecar.terminate()
        code = sidecar.wait(60)

    assert done.returncode == 0, done.stderr
    assert "Revenue 857" in (node.pod.folders["work"] / "q3/summary.md").read_text()
    assert more.returncode != 0
    assert "403" in more.stderr or "AccessDenied" in more.stderr
    assert mode == 0o640
    assert code == 0
    assert list(node.pod.folders["authorization"].iterdir()) == []


async def test_a_task_that_follows_another_is_asked_for_with_the_token_that_the_kubelet_wrote_last(node: Node) -> None:
    node.kubelet.write(node.token())
    with node.pod.running("remit", str(BIN / "remit"), **node.gateway) as sidecar:
        assert sidecar.stderr is not None
        task_id = sidecar.stderr.readline().split()[2]
        await until(node.is_started)
        node.kubelet.write("no.token.atall")
        token = node.pod.folders["work"] / "token-of-somebody-who-ends-it"
        token.write_text(node.token())
        ended = node.pod.runs(
            "remit", [str(BIN / "remit"), "end", task_id], **node.gateway, REMIT_BEARER_TOKEN_FILE=str(token)
        )

        refused = node.reports()
        node.kubelet.write(node.token())
        await until(lambda: node.reports().returncode == 0)

    assert f"ended {task_id}" in ended.stdout, ended.stderr
    assert refused.returncode != 0
    assert "Revenue 857" in (node.pod.folders["work"] / "q3/summary.md").read_text()


async def test_a_sidecar_that_is_refused_says_why_and_the_job_does_not_start(node: Node) -> None:
    node.kubelet.write(
        node.sandbox.issuer.signed({**KUBERNETES_TOKEN, "aud": ["remit"], "exp": int(time.time()) + 600})
    )

    with node.pod.running("remit", str(BIN / "remit"), **node.gateway) as sidecar:
        code = sidecar.wait(60)
        assert sidecar.stderr is not None
        said = sidecar.stderr.read()

    assert code in {80, 82, 87}, said
    assert said.partition(":")[0].isupper()
    assert not node.is_started()


def test_a_port_that_is_taken_is_told(node: Node) -> None:
    node.kubelet.write(node.token())
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(node.pod.container("remit")["args"][4])))
        other.listen()

        with node.pod.running("remit", str(BIN / "remit"), **node.gateway) as sidecar:
            code = sidecar.wait(60)
            assert sidecar.stderr is not None
            said = sidecar.stderr.read()

    assert code == 85
    assert "give another --port" in said


def test_every_document_is_strict_yaml_of_one_namespace_and_none_is_a_secret() -> None:
    documents = [strict_yaml(text)[0] for text in TEXT.split("\n---\n")]

    assert documents == DOCUMENTS
    assert {document["metadata"]["namespace"] for document in DOCUMENTS} == {"reports"}
    assert sorted(KINDS) == ["ConfigMap", "Job", "NetworkPolicy", "ServiceAccount"]


def test_only_the_sidecar_has_the_pods_token_and_both_run_with_nothing_they_do_not_need() -> None:
    containers = [*TEMPLATE["initContainers"], *TEMPLATE["containers"]]
    mounts = {one["name"]: {mount["name"] for mount in one["volumeMounts"]} for one in containers}

    assert mounts["remit"] - mounts["reporter"] == {"remit-token", "remit-client"}
    assert KINDS["ServiceAccount"]["automountServiceAccountToken"] is TEMPLATE["automountServiceAccountToken"] is False
    for one in containers:
        given = one["securityContext"]
        assert (given["allowPrivilegeEscalation"], given["readOnlyRootFilesystem"]) == (False, True)
        assert given["capabilities"] == {"drop": ["ALL"]}
        assert given["runAsUser"] > 0


def test_the_parts_name_each_other_rightly() -> None:
    uri, file, *_ = (one["value"] for one in TEMPLATE["containers"][0]["env"])
    args = TEMPLATE["initContainers"][0]["args"]
    names = {
        mount["name"] for one in (*TEMPLATE["initContainers"], *TEMPLATE["containers"]) for mount in one["volumeMounts"]
    }

    assert uri == f"http://127.0.0.1:{args[args.index('--port') + 1]}/credentials"
    assert file == args[args.index("--token-file") + 1]
    assert names == {one["name"] for one in TEMPLATE["volumes"]}
    assert (
        KINDS["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"]
        == KINDS["Job"]["spec"]["template"]["metadata"]["labels"]
    )
    assert volume("remit-client")["configMap"]["name"] == KINDS["ConfigMap"]["metadata"]["name"]
