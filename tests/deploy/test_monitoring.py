"""What operators look at is there: alerts and panels ask for metrics that the API really has."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest
import redis
import yaml
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from api.app import create_app
from shared.settings import Settings
from shared.workers import WorkerRegistry
from tests.deploy.test_compose import ROOT, services
from tests.shared.test_workers import worker

MONITORING = ROOT / "deploy" / "monitoring"
ALERTS = yaml.safe_load((MONITORING / "alerts.yml").read_text())
DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text())
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
FILES = ("docker-compose.yml", "deploy/compose/monitoring.yml")
OF_THE_SCRAPE = {"instance"}  # labels that Prometheus adds
PROMTOOL = shutil.which("promtool")

RULES = {rule["alert"]: rule for group in ALERTS["groups"] for rule in group["rules"]}
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = {
    f"{panel['title']}: {target['legendFormat']}": target["expr"]
    for panel in PANELS
    for target in panel["targets"]
} | {alert: rule["expr"] for alert, rule in RULES.items()}


@pytest.fixture
def samples(valkey: redis.Redis, settings: Settings) -> list[Sample]:
    """What the API tells where nothing but one request has happened yet, and a worker waits."""
    idle = worker("w").model_copy(update={"step_seconds": 0.1, "memory_bytes": 2**30})
    WorkerRegistry(valkey, settings).announce(idle)
    api = create_app(settings).test_client()
    api.get("/healthz")
    answer = api.get("/metrics")
    families = text_string_to_metric_families(answer.text)
    return [sample for family in families for sample in family.samples]


def parse(query: str) -> Any:
    """The expression; Grafana replaces its variables before it asks."""
    return promql_parser.parse(re.sub(r"\$__\w+", "5m", query))


def parts(expression: Any) -> Iterator[Any]:
    """An expression and all that it is made of."""
    yield expression
    for name in ("expr", "lhs", "rhs", "vector_selector", "param"):
        part = getattr(expression, name, None)
        if part is not None:
            yield from parts(part)
    for argument in getattr(expression, "args", []):
        yield from parts(argument)


def selectors(expression: Any) -> list[Any]:
    """Every choice of series in an expression."""
    return [part for part in parts(expression) if isinstance(part, promql_parser.VectorSelector)]


def test_every_series_in_an_alert_or_panel_is_one_that_the_api_has(samples: list[Sample]) -> None:
    missing = []
    for name, query in QUERIES.items():
        chosen = selectors(parse(query))
        assert chosen, f"{name} asks for nothing"
        for selector in chosen:
            wanted = {
                matcher.name: matcher.value
                for matcher in selector.matchers.matchers
                if matcher.op == promql_parser.MatchOp.Equal
            }
            if not any(
                sample.name == selector.name and sample.labels.items() >= wanted.items()
                for sample in samples
            ):
                missing.append(f"{name}: {selector.name}{wanted}")
    assert missing == []


def test_every_label_by_which_something_is_shown_is_one_that_the_series_has(
    samples: list[Sample],
) -> None:
    labels: dict[str, set[str]] = {}
    for sample in samples:
        labels.setdefault(sample.name, set()).update(sample.labels)
    wrong = [
        f"{name}: {label}"
        for name, query in QUERIES.items()
        for part in parts(parse(query))
        if isinstance(part, promql_parser.AggregateExpr) and part.modifier
        for label in part.modifier.labels
        for selector in selectors(part)
        if label not in labels[selector.name] | OF_THE_SCRAPE
    ]
    assert wrong == []


def test_every_panel_can_be_read() -> None:
    assert len(PANELS) > 20
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    (variable,) = DASHBOARD["templating"]["list"]
    assert (variable["name"], variable["type"]) == ("datasource", "datasource")
    for panel in PANELS:
        assert panel["title"]
        assert panel["description"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        legends = [target["legendFormat"] for target in panel["targets"]]
        if panel["type"] == "timeseries":
            assert all(legends), panel["title"]
            assert len(set(legends)) == len(legends)


def test_panels_do_not_lie_upon_each_other() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} and {taken[x, y]}"
                taken[x, y] = panel["title"]


@pytest.mark.parametrize("alert", RULES)
def test_every_alert_says_how_bad_it_is_and_what_to_do(alert: str) -> None:
    rule = RULES[alert]
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"]
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert page == "docs/operations.md"
    assert anchor == alert.lower()
    assert re.search(rf"^### {alert}\n\n\S", OPERATIONS, re.MULTILINE), f"no section for {alert}"


def test_no_section_is_about_an_alert_that_is_gone() -> None:
    assert set(re.findall(r"^### (Impasto\w+)$", OPERATIONS, re.MULTILINE)) == set(RULES)


def test_metrics_that_the_page_names_are_there(samples: list[Sample]) -> None:
    named = set(re.findall(r"`(impasto_\w+)", OPERATIONS))
    assert "impasto_unfinished_jobs" in named  # what autoscalers read
    assert named - {sample.name for sample in samples} == set()


def test_promtool_finds_the_rules_right_and_they_fire_when_they_should() -> None:
    if PROMTOOL is None:
        assert "CI" not in os.environ, "install promtool: it is in Debian's package prometheus"
        pytest.skip("promtool is not installed")
    for arguments in (
        ["check", "config", "prometheus.yml"],
        ["test", "rules", "alerts.test.yml"],
    ):
        done = subprocess.run(
            [PROMTOOL, *arguments], cwd=MONITORING, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_fired_in_their_tests() -> None:
    tests = (MONITORING / "alerts.test.yml").read_text()
    fired = {
        alert
        for alert in RULES
        if re.search(rf'alertname="{alert}"', tests)
        or re.search(rf"alertname: {alert}\n +eval_time: \w+\n +exp_alerts:", tests)
    }
    assert fired == set(RULES)


def test_prometheus_asks_the_api_where_compose_has_it() -> None:
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    assert config["rule_files"] == ["alerts.yml"]
    (scrape,) = config["scrape_configs"]
    (static,) = scrape["static_configs"]
    api = services(FILES)["api"]
    assert static["targets"] == [f"api:{api['environment']['IMPASTO_API_PORT']}"]


def test_the_compose_override_finds_its_files_and_opens_nothing_to_other_machines() -> None:
    found = services(FILES)
    for name in ("prometheus", "grafana"):
        image, _, tag = found[name]["image"].rpartition(":")
        assert image
        assert tag != "latest"
        assert {port["host_ip"] for port in found[name]["ports"]} == {"127.0.0.1"}
        files = [volume for volume in found[name]["volumes"] if volume["type"] == "bind"]
        assert files
        for file in files:
            assert file["read_only"]
            assert os.path.isfile(file["source"]), file["source"]  # noqa: PTH113 - a string
    rules = {volume["target"] for volume in found["prometheus"]["volumes"]}
    assert {"/etc/prometheus/prometheus.yml", "/etc/prometheus/alerts.yml"} <= rules


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    found = services(FILES)["grafana"]
    places = {volume["target"] for volume in found["volumes"]}
    folder = MONITORING / "grafana"
    (source,) = yaml.safe_load((folder / "datasources.yml").read_text())["datasources"]
    assert source["type"] == "prometheus"
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((folder / "dashboards.yml").read_text())["providers"]
    dashboard = found["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert dashboard in places
    assert dashboard.startswith(provider["options"]["path"])


# -- docs/operations.md -------------------------------------------------------------------------


def test_every_test_that_proves_a_promise_exists() -> None:
    proofs = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", OPERATIONS)
    assert len(proofs) > 20
    missing = []
    for file, test in proofs:
        path = ROOT / file
        text = path.read_text() if path.exists() else ""
        found = re.search(rf"^(?:    )?(?:async )?def {test}\(|^{test} = \w+", text, re.MULTILINE)
        if not (found if test else text):
            missing.append(f"{file}::{test}")
    assert missing == []


def test_its_settings_are_those_of_the_code() -> None:
    named = set(re.findall(r"`IMPASTO_(\w+?)(?:=[^`]*)?`", OPERATIONS))
    assert len(named) > 10
    assert named - {name.upper() for name in Settings.model_fields} == set()


def test_its_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)]+)\)", OPERATIONS)
    headings = {
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", OPERATIONS, re.MULTILINE)
    }
    for link in links:
        if link.startswith("http"):
            continue
        page, _, anchor = link.partition("#")
        assert not page or (ROOT / "docs" / page).exists(), link
        assert page or anchor in headings, link
