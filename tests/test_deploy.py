"""What is shipped for Docker and Kubernetes agrees with the program: settings, ports, paths, users."""

import re
from pathlib import Path
from typing import Any

import yaml

from sigmaguard_proxy.settings import load_settings

ROOT = Path(__file__).parents[1]
KUBERNETES = ROOT / "docs" / "deploy" / "kubernetes"


def documents(path: Path) -> list[dict[str, Any]]:
    """Every YAML document of a file."""
    return [one for one in yaml.safe_load_all(path.read_text()) if one]


def defaults(value: str) -> str:
    """A Compose value with its `${NAME:-default}` filled in."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


def test_compose_sets_only_settings_that_exist() -> None:
    compose = documents(ROOT / "docker-compose.yml")[0]
    proxy = compose["services"]["proxy"]
    environment = {name: defaults(value) for name, value in proxy["environment"].items()}
    settings = load_settings({}, environment, file=None)
    assert settings.mode == "shadow" and set(settings.upstreams) == {"openai", "anthropic"}
    assert settings.database_url.startswith("postgresql+asyncpg://") and settings.redis_url.startswith("redis://")
    assert proxy["command"][0] == "serve"


def test_compose_mounts_what_there_is() -> None:
    compose = documents(ROOT / "docker-compose.yml")[0]
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source.lstrip("./") in compose["volumes"] or (ROOT / source).is_dir(), volume
        for other in service.get("depends_on", []):
            assert other in compose["services"]


def test_grafana_finds_the_dashboards_where_compose_puts_them() -> None:
    compose = documents(ROOT / "docker-compose.yml")[0]
    provider = documents(ROOT / "dashboards/grafana/provisioning/dashboards/sigmaguard.yaml")[0]["providers"][0]
    mounts = [volume.split(":")[1] for volume in compose["services"]["grafana"]["volumes"]]
    assert provider["options"]["path"] in mounts
    home = compose["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (ROOT / "dashboards/grafana/dashboards" / Path(home).name).is_file()


def test_kustomize_names_every_file_and_the_image_runs_as_its_user() -> None:
    kustomization = documents(KUBERNETES / "kustomization.yaml")[0]
    files = {path.name for path in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml", "secret.example.yaml"}
    assert set(kustomization["resources"]) == files
    dockerfile = (ROOT / "Dockerfile").read_text()
    pod = documents(KUBERNETES / "deployment.yaml")[0]["spec"]["template"]["spec"]
    assert f"--uid {pod['securityContext']['runAsUser']}" in dockerfile
    ports = {port["containerPort"] for port in pod["containers"][0]["ports"]}
    assert {str(port) for port in ports} == set(re.search(r"EXPOSE (.*)", dockerfile)[1].split())  # type: ignore[index]


def test_memory_is_asked_for_and_bounded_by_the_number_of_workers() -> None:
    """A worker takes 640 MB idle (measured), the shipping process 75, a supervisor 145; load comes on top."""
    proxy = documents(ROOT / "docker-compose.yml")[0]["services"]["proxy"]
    workers = int(proxy["command"][proxy["command"].index("--workers") + 1])
    assert int(proxy["mem_reservation"].removesuffix("m")) >= workers * 640 + 75 + 145
    assert int(proxy["mem_limit"].removesuffix("m")) >= workers * 1536 + 512
    pod = documents(KUBERNETES / "deployment.yaml")[0]["spec"]["template"]["spec"]
    assert pod["containers"][0]["args"] == ["serve"]  # one worker a pod
    assert pod["containers"][0]["resources"] == {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}


def test_the_rule_for_traces_is_right_once_its_comment_signs_are_away() -> None:
    text = (KUBERNETES / "network.yaml").read_text()
    lines = [line.replace("# - to", "- to").replace("#   ports", "  ports") for line in text.splitlines()]
    policy = yaml.safe_load("\n".join(lines))
    assert policy["spec"]["egress"][-1]["ports"] == [{"port": 4318}]
    assert len(yaml.safe_load(text)["spec"]["egress"]) == len(policy["spec"]["egress"]) - 1


def test_probes_ask_paths_that_the_proxy_answers() -> None:
    pod = documents(KUBERNETES / "deployment.yaml")[0]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    paths = {container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths == {"/healthz", "/readyz"}
    assert pod["terminationGracePeriodSeconds"] > load_settings({}, {}, file=None).drain_s


def test_services_budgets_and_scalers_point_at_the_workload() -> None:
    labels = documents(KUBERNETES / "deployment.yaml")[0]["spec"]["template"]["metadata"]["labels"]
    for name in ("service.yaml", "scaling.yaml", "network.yaml"):
        for one in documents(KUBERNETES / name):
            spec = one["spec"]
            if "scaleTargetRef" in spec:
                assert (
                    spec["scaleTargetRef"]["name"] == documents(KUBERNETES / "deployment.yaml")[0]["metadata"]["name"]
                )
                continue
            selector = spec.get("podSelector", spec.get("selector"))
            assert selector.get("matchLabels", selector).items() <= labels.items()


def test_the_example_secret_names_only_settings_that_exist() -> None:
    secret = documents(KUBERNETES / "secret.example.yaml")[0]["stringData"]
    load_settings({}, secret, file=None)


def test_the_image_is_built_from_pinned_versions_and_is_not_root() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert "-c constraints.txt" in dockerfile and "HEALTHCHECK" in dockerfile
    assert re.search(r"^USER (?!root)", dockerfile, re.M)


def test_the_example_secret_names_only_settings_and_the_keys_that_every_pod_shares() -> None:
    (secret,) = documents(KUBERNETES / "secret.example.yaml")
    assert {"SIGMAGUARD_VAULT_KEY", "SIGMAGUARD_AUDIT_KEY"} <= set(secret["stringData"])
    load_settings({}, secret["stringData"], file=None)
