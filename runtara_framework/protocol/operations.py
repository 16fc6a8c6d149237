"""The table of every operation. It drives all transports, the SDKs and the OpenAPI document.

To add an operation: one entry here, its two messages, and one method of the same name on the service of its protocol
(`services.core` or `services.environment`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from runtara_framework.protocol import messages as m

Req = TypeVar("Req")
Res = TypeVar("Res")

VERSION = 1
"""The version of both protocols. A server speaks this one and the one before it."""


class Protocol(StrEnum):
    """Who speaks: instances (core) or products (environment)."""

    CORE = "core"
    ENVIRONMENT = "environment"


class Access(StrEnum):
    """What a token must allow."""

    READ = "read"
    WRITE = "write"
    SIGNAL = "signal"
    PUBLIC = "public"  # needs no token


@dataclass(frozen=True)
class Operation(Generic[Req, Res]):
    """One operation. `http` is its method and path; fields in braces come from the path, the others from the query (GET,
    DELETE) or the JSON body (POST)."""

    name: str
    protocol: Protocol
    request: type[Req]
    response: type[Res]
    http: str
    summary: str
    access: Access = Access.WRITE
    upload: bool = False  # the request is followed by a stream of bytes


_core: dict[str, Operation[Any, Any]] = {}
_environment: dict[str, Operation[Any, Any]] = {}


def _add(operation: Operation[Req, Res]) -> Operation[Req, Res]:
    (_core if operation.protocol is Protocol.CORE else _environment)[operation.name] = operation
    return operation


def _core_op(
    name: str, request: type[Req], response: type[Res], http: str, summary: str, access: Access = Access.WRITE
) -> Operation[Req, Res]:
    return _add(Operation(name, Protocol.CORE, request, response, http, summary, access))


def _env_op(
    name: str,
    request: type[Req],
    response: type[Res],
    http: str,
    summary: str,
    access: Access = Access.WRITE,
    upload: bool = False,
) -> Operation[Req, Res]:
    return _add(Operation(name, Protocol.ENVIRONMENT, request, response, http, summary, access, upload))


_I = "/api/v1/instances/{instance_id}"

# fmt: off
REGISTER = _core_op("register", m.Register, m.Registered, f"POST {_I}/register",
                    "Begin a launch; answers the input and every checkpoint so far.")
LOAD_CHECKPOINTS = _core_op("load_checkpoints", m.LoadCheckpoints, m.LoadedCheckpoints, f"GET {_I}/replay",
                            "The next page of checkpoints for a replay.", Access.READ)
SAVE_CHECKPOINT = _core_op("save_checkpoint", m.SaveCheckpoint, m.CheckpointSaved, f"POST {_I}/checkpoint",
                           "Save a result once, or get the one that is stored; answers waiting signals.")
GET_CHECKPOINT = _core_op("get_checkpoint", m.GetCheckpoint, m.GotCheckpoint, f"GET {_I}/checkpoint",
                          "Look a checkpoint up; writes nothing.", Access.READ)
TAKE_SIGNAL = _core_op("take_signal", m.TakeSignal, m.SignalTaken, f"POST {_I}/signals/take",
                       "Consume a custom signal into a checkpoint.")
SUSPEND = _core_op("suspend", m.Suspend, m.Suspended, f"POST {_I}/suspended",
                   "Leave the process until a moment or a signal.")
APPEND_EVENT = _core_op("append_event", m.AppendEvent, m.Done, f"POST {_I}/events", "Record what happened.")
HEARTBEAT = _core_op("heartbeat", m.Heartbeat, m.Done, f"POST {_I}/heartbeat", "Say that the instance is alive.")
COMPLETE = _core_op("complete", m.Complete, m.Done, f"POST {_I}/completed", "End with an output.")
FAIL = _core_op("fail", m.Fail, m.Done, f"POST {_I}/failed", "End with an error.")
GET_STATUS = _core_op("get_status", m.GetStatus, m.GotStatus, f"GET {_I}/status",
                      "The status of this or another instance of the tenant.", Access.READ)
POLL_SIGNALS = _core_op("poll_signals", m.PollSignals, m.PolledSignals, f"GET {_I}/signals",
                        "The signals that wait; may hold the answer until there is one.", Access.READ)
ACKNOWLEDGE_SIGNAL = _core_op("acknowledge_signal", m.AcknowledgeSignal, m.Done, f"POST {_I}/signals/ack",
                              "Say that a signal was obeyed.")
RESOLVE_CONNECTION = _core_op("resolve_connection", m.ResolveConnection, m.ResolvedConnection,
                              f"POST {_I}/connections", "Credentials and parameters of a connection.", Access.READ)

HEALTH_CHECK = _env_op("health_check", m.HealthCheck, m.Health, "GET /api/v1/health",
                       "Is the server up, and how much runs?", Access.PUBLIC)
REGISTER_IMAGE = _env_op("register_image", m.RegisterImage, m.ImageRegistered, "POST /api/v1/images",
                         "Register an executable that fits into one message.")
UPLOAD_IMAGE = _env_op("upload_image", m.UploadImage, m.ImageRegistered, "POST /api/v1/images/upload",
                       "Register an executable of any size.", upload=True)
LIST_IMAGES = _env_op("list_images", m.ListImages, m.Images, "GET /api/v1/images", "Images, newest first.", Access.READ)
GET_IMAGE = _env_op("get_image", m.GetImage, m.ImageInfo, "GET /api/v1/images/{image_id}",
                    "One image, by id or name.", Access.READ)
DELETE_IMAGE = _env_op("delete_image", m.DeleteImage, m.Done, "DELETE /api/v1/images/{image_id}",
                       "Remove an image that no active instance uses.")
START_INSTANCE = _env_op("start_instance", m.StartInstance, m.InstanceStarted, "POST /api/v1/instances",
                         "Start an image with an input.")
LIST_INSTANCES = _env_op("list_instances", m.ListInstances, m.Instances, "GET /api/v1/instances",
                         "Instances by status, image and time.", Access.READ)
GET_INSTANCE = _env_op("get_instance", m.GetInstance, m.InstanceInfo, "GET /api/v1/instances/{instance_id}",
                       "One instance; may hold the answer until it ends.", Access.READ)
STOP_INSTANCE = _env_op("stop_instance", m.StopInstance, m.Done, f"POST {_I}/stop",
                        "End an instance without asking it.")
RESUME_INSTANCE = _env_op("resume_instance", m.ResumeInstance, m.Done, f"POST {_I}/resume",
                          "Let a suspended instance go on.", Access.SIGNAL)
SEND_SIGNAL = _env_op("send_signal", m.SendSignal, m.Done, f"POST {_I}/signals",
                      "Cancel, pause or resume an instance.", Access.SIGNAL)
SEND_CUSTOM_SIGNAL = _env_op("send_custom_signal", m.SendCustomSignal, m.Done, f"POST {_I}/signals/custom",
                             "Send a payload to a wait key.", Access.SIGNAL)
LIST_CHECKPOINTS = _env_op("list_checkpoints", m.ListCheckpoints, m.Checkpoints, f"GET {_I}/checkpoints",
                           "The checkpoints of an instance, newest first.", Access.READ)
READ_CHECKPOINT = _env_op("read_checkpoint", m.ReadCheckpoint, m.CheckpointData,
                          f"GET {_I}/checkpoints/{{checkpoint_id}}", "One checkpoint with its data.", Access.READ)
LIST_EVENTS = _env_op("list_events", m.ListEvents, m.Events, f"GET {_I}/events",
                      "What happened to an instance.", Access.READ)
LIST_AGENTS = _env_op("list_agents", m.ListAgents, m.Agents, "GET /api/v1/agents",
                      "The agents that scenarios can use.", Access.READ)
GET_CAPABILITY = _env_op("get_capability", m.GetCapability, m.Capability,
                         "GET /api/v1/agents/{agent_id}/capabilities/{capability_id}",
                         "One capability with its schemas.", Access.READ)
# fmt: on

OPERATIONS: Mapping[Protocol, Mapping[str, Operation[Any, Any]]] = MappingProxyType(
    {Protocol.CORE: MappingProxyType(_core), Protocol.ENVIRONMENT: MappingProxyType(_environment)}
)
