"""The Dockerfile and the JobSet, as far as they can be read without Docker and a cluster."""

import re
import shlex

import pytest
import yaml
from stand_ins import LAUNCH

from mtjax.commands import COMMANDS, FLAGS

ROOT = LAUNCH.parent
INSTRUCTIONS = {"FROM", "ENV", "WORKDIR", "COPY", "RUN", "USER", "VOLUME", "ENTRYPOINT", "CMD"}

# Fields of JobSet v1alpha2, batch/v1 and core/v1, as far as they are used: a type, a list of one kind, or a mapping
# with its fields; `str` as a key stands for any.
REFERENCE = {"name": str, "valueFrom": {"fieldRef": {"fieldPath": str}}}
CONTAINER = {
    "name": str, "image": str, "args": [str], "env": [REFERENCE], "ports": [{"containerPort": int}],
    "resources": {"limits": {str: int}}, "volumeMounts": [{"name": str, "mountPath": str}],
}  # fmt: skip
VOLUME = {"name": str, "persistentVolumeClaim": {"claimName": str}, "emptyDir": {"medium": str}}
POD = {
    "restartPolicy": str, "terminationGracePeriodSeconds": int, "nodeSelector": {str: str}, "containers": [CONTAINER],
    "securityContext": {"runAsNonRoot": bool, "runAsUser": int, "fsGroup": int}, "volumes": [VOLUME],
}  # fmt: skip
CODES = {"action": str, "onExitCodes": {"containerName": str, "operator": str, "values": [int]}}
JOB = {
    "completionMode": str, "completions": int, "parallelism": int, "backoffLimit": int,
    "podFailurePolicy": {"rules": [CODES]}, "template": {"spec": POD},
}  # fmt: skip
SPEC = {
    "coordinator": {"replicatedJob": str, "jobIndex": int, "podIndex": int},
    "network": {"enableDNSHostnames": bool, "publishNotReadyAddresses": bool},
    "failurePolicy": {"maxRestarts": int, "rules": [{"name": str, "action": str, "onJobFailureReasons": [str]}]},
    "replicatedJobs": [{"name": str, "replicas": int, "template": {"spec": JOB}}],
}
JOBSET = {"apiVersion": str, "kind": str, "metadata": {"name": str}, "spec": SPEC}


def check(value, schema, where="jobset"):
    """Raises if a value has a field that its schema has not, or one of another type."""
    if isinstance(schema, dict):
        assert isinstance(value, dict), where
        for key, item in value.items():
            assert key in schema or str in schema, f"{where} has no field {key}"
            check(item, schema.get(key, schema.get(str)), f"{where}.{key}")
    elif isinstance(schema, list):
        assert isinstance(value, list) and value, where
        for item in value:
            check(item, schema[0], f"{where}[]")
    else:
        assert type(value) is schema, f"{where}: {value!r}"


@pytest.fixture(scope="module")
def jobset():
    return yaml.safe_load((LAUNCH / "gke_jobset.yaml").read_text())


def test_the_jobset_has_fields_that_there_are(jobset):
    check(jobset, JOBSET)
    assert (jobset["apiVersion"], jobset["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    with pytest.raises(AssertionError, match="no field replica"):
        check({"spec": {"replicatedJobs": [{"replica": 1}]}}, JOBSET)


def test_what_belongs_together_in_the_jobset_does(jobset):
    spec = jobset["spec"]
    (workers,) = spec["replicatedJobs"]
    job, pod = workers["template"]["spec"], workers["template"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert spec["coordinator"]["replicatedJob"] == workers["name"]
    assert job["completions"] == job["parallelism"] and job["completionMode"] == "Indexed"
    assert f"--num-processes={job['completions']}" in container["args"]
    (rule,) = job["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"] == {"containerName": container["name"], "operator": "In", "values": [75]}
    assert pod["restartPolicy"] == "Never", "podFailurePolicy asks for it"
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    set_here = {variable["name"] for variable in container["env"]}
    assert set(re.findall(r"\$\((\w+)\)", " ".join(container["args"]))) == set_here
    port = container["ports"][0]["containerPort"]
    assert f"--coordinator=$(COORDINATOR):{port}" in container["args"]


def test_the_arguments_in_the_jobset_are_flags_of_the_command(jobset):
    pod = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    name, *words = pod["containers"][0]["args"]
    given = {word.removeprefix("--").partition("=")[0].replace("-", "_") for word in words}
    assert given <= {*COMMANDS[name].needs, *COMMANDS[name].takes} and given <= set(FLAGS)
    assert pod["terminationGracePeriodSeconds"] >= 60


def instructions():
    """The Dockerfile's instructions with their words."""
    text = re.sub(r"^#.*\n", "", (LAUNCH / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in text.splitlines() if line.strip()]


def test_the_dockerfile_has_instructions_that_there_are_and_copies_files_that_are_here():
    found = instructions()
    assert {name for name, _ in found} <= INSTRUCTIONS
    assert found[0][0] == "FROM" and not found[0][1].endswith("latest")
    copied = [source for name, words in found if name == "COPY" for source in shlex.split(words)[:-1]]
    assert all((ROOT / source).exists() for source in copied)
    kept = (LAUNCH / "Dockerfile.dockerignore").read_text().splitlines()
    assert {source.rstrip("/") for source in copied} == {line[1:] for line in kept if line.startswith("!")}


def test_the_image_has_pinned_packages_and_does_not_run_as_root():
    found = instructions()
    (install,) = (words for name, words in found if name == "RUN" and "pip" in words)
    assert "-c constraints.txt" in install and ".[cuda]" in install
    names = [name for name, _ in found]
    assert names.index("USER") < names.index("ENTRYPOINT") and dict(found)["USER"] == "1000"
    assert dict(found)["ENTRYPOINT"] == '["mtjax"]'
    command, *_ = yaml.safe_load(dict(found)["CMD"])
    assert command in COMMANDS
