"""What is handed out to run the prober by fits the prober: the CronJob's options, the metrics that alerts go by."""

import re
from pathlib import Path
from typing import Any

import typer
import yaml

from remit_server.adapters.probing.metrics import ProbeMetrics
from remit_server.application.probing.checks import CHECKS
from remit_server.application.probing.values import Finding, Outcome, Round
from remit_server.cli.main import app
from remit_server.cli.output import WRONG

ROOT = Path(__file__).parents[2]


def container() -> Any:
    job = yaml.safe_load((ROOT / "deploy/probe/cronjob.yaml").read_text())
    return job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]


def test_the_cron_jobs_arguments_are_options_of_the_command() -> None:
    command: Any = typer.main.get_command(app)
    probe = command.commands["probe"]
    known = {option for parameter in probe.params for option in parameter.opts}

    name, *options = container()["args"]

    assert name == "probe"
    assert {option.partition("=")[0] for option in options} <= known


def test_only_an_alarms_exit_code_fails_the_job_at_once_and_pages() -> None:
    job = yaml.safe_load((ROOT / "deploy/probe/cronjob.yaml").read_text())["spec"]["jobTemplate"]["spec"]
    rules = yaml.safe_load((ROOT / "deploy/probe/alerts.yaml").read_text())["groups"][0]["rules"]

    ignored = [rule["onExitCodes"] for rule in job["podFailurePolicy"]["rules"] if "onExitCodes" in rule]
    of_jobs = {rule["labels"]["severity"]: rule["expr"] for rule in rules if "kube_job_status_failed" in rule["expr"]}

    assert ignored == [{"containerName": container()["name"], "operator": "NotIn", "values": [WRONG]}]
    assert job["backoffLimit"] == 0
    assert job["activeDeadlineSeconds"] > 0
    assert 'reason!="DeadlineExceeded"' in of_jobs["page"]
    assert 'reason="DeadlineExceeded"' in of_jobs["ticket"]


def test_alerts_go_by_metrics_that_there_are() -> None:
    metrics = ProbeMetrics()
    metrics.told(Round(tuple(Finding(check, Outcome.REFUSED, "", "") for check in CHECKS), ""), 1.0, 1.0)
    exported = set(re.findall(r"^(remit_probe_\w+)", metrics.text, re.MULTILINE))

    rules = (ROOT / "deploy/probe/alerts.yaml").read_text()

    assert set(re.findall(r"remit_probe_\w+", rules)) <= exported


def test_the_guide_names_every_check_and_every_outcome() -> None:
    guide = (ROOT / "docs/probing.md").read_text()

    for name in (*(check.name for check in CHECKS), *Outcome):
        assert f"`{name}`" in guide
