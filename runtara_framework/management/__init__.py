"""The product side: start, watch and steer instances of a running server.

`ManagementSdk` (asyncio) and `SyncManagementSdk` (plain calls) are the same methods; `options` holds the option objects
for those who prefer them to keywords. Imports neither pydantic nor an HTTP client: the address decides what is loaded.
"""

from __future__ import annotations

from runtara_framework.management.client import ManagementSdk
from runtara_framework.management.config import ManagementConfig
from runtara_framework.management.options import (
    ListCheckpointsOptions,
    ListEventsOptions,
    ListImagesOptions,
    ListInstancesOptions,
    RegisterImageOptions,
    RegisterImageStreamOptions,
    StartInstanceOptions,
    StopInstanceOptions,
)
from runtara_framework.management.sync import SyncManagementSdk

__all__ = [
    "ListCheckpointsOptions",
    "ListEventsOptions",
    "ListImagesOptions",
    "ListInstancesOptions",
    "ManagementConfig",
    "ManagementSdk",
    "RegisterImageOptions",
    "RegisterImageStreamOptions",
    "StartInstanceOptions",
    "StopInstanceOptions",
    "SyncManagementSdk",
]
