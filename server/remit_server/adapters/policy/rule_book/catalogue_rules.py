"""Rules about the catalogue: entitlements, capabilities, administration."""

from typing import Final

from remit_server.adapters.policy.rule_book.kinds import advice, error

CATALOGUE_RULES: Final = (
    error(
        "catalogue-shape",
        "An entry of the catalogue does not have the shape of its schema",
        "The gateway would refuse the decision that hands it on, as an outage",
        "See the schema named in the finding",
    ),
    error(
        "unlisted-role",
        "An entitlement uses a role that is not listed under roles",
        "That list is the order in which roles are tried; what is not in it is never tried",
        "Add the role to the list, or correct its ARN",
    ),
    error(
        "dangling-group",
        "by_group leads to an entitlement that is not there",
        "The members of the group would silently lack it",
        "Correct the id, or take it out",
    ),
    error(
        "unreached-entitlement",
        "An entitlement is reached by no group under by_group",
        "Nobody could ever use it",
        "Name it under a group, or take it out",
    ),
    error(
        "unknown-time-zone",
        "The hours of an entitlement are in a time zone that does not exist",
        "The hours are never open, or the decision fails",
        "Write a zone of the IANA database, such as Europe/Berlin",
    ),
    advice(
        "administration-shape",
        "The administration catalogue does not have the shape of schemas/administration.json",
        "The rules of remit.admin read it by that shape: what is spelled otherwise gives nobody a right",
        "See schemas/administration.json, unless rules of your own read it otherwise",
    ),
    advice(
        "unknown-rpc",
        "A right of the administration catalogue names an RPC that no service has",
        "Nobody gets the right that its author meant to give",
        "Correct the name",
    ),
    error(
        "actor-pattern",
        "An actor is no pattern that can be read",
        "Both engines fail over it: every decision that comes to it is an outage, or never true",
        "Close its brackets and braces; a * stands for one step",
    ),
    advice(
        "actor-form",
        "An actor is neither a SPIFFE ID nor <issuer alias>:<subject>",
        "Agents are called by those names in policies, never by their id under [[agents]]: it fits none",
        "Write spiffe://<trust domain>/<path> or <issuer alias>:<subject>",
    ),
    advice(
        "break-glass-any-task",
        "A break-glass entitlement asks for no task label",
        "It is issued at once to every task, since no label says that there is an emergency",
        "Give it task_labels that only an emergency has",
    ),
    advice(
        "advice-left-out",
        "A gateway had no time for all the advice on a large catalogue that was published",
        "Everything that refuses a bundle was looked for; what is only told was not, or not all of it",
        "Run `remit-server policy check --config` on the bundle, which takes the time",
    ),
    advice(
        "missing-slash",
        "A wildcard follows a name with no separator between",
        "It also reaches whatever else begins with that name: tasks/t1* reaches tasks/t10/ as well",
        "End the name with its separator, or write the whole name",
    ),
    advice(
        "impossible-label",
        "An entitlement asks for a task label that no task can carry",
        "Nobody could ever use it",
        "Label keys are [a-z0-9_-]{1,63}, values up to 256 characters",
    ),
    advice(
        "ignored-approvers",
        "An approval is by the subject, and names groups or more than one approver all the same",
        "Only the user is asked, once: nobody of the groups is, and no second person",
        "Write by: others, or leave groups empty and min_approvers at 1",
    ),
    advice(
        "cut-lifetime",
        "max_credential_seconds is longer than max_task_seconds",
        "Credentials end with their task at the latest, so the longer time is never given",
        "Write at most max_task_seconds",
    ),
    advice(
        "shadowed-entitlement",
        "An entitlement is wholly covered by another one that the same people and agents have",
        "It never adds anything, and taking it away takes nothing away: a reviewer may believe otherwise",
        "Take one of them out",
    ),
    advice(
        "unknown-action",
        "AWS's reference has no such action or service",
        "It grants nothing; what was meant is refused when it is used",
        "Correct the name; if it is newer than the reference, it is right",
    ),
    advice(
        "wrong-resource",
        "No resource of a permission is of a type that the action takes, or a resource is taken by no action",
        "The action is refused whenever it is used",
        "Name the resources that it takes",
    ),
    advice(
        "unknown-condition-key",
        "A condition asks for a key that no request of the action carries",
        "Without the key the condition does not hold, and the action is refused",
        "Correct the key, or give these actions a permission of their own",
    ),
    advice(
        "permissions-management",
        "An action changes who may do what, also through a wildcard",
        "Whoever may change rights outgrows the task, and outlives it",
        "Leave it out: an agent's task hardly needs it",
    ),
    advice(
        "forbidden-floor",
        "An action is on the gateway's forbidden floor",
        "Whoever asks for it is refused, whatever the policy says",
        "Leave it out",
    ),
)
