"""Workload identity without secrets: what the platform gives this process, found and kept fresh.

    gateway = remit.Gateway("gateway.example.com:8444", bearer_token=remit.workload.github("https://remit.acme.example"))

Each function returns a source: a function that gives a fresh token, for `bearer_token=` and `subject_token=`.
"""

from remit.workload.failing import NoWorkloadIdentity
from remit.workload.naming import detect, token_source
from remit.workload.platforms import aws, env, file, github, gitlab, gitpod, kubernetes
from remit.workload.spiffe import SpiffeX509, spiffe_jwt, spiffe_x509
from remit.workload.token import WorkloadToken

__all__ = [
    "NoWorkloadIdentity",
    "SpiffeX509",
    "WorkloadToken",
    "aws",
    "detect",
    "env",
    "file",
    "github",
    "gitlab",
    "gitpod",
    "kubernetes",
    "spiffe_jwt",
    "spiffe_x509",
    "token_source",
]
