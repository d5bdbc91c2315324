"""The grammars of AWS names that the configuration and the calls to AWS must read alike: regions and role ARNs."""

import re
from dataclasses import dataclass
from typing import Final

# Source: botocore's partitions; the tests hold every region that botocore knows to it.
_PARTITIONS: Final = (
    (re.compile(r"cn-[a-z]+-[0-9]{1,2}", re.ASCII), "aws-cn", "amazonaws.com.cn"),
    (re.compile(r"us-gov-[a-z]+-[0-9]{1,2}", re.ASCII), "aws-us-gov", "amazonaws.com"),
    (re.compile(r"us-iso-[a-z]+-[0-9]{1,2}", re.ASCII), "aws-iso", "c2s.ic.gov"),
    (re.compile(r"us-isob-[a-z]+-[0-9]{1,2}", re.ASCII), "aws-iso-b", "sc2s.sgov.gov"),
    (re.compile(r"eu-isoe-[a-z]+-[0-9]{1,2}", re.ASCII), "aws-iso-e", "cloud.adc-e.uk"),
    (re.compile(r"us-isof-[a-z]+-[0-9]{1,2}", re.ASCII), "aws-iso-f", "csp.hci.ic.gov"),
    (re.compile(r"eusc-[a-z]+-[a-z]+-[0-9]{1,2}", re.ASCII), "aws-eusc", "amazonaws.eu"),
    (re.compile(r"[a-z]{2}-[a-z]+-[0-9]{1,2}", re.ASCII), "aws", "amazonaws.com"),
)
_ROLE_ARN = re.compile(
    r"arn:(?P<partition>aws(?:-[a-z]+)*):iam::(?P<account>[0-9]{12}):role/(?:[\x21-\x7e]+/)?(?P<name>[\w+=,.@-]{1,64})",
    re.ASCII,
)
_LONGEST_ARN: Final = 1_024


@dataclass(frozen=True, slots=True)
class RoleArn:
    """The parts of a role's ARN; its path is no part of its sessions' names."""

    partition: str
    account: str
    name: str

    def session(self, session_name: str) -> str:
        """Returns the ARN of a session of the role."""
        return f"arn:{self.partition}:sts::{self.account}:assumed-role/{self.name}/{session_name}"


def role_arn_of(text: str) -> RoleArn:
    """Returns the parts of a role's ARN; raises ValueError, without the text, for anything else."""
    found = _ROLE_ARN.fullmatch(text) if len(text) <= _LONGEST_ARN else None
    if found is None:
        raise ValueError("not the ARN of a role: arn:<partition>:iam::<12-digit account>:role/<name>")
    return RoleArn(found["partition"], found["account"], found["name"])


def partition_of(region: str) -> str:
    """Returns the partition that a region belongs to; raises ValueError for what is no region's name."""
    return _place_of(region)[0]


def dns_suffix_of(region: str) -> str:
    """Returns the suffix of the region's endpoints; raises ValueError for what is no region's name."""
    return _place_of(region)[1]


def _place_of(region: str) -> tuple[str, str]:
    """Returns partition and suffix of a region; raises ValueError."""
    for pattern, partition, suffix in _PARTITIONS:
        if pattern.fullmatch(region) is not None:
            return partition, suffix
    raise ValueError("not the name of an AWS region, such as eu-central-1")
