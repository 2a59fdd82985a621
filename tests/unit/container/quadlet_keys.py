"""The keys of Quadlet's section [Container], and the version of podman each came with (podman-systemd.unit(5)).

Read from what podman's own generator accepts (``supportedContainerKeys`` of pkg/systemd/quadlet) in 4.4.0, 4.5.0, 4.6.0, 4.7.0, 4.8.0, 4.9.3,
5.0.0, 5.3.0 and 5.5.0: a key of 5.3 may have come with 5.1 or 5.2, one of 5.5 with 5.4.
"""

_BY_VERSION = {
    (4, 4): (
        "AddCapability AddDevice Annotation ContainerName DropCapability Environment EnvironmentFile EnvironmentHost Exec ExposeHostPort "
        "Group Image Label Network NoNewPrivileges Notify PodmanArgs PublishPort ReadOnly RemapGid RemapUid RemapUidSize RemapUsers RunInit "
        "SeccompProfile Timezone User VolatileTmp Volume"
    ),
    (4, 5): (
        "HealthCmd HealthInterval HealthOnFailure HealthRetries HealthStartPeriod HealthStartupCmd HealthStartupInterval "
        "HealthStartupRetries HealthStartupSuccess HealthStartupTimeout HealthTimeout IP IP6 LogDriver Mount Rootfs Secret "
        "SecurityLabelDisable SecurityLabelFileType SecurityLabelLevel SecurityLabelType Tmpfs UserNS"
    ),
    (4, 6): "AutoUpdate HostName Mask Pull SecurityLabelNested Sysctl Unmask WorkingDir",
    (4, 7): "DNS DNSOption DNSSearch PidsLimit ShmSize Ulimit",
    (4, 8): "ContainersConfModule GIDMap GlobalArgs ReadOnlyTmpfs SubGIDMap SubUIDMap UIDMap",
    (5, 0): "Entrypoint Pod StopTimeout",
    (5, 3): (
        "AddHost CgroupsMode GroupAdd HealthLogDestination HealthMaxLogCount HealthMaxLogSize LogOpt NetworkAlias ServiceName StartWithPod "
        "StopSignal"
    ),
    (5, 5): "Memory ReloadCmd ReloadSignal Retry RetryDelay",
}

CAME_WITH = {key: version for version, keys in _BY_VERSION.items() for key in keys.split()}

MANY = frozenset(
    {
        "AddCapability",
        "AddDevice",
        "DropCapability",
        "GlobalArgs",
        "Label",
        "PodmanArgs",
        "PublishPort",
        "Secret",
        "Tmpfs",
        "Ulimit",
        "Volume",
    }
)
"""The keys that may be given several times; of every other one the last counts."""
