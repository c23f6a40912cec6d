"""The fields of KubeRay's RayJob, as a JSON Schema.

Written after the field reference of KubeRay 1.7 (ray.io/v1): its names, types and choices. What is
Kubernetes' own (pods, containers' security) is left to the schemas of Kubernetes. A field that
KubeRay does not have is refused here, where a cluster would leave it out in silence.
"""

from __future__ import annotations

from typing import Any

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
    command=rows(TEXT),
    args=rows(TEXT),
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
    authOptions=fields(
        [], mode=choice("disabled", "token"), secretName=TEXT, enableK8sTokenAuth=SWITCH
    ),
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
RAY_JOB = fields(
    ["apiVersion", "kind", "metadata", "spec"],
    apiVersion=choice("ray.io/v1"),
    kind=choice("RayJob"),
    metadata=KUBERNETES,
    spec=fields(
        [],
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
    ),
)
