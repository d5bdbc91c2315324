"""The tool by which a model asks for more AWS access, up to what its run may ask for."""

from remit.frameworks.core.answers import Answer, text_of_answer
from remit.frameworks.core.run_task import RunTask
from remit.local.refusals import texts_of


def request_aws_access(aws: RunTask, allow: list[str], why: str = "") -> str:
    """Asks for more AWS access for this task. Use it when a tool's result says that AWS access was refused or denied.

    The answer says what was granted; after that call the tool again. An empty list tells what may be asked for.

    Args:
        allow: What is needed, each as ACTION=RESOURCE, for example s3:GetObject=arn:aws:s3:::reports/2026/*, or an
            offer's text as it stands. Ask for as little as the work needs.
        why: One sentence on what it is needed for, for the people who may have to approve it.
    """
    if not allow:
        return text_of_answer({"status": "nothing asked", "may_ask_at_most": texts_of(aws.may_ask)})
    held = aws.holds
    task = aws.request(allow, why)
    lost = [item for item in held if item not in aws.holds]
    told: Answer = {"status": "granted", "allow": texts_of(aws.holds), "until": task.grant.expire_time.isoformat()}
    if lost:
        told["no_more"] = texts_of(lost)
        told["message"] = "one set of credentials cannot hold both: ask again for what is no more when it is needed"
    return text_of_answer(told)
