"""Examples of what the container's readiness needs and what is served and told."""

from manifest.explained.example import Example

EXAMPLES = {
    "E090": Example("""\
 version: 1
 name: shop
 programs:
   api: {command: [/opt/api]}
 ready:
   mounts:
-    - /data
     - {path: /data, free: 100MiB}
"""),
    "E091": Example("""\
 version: 1
 name: shop
 programs:
   api: {command: [/opt/api]}
 ready:
   mounts:
-    - {path: /data, free: 100M}
+    - {path: /data, free: 100MiB}
"""),
    "E092": Example("""\
 version: 1
 name: shop
 programs:
   api: {command: [/opt/api]}
-observability: {otlp_endpoint: "collector:4317"}
+observability: {otlp_endpoint: "http://collector:4318"}
"""),
    "E093": Example("""\
 version: 1
 name: shop
 programs:
   api: {command: [/opt/api]}
-ready: {checks: {relay: {exec: [nc, -z, 10.0.0.5, 7777]}}}
+ready: {checks: {relay: {tcp: "10.0.0.5:7777"}}}
"""),
    "E094": Example("""\
 version: 1
 name: shop
 programs:
   api: {command: [/opt/api]}
-ready: {checks: {relay: {period: 3s}}}
+ready: {checks: {relay: {tcp: "10.0.0.5:7777", period: 3s}}}
"""),
    "E095": Example(
        """\
 {
   printf 'version: 1\\nname: shop\\nprograms:\\n  api: {command: [/opt/api]}\\nready:\\n  mounts:\\n'
-  for number in $(seq 101); do echo "    - /data/$number"; done
+  for number in $(seq 100); do echo "    - /data/$number"; done
 } > bootseal.yaml
""",
        is_script=True,
    ),
}
