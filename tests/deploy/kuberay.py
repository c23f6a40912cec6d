"""The fields of KubeRay's RayJob, as a JSON Schema.

Names, types and choices are those of KubeRay's own reference of ray.io/v1 at its release 1.6.2
(docs/reference/api.md of ray-project/kuberay at `COMMIT`, generated there from the Go types, as the
definition in a cluster is). Which fields are required is told by these types (ray-operator/apis),
and the rules between fields by the operator's validation.go. What is Kubernetes' own (pods,
containers' security) is left to the schemas of Kubernetes. A field that KubeRay does not have is
refused here, where a cluster would leave it out in silence.
"""

from __future__ import annotations

from typing import Any

VERSION = "1.6.2"
COMMIT = "0a9eabde561ab59ab4bbe626072c359da9214484"
RAY_WITH_TOKENS = (2, 52)  # the operator refuses authOptions.mode token for older ones
TEXT: dict[str, Any] = {"type": "string"}
WHOLE: dict[str, Any] = {"type": "integer", "minimum": 0}
POSITIVE: dict[str, Any] = {"type": "integer", "minimum": 1}
NUMBER: dict[str, Any] = {"type": "number", "minimum": 0}
SWITCH: dict[str, Any] = {"type": "boolean"}
TEXTS: dict[str, Any] = {"type": "object", "additionalProperties": TEXT}
KUBERNETES: dict[str, Any] = {"type": "object"}  # checked against its own schema


def choice(*values: str) -> dict[str, Any]:
    return {"enum": list(values)}


def fields(required: list[str], **properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def rows(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item}


AUTOSCALER = fields(
    [],
    resources=KUBERNETES,
    image=TEXT,
    imagePullPolicy=choice("Always", "IfNotPresent", "Never"),
    securityContext=KUBERNETES,
    idleTimeoutSeconds=WHOLE,
    upscalingMode=choice("Default", "Aggressive", "Conservative"),
    version=choice("v1", "v2"),
    env=rows(KUBERNETES),
    envFrom=rows(KUBERNETES),
    volumeMounts=rows(KUBERNETES),
)
HEAD = fields(
    ["rayStartParams", "template"],
    serviceType=choice("ClusterIP", "NodePort", "LoadBalancer", "ExternalName"),
    headService=KUBERNETES,
    enableIngress=SWITCH,
    resources=TEXTS,
    labels=TEXTS,
    rayStartParams=TEXTS,
    template=KUBERNETES,
)
WORKERS = fields(
    ["groupName", "maxReplicas", "minReplicas", "rayStartParams", "template"],
    groupName=TEXT,
    replicas=WHOLE,
    minReplicas=WHOLE,
    maxReplicas=WHOLE,
    numOfHosts=POSITIVE,
    idleTimeoutSeconds=WHOLE,
    suspend=SWITCH,
    resources=TEXTS,
    labels=TEXTS,
    rayStartParams=TEXTS,
    template=KUBERNETES,
    scaleStrategy=fields([], workersToDelete=rows(TEXT)),
)
CLUSTER = fields(
    ["headGroupSpec"],
    upgradeStrategy=fields([], type=choice("Recreate", "None")),
    # enableK8sTokenAuth is there too, but the operator refuses it in a RayJob.
    authOptions=fields([], mode=choice("disabled", "token"), secretName=TEXT),
    suspend=SWITCH,
    managedBy=choice("ray.io/kuberay-operator", "kueue.x-k8s.io/multikueue"),
    autoscalerOptions=AUTOSCALER,
    headServiceAnnotations=TEXTS,
    enableInTreeAutoscaling=SWITCH,
    gcsFaultToleranceOptions=KUBERNETES,
    headGroupSpec=HEAD,
    rayVersion=TEXT,
    workerGroupSpecs=rows(WORKERS),
)
NAME = {"type": "string", "pattern": "^[a-z]([a-z0-9-]*[a-z0-9])?$", "maxLength": 47}
SPEC = fields(
    ["rayClusterSpec"],
    activeDeadlineSeconds=POSITIVE,
    backoffLimit=WHOLE,
    rayClusterSpec=CLUSTER,
    submitterPodTemplate=KUBERNETES,
    metadata=TEXTS,
    clusterSelector=TEXTS,
    submitterConfig=fields([], backoffLimit=WHOLE),
    managedBy=choice("ray.io/kuberay-operator", "kueue.x-k8s.io/multikueue"),
    deletionStrategy=KUBERNETES,
    entrypoint=TEXT,
    runtimeEnvYAML=TEXT,
    jobId=TEXT,
    submissionMode=choice("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"),
    entrypointResources=TEXT,
    entrypointNumCpus=NUMBER,
    entrypointNumGpus=NUMBER,
    ttlSecondsAfterFinished=WHOLE,
    preRunningDeadlineSeconds=POSITIVE,
    shutdownAfterJobFinishes=SWITCH,
    suspend=SWITCH,
)
# A time to live is that of a cluster which is shut down, and a sidecar needs no pod to submit.
SEARCHED = [
    {
        "if": {
            "properties": {"ttlSecondsAfterFinished": POSITIVE},
            "required": ["ttlSecondsAfterFinished"],
        },
        "then": {
            "properties": {"shutdownAfterJobFinishes": {"const": True}},
            "required": ["shutdownAfterJobFinishes"],
        },
    },
    {
        "if": {
            "properties": {"submissionMode": {"const": "SidecarMode"}},
            "required": ["submissionMode"],
        },
        "then": {"not": {"required": ["submitterPodTemplate"]}},
    },
]
RAY_JOB = fields(
    ["apiVersion", "kind", "metadata", "spec"],
    apiVersion=choice("ray.io/v1"),
    kind=choice("RayJob"),
    metadata={"type": "object", "properties": {"name": NAME}, "required": ["name"]},
    spec=SPEC | {"allOf": SEARCHED},
)
