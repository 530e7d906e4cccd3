"""launch/kubernetes.sh: manifests by Kubernetes' own schema, and calls of kubectl."""

import re

import pytest
import yaml

from tests.launch.fakes import error_of

pytestmark = pytest.mark.slow

TRAINING = ("--config=configs/folder.py", "--workdir=gs://bucket/run")
TPU = ("--tpu=v5p", "--topology=4x4x4", "--image=registry/vpt_gen:tpu", *TRAINING)
GPUS = ("--gpus=8", "--nodes=2", "--image=registry/vpt_gen:cuda", *TRAINING)

# Fields of jobset.x-k8s.io/v1alpha2, from api/jobset/v1alpha2/jobset_types.go of
# kubernetes-sigs/jobset; its schema comes in no package.
JOBSET = {"replicatedJobs", "network", "successPolicy", "failurePolicy", "startupPolicy", "suspend"}
REPLICATED_JOB = {"name", "groupName", "template", "replicas", "dependsOn"}
ACTIONS = {"FailJobSet", "RestartJobSet", "RestartJobSetAndIgnoreMaxRestarts"}


def manifest(fakes, *arguments):
    run = fakes.launch("kubernetes", "manifest", *arguments)
    assert run.returncode == 0, run.stderr
    return yaml.safe_load(run.stdout)


def job_of(jobset):
    (workers,) = jobset["spec"]["replicatedJobs"]
    return workers["template"]["spec"]


def pod_of(jobset):
    return job_of(jobset)["template"]["spec"]


def container_of(jobset):
    (container,) = pod_of(jobset)["containers"]
    return container


@pytest.mark.parametrize(
    "arguments",
    [
        TPU,
        (*TPU, "--shared=gs://bucket", "--spot", "--service_account=trainer"),
        (*TPU, "--shared=claim"),
        GPUS,
        (*GPUS, "--gpu=nvidia-h100-80gb", "--spot", "--shared=claim"),
    ],
)
def test_the_manifest_is_valid(fakes, arguments):
    jobset = manifest(fakes, *arguments)
    assert (jobset["apiVersion"], jobset["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    assert set(jobset["spec"]) <= JOBSET
    policy = jobset["spec"]["failurePolicy"]
    assert set(policy) == {"maxRestarts", "rules"} and policy["maxRestarts"] == 10
    for rule in policy["rules"]:
        assert set(rule) <= {"name", "action", "onJobFailureReasons", "targetReplicatedJobs"}
        assert rule["action"] in ACTIONS
        assert re.fullmatch("[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?", rule["name"])
    (workers,) = jobset["spec"]["replicatedJobs"]
    assert set(workers) <= REPLICATED_JOB
    validate = pytest.importorskip("kubernetes_validate", reason="in the extra `test`").validate
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "job"}}
    validate(job | workers["template"], "1.31", strict=True)


@pytest.mark.parametrize(
    ("tpu", "topology", "label", "nodes", "chips"),
    [
        ("v4", "2x2x1", "tpu-v4-podslice", 1, 4),
        ("v5e", "1x1", "tpu-v5-lite-podslice", 1, 1),
        ("v5e", "2x4", "tpu-v5-lite-podslice", 1, 8),
        ("v5e", "4x4", "tpu-v5-lite-podslice", 4, 4),
        ("v5p", "4x4x4", "tpu-v5p-slice", 16, 4),
        ("v6e", "16x16", "tpu-v6e-slice", 64, 4),
    ],
)
def test_a_slice_has_as_many_nodes_as_its_topology(fakes, tpu, topology, label, nodes, chips):
    jobset = manifest(fakes, *TPU, f"--tpu={tpu}", f"--topology={topology}")
    job = job_of(jobset)
    assert (job["completions"], job["parallelism"], job["completionMode"]) == (
        nodes,
        nodes,
        "Indexed",
    )
    assert container_of(jobset)["resources"] == {"limits": {"google.com/tpu": chips}}
    assert pod_of(jobset)["nodeSelector"] == {
        "cloud.google.com/gke-tpu-accelerator": label,
        "cloud.google.com/gke-tpu-topology": topology,
    }
    assert jobset["metadata"]["annotations"]  # one slice for all pods
    assert container_of(jobset)["args"] == [*TRAINING, "--distributed"]


@pytest.mark.parametrize(
    ("program", "flags"),
    [
        ("evaluate", ["--checkpoint=gs://bucket/run", "--num=1000"]),
        (
            "preview",
            ["--backbone=maskgit256", "--output=gs://bucket/a.png", "--folder=gs://bucket/a"],
        ),
    ],
)
def test_other_programs_run_in_the_pods(fakes, program, flags):
    container = container_of(manifest(fakes, *TPU[:-2], f"--program={program}", "--", *flags))
    assert container["command"] == ["python", "-m", f"vpt_gen.{program}"]
    assert container["args"] == [*flags, "--distributed"]


STUDY = ("--gpus=1", "--nodes=19", "--image=registry/vpt_gen:cuda", "--program=study")
STUDIED = ("--config=configs/study_vtab.py", "--workdir=/shared/vtab")


def test_each_pod_runs_its_share_of_a_study(fakes):
    jobset = manifest(fakes, *STUDY, "--shared=claim", *STUDIED)
    container = container_of(jobset)
    assert container["command"] == ["python", "-m", "vpt_gen.study"]
    assert container["args"] == [*STUDIED, "--shard=$(PROCESS_ID)/19"]
    assert container["env"][0]["name"] == "PROCESS_ID"
    assert job_of(jobset)["completions"] == 19


def test_a_failed_pod_of_a_study_restarts_alone(fakes):
    jobset = manifest(fakes, *STUDY, "--shared=claim", "--max_restarts=4", *STUDIED)
    job = job_of(jobset)
    assert jobset["spec"]["failurePolicy"] == {"maxRestarts": 0}
    assert job["backoffLimitPerIndex"] == 4 and "backoffLimit" not in job
    assert {rule["action"] for rule in job["podFailurePolicy"]["rules"]} == {"Ignore"}
    validate = pytest.importorskip("kubernetes_validate", reason="in the extra `test`").validate
    named = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "job"}}
    validate(named | {"spec": job}, "1.31", strict=True)


def test_gpu_pods_find_each_other(fakes):
    jobset = manifest(fakes, *GPUS, "--name=mine")
    container = container_of(jobset)
    assert container["command"] == ["python", "-m", "vpt_gen.main"]
    assert container["args"][2:] == [
        "--distributed",
        # JobSet's name of the first pod: <jobset>-<replicated job>-<job>-<pod>.<jobset>
        "--coordinator_address=mine-workers-0-0.mine:8476",
        "--num_processes=2",
        "--process_id=$(PROCESS_ID)",
    ]
    assert container["env"][0]["name"] == "PROCESS_ID"
    assert job_of(jobset)["completions"] == 2
    assert "nodeSelector" not in pod_of(jobset) and "annotations" not in jobset["metadata"]


def test_whoever_saved_on_sigterm_is_not_counted_as_failed(fakes):
    job = job_of(manifest(fakes, *TPU))
    disrupted, saved = job["podFailurePolicy"]["rules"]
    assert disrupted["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert saved["onExitCodes"]["values"] == [128 + 15]
    assert {disrupted["action"], saved["action"]} == {"FailJob"} and job["backoffLimit"] == 0


def test_a_shared_bucket_is_mounted(fakes):
    jobset = manifest(fakes, *TPU, "--shared=gs://bucket")
    (volume,) = pod_of(jobset)["volumes"]
    assert volume["csi"]["volumeAttributes"]["bucketName"] == "bucket"
    assert container_of(jobset)["volumeMounts"] == [{"name": "shared", "mountPath": "/shared"}]
    pod = job_of(jobset)["template"]
    assert pod["metadata"]["annotations"] == {"gke-gcsfuse/volumes": "true"}


def test_arguments_reach_the_training_as_they_are(fakes):
    awkward = r"""--config.data.path=/a "b" 'c' \d $(HOME) $HOME: # *"""
    given = container_of(manifest(fakes, *TPU, awkward))["args"][2]
    assert given.replace("$$(", "$(") == awkward  # Kubernetes' own escape


def test_submit_applies_the_manifest_and_a_dry_run_prints_it(fakes):
    fakes.add("kubectl", 'case "$*" in *apply*) cat >"$FAKE/applied" ;; esac')
    assert fakes.launch("kubernetes", "submit", *TPU, "--namespace=n").returncode == 0
    plain = fakes.launch("kubernetes", "manifest", *TPU).stdout
    assert (fakes.folder / "applied").read_text() == plain
    dry = fakes.launch("kubernetes", "submit", *TPU, "--namespace=n", "--dry_run").stdout
    assert dry == f"kubectl --namespace=n apply -f - <<'EOF'\n{plain}EOF\n"
    assert fakes.noted() == ["kubectl --namespace=n apply -f -"]
    (fakes.folder / "applied").unlink()
    fakes.run("bash", input=dry)
    assert (fakes.folder / "applied").read_text() == plain


def test_log_status_and_delete(fakes):
    fakes.add("kubectl")
    for action in ("log", "status", "delete"):
        assert fakes.launch("kubernetes", action, "--name=mine").returncode == 0
    mine = "--selector=jobset.sigs.k8s.io/jobset-name=mine"
    assert fakes.noted() == [
        f"kubectl logs --follow --tail=200 {mine},batch.kubernetes.io/job-completion-index=0",
        "kubectl get jobset mine",
        f"kubectl get pods {mine}",
        "kubectl delete jobset mine",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no command given"),
        (("submit", "--tpu=v5p", "--topology=4x4x4", *TRAINING), "no --image given"),
        (("submit", "--image=i", *TRAINING), "no hardware given"),
        (("submit", *TPU, "--gpus=8"), "no hardware given"),
        (("submit", *TPU, "--tpu=v9"), "unknown TPU v9"),
        (("submit", *TPU, "--topology="), "no --topology given; for v5p use one of 2x2x1"),
        (("submit", *TPU, "--topology=4x4"), "unknown topology 4x4 of v5p"),
        (("submit", *GPUS, "--nodes=two"), "--nodes=two is not a number"),
        (("submit", *GPUS, "--nodes=0"), "--nodes=0 is not a number from 1"),
        (("submit", *GPUS, "--max_restarts=-1"), "--max_restarts=-1 is not a number from 0"),
        (("submit", *TPU, "--image=a b"), "--image=a b has a character"),
        (("submit", *TPU, "--workdir=runs/x"), "runs/x is on one machine only"),
        (("submit", *STUDY, *TRAINING), "a study needs a folder"),
        (("submit", *TPU, "--program=study", "--shared=claim", *STUDIED), "that work alone"),
    ],
)
def test_what_is_wrong_is_one_sentence(fakes, arguments, message):
    fakes.add("kubectl")
    assert message in error_of(fakes.launch("kubernetes", *arguments))
    assert not fakes.noted()
