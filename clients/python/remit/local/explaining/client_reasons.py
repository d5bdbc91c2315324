"""The reasons of this client's own: of the machine, the sign-in, the platform and the local endpoint."""

from remit.errors import ApprovalPending, GatewayFailure, Refused, Remedy, Unavailable
from remit.local.errors import (
    EndpointGone,
    EndpointRefused,
    InvalidSettings,
    LocalError,
    LoginBusy,
    LoginNeeded,
    NoSuchCommand,
    NotExecutable,
    NoToken,
    TooManyTasks,
)
from remit.local.explaining.known import MEND_HERE, Known
from remit.workload.failing import NoWorkloadIdentity

CLIENT_REASONS: dict[str, Known] = {
    "ANSWER_NOT_UNDERSTOOD": Known(
        "the gateway answered what this client does not understand",
        "client and gateway are of different versions",
        GatewayFailure,
        todo="update the older of the two",
    ),
    "CLOCK_AHEAD": Known(
        "this machine's clock is wrong",
        "by it, credentials that were just issued are over already",
        Unavailable,
        todo="set this machine's clock",
        is_all=True,
    ),
    "LOGIN_NEEDED": Known(
        "nobody is signed in on this machine",
        "the settings say that the user's token comes from a sign-in",
        LoginNeeded,
        todo="sign in: remit login",
        is_all=True,
    ),
    "LOGIN_EXPIRED": Known(
        "the sign-in is over",
        "the issuer ended it, gave no refresh token, or nobody finished it in time",
        LoginNeeded,
        todo="sign in: remit login",
        is_all=True,
    ),
    "LOGIN_REFUSED": Known(
        "the sign-in was refused",
        "somebody, or the issuer, said no",
        LoginNeeded,
        todo="sign in: remit login",
        is_all=True,
    ),
    "LOGIN_FAILED": Known(
        "the issuer answered what may not be relied on, and nothing of it was kept",
        "another issuer answered, or a token was not the one that was asked for",
        LoginNeeded,
        todo="check issuer and client_id in [login], and who answers there",
        is_all=True,
    ),
    "LOGIN_BUSY": Known("another process holds the sign-in", "it is refreshing it, or hangs", LoginBusy),
    "LOGIN_STORE_UNTRUSTED": Known(
        "what keeps the sign-in is not this user's alone, or cannot be read",
        "others could read it, so its tokens may be known",
        LoginNeeded,
        todo="remit logout, mend the permissions that the message names, then remit login",
        is_all=True,
    ),
    "INVALID_SETTINGS": Known(
        "the client's settings cannot be used",
        "the file, or what the environment says over it, is wrong or unsafe",
        InvalidSettings,
        todo=f"correct them: {MEND_HERE}; docs/cli.md lists every setting",
        is_all=True,
    ),
    "NO_TOKEN": Known(
        "a source of tokens gave none", "a file, variable or command is not there, or failed", NoToken, todo=MEND_HERE
    ),
    "ENDPOINT_REFUSED": Known(
        "the endpoint's socket is not to be trusted, or another one is there",
        "its place or the process behind it could be another user's",
        EndpointRefused,
        todo=MEND_HERE,
    ),
    "TOO_MANY_TASKS": Known(
        "this machine's endpoint holds as many tasks as it may",
        "each wish that differs is a task of its own",
        TooManyTasks,
        todo="end some: remit end",
    ),
    "ENDPOINT_GONE": Known(
        "nothing answers where a program said that it holds a task",
        "whatever held it has ended, and the task with it",
        EndpointGone,
        todo="start that program again, and ask it for another task",
        is_all=True,
    ),
    "NO_SUCH_COMMAND": Known(
        "the command that was to be run is not there",
        "it is not on PATH, or its path is wrong",
        NoSuchCommand,
        todo="check its name; the command stands after --",
        is_all=True,
    ),
    "NOT_EXECUTABLE": Known(
        "the command that was to be run cannot be run",
        "it is no program, or this user may not run it",
        NotExecutable,
        todo="check its permissions",
        is_all=True,
    ),
    "WORKLOAD_NOT_FOUND": Known(
        "no identity of a platform was found here",
        "this runs on none, or it gives none",
        NoWorkloadIdentity,
        todo=MEND_HERE,
    ),
    "WORKLOAD_AMBIGUOUS": Known(
        "several platforms offer an identity here",
        "none is chosen by guess",
        NoWorkloadIdentity,
        todo="name the one that is meant",
    ),
    "WORKLOAD_TOKEN_UNAVAILABLE": Known(
        "the platform gave no token",
        "it is not asked for in the job, or its service is away",
        NoWorkloadIdentity,
        todo=MEND_HERE,
    ),
    "WORKLOAD_TOKEN_EXPIRED": Known(
        "the platform's token is over",
        "whoever writes it does not write another, and who reads it cannot",
        NoWorkloadIdentity,
        todo=MEND_HERE,
    ),
    "WORKLOAD_CERTIFICATE_UNAVAILABLE": Known(
        "the platform gave no certificate",
        "its agent is away, or does not know this workload",
        NoWorkloadIdentity,
        todo=MEND_HERE,
    ),
    "APPROVAL_DECLINED": Known(
        "the user did not go to confirm it",
        "an entitlement wants the user's own yes, and the copilot's question was turned down",
        ApprovalPending,
        todo="confirm it on the page when the copilot asks again, or leave it",
        is_all=True,
    ),
    "NOTHING_ASKED_FOR": Known(
        "this run has not asked for any AWS access yet",
        "its agent begins with none, and asks as it goes",
        Refused,
        Remedy.NARROW,
        "let the agent call request_aws_access first",
        is_all=True,
    ),
    "RUN_LIMIT_EXCEEDED": Known(
        "this run may not ask for that much",
        "whoever wrote the agent said in at_most what its model may ask for; the gateway was not asked",
        Refused,
        Remedy.NARROW,
        "let the agent ask for what lies within at_most, or widen at_most where the agent is written",
        is_all=True,
    ),
    "KEYS_IN_RESULT": Known(
        "a tool's result was kept from the model",
        "it would have shown the task's keys: a pre-signed URL holds the session token",
        Refused,
        Remedy.GIVE_UP,
        "hand such a link to the user by another way than the model",
        is_all=True,
    ),
    "LOCAL_FAILURE": Known(
        "something on this machine failed", "it is of this machine alone", LocalError, todo=MEND_HERE
    ),
}
