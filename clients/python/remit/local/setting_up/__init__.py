"""Writes what a machine needs: settings, an AWS profile, shell completion; each edit shown before it is made."""

from remit.local.setting_up.aws_profile import AwsProfile, with_aws_profile
from remit.local.setting_up.client_settings import Answers, with_settings
from remit.local.setting_up.completion import completion_edits
from remit.local.setting_up.edits import Edit, apply, read

__all__ = ["Answers", "AwsProfile", "Edit", "apply", "completion_edits", "read", "with_aws_profile", "with_settings"]
