"""The diagnostics of ports, of secrets that stand in the manifest, and of deployment: see ``manifest.rules``."""

from manifest.rule import Rule

TABLE = (
    Rule(
        "E101",
        "one port for two",
        "The second of two that listen on one port fails, and which that is, is decided by their race. 0.0.0.0 holds every IPv4 "
        "address, and [::] those and every IPv6 one, as Linux has it (ipv6(7)); one program alone may keep the two apart. The "
        "probes listen on 127.0.0.1:8080 where the manifest says nothing else.",
    ),
    Rule(
        "E102",
        "exposed, and on loopback",
        "What listens on loopback can be reached by nobody outside the container, however it is published. Without `expose` a port "
        "is published on the machine's own loopback, and that too needs one that listens on more.",
    ),
    Rule(
        "E103",
        "a check on a port that nobody declares",
        "Where programs declare their `ports`, a check of this container on another one could never pass, nor one on an address "
        "that the program does not listen on: 0.0.0.0 answers at 127.0.0.1, and not at [::1]. Checks on other hosts are left alone.",
    ),
    Rule(
        "E104",
        "a placeholder for a secret",
        "A value like `changeme` was meant to be replaced. Nobody did, and everybody knows it; where a program takes it, the door is "
        "open. What is still between `<>`, or an expression that nothing replaces, is one too.",
    ),
    Rule(
        "E109",
        "a deployment that cannot be",
        "One Pod is one. The copies of a Deployment would share one volume, which one machine can mount at a time; of a StatefulSet "
        "each has its own. A volume is named for its path, and so two paths must not come to one name.",
    ),
    Rule(
        "W010",
        "a secret in the manifest",
        "It would be in the plan and in the image, and whoever can pull the image can read it; in an argv every user of the machine "
        "can. A secret is delivered at boot, from outside: see `secrets`. Names like `…_PASSWORD` and `API_KEY`, passwords in URLs "
        "and values that look like keys are found; paths, numbers, `…_FILE` and public keys are not meant.",
    ),
    Rule(
        "W011",
        "an exposed port that nobody has seen answer",
        "The container is ready, and gets requests, when its programs are. A program without `ready` is so when it has run for a "
        "second, whether it listens or not: the first requests would be refused.",
    ),
    Rule(
        "W012",
        "a port below 1024",
        "The container has no capability. To listen below 1024 takes NET_BIND_SERVICE, or an engine that lets everybody: Docker "
        "does, podman does not. A higher port works everywhere, and can be published as any other.",
    ),
    Rule(
        "W013",
        "probes that no cluster can reach",
        "`deploy` says that it runs in a cluster. There probes and scrapes come from outside of the container, and what listens on "
        "loopback is never found ready.",
    ),
    Rule(
        "W014",
        "several containers of one identity",
        "A fixed `identity.id` is the same in each of the replicas: nobody could tell them apart, neither in /whoami nor in the seal. "
        "By default each is named for its host, which in a cluster is the Pod.",
    ),
)
