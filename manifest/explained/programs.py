"""Examples of programs that do not go together: their names, order, readiness, restarts and stops."""

from manifest.explained.example import Example

EXAMPLES = {
    "E050": Example("""\
 version: 1
 name: shop
 programs:
-  probes: {command: [/opt/probes]}
+  shop-probes: {command: [/opt/probes]}
"""),
    "E051": Example(
        """\
 {
   printf 'version: 1\\nname: shop\\nprograms:\\n'
-  for number in $(seq 1001); do echo "  worker-$number: {command: [/opt/worker]}"; done
+  for number in $(seq 1000); do echo "  worker-$number: {command: [/opt/worker]}"; done
 } > bootseal.yaml
""",
        is_script=True,
    ),
    "E052": Example("""\
 version: 1
 name: shop
 programs:
   redis: {command: [redis-server]}
-  api: {command: [/opt/api], after: [reddis]}
+  api: {command: [/opt/api], after: [redis]}
"""),
    "E053": Example("""\
 version: 1
 name: shop
 programs:
-  api: {command: [/opt/api], after: [api]}
+  api: {command: [/opt/api]}
"""),
    "E054": Example("""\
 version: 1
 name: shop
 programs:
   redis: {command: [redis-server]}
   migrate: {command: [/opt/migrate], oneshot: true}
-  api: {command: [/opt/api], after: [redis, redis]}
+  api: {command: [/opt/api], after: [redis, migrate]}
"""),
    "E055": Example("""\
 version: 1
 name: shop
 programs:
-  api: {command: [/opt/api], after: [worker]}
+  api: {command: [/opt/api]}
   worker: {command: [/opt/worker], after: [api]}
"""),
    "E056": Example("""\
 version: 1
 name: shop
 programs:
-  migrate: {command: [/opt/migrate], oneshot: true, ready: {log: done}}
+  migrate: {command: [/opt/migrate], oneshot: true}
"""),
    "E057": Example("""\
 version: 1
 name: shop
 artifacts: {api: /opt/api}
 programs:
-  api: {command: [/opt/api], artifacts: [ap1]}
+  api: {command: [/opt/api], artifacts: [api]}
"""),
    "E058": Example("""\
 version: 1
 name: shop
 boot:
   writable:
-    - /data
     - {path: /data, mode: "0700"}
 programs:
   api: {command: [/opt/api]}
"""),
    "E059": Example("""\
 version: 1
 name: shop
 boot:
   immutable: [/opt/shop]
-  writable: [/opt/shop/cache]
+  writable: [/var/cache/shop]
 programs:
   api: {command: [/opt/shop/api]}
"""),
    "E060": Example("""\
 version: 1
 name: shop
 boot: {writable: [/data]}
-identity: {store: /var/lib/identity}
+identity: {store: /data/identity}
 programs:
   api: {command: [/opt/api]}
"""),
    "E061": Example("""\
 version: 1
 name: shop
 programs:
-  api: {command: [/opt/api], required: false}
+  api: {command: [/opt/api], required: true}
"""),
    "E062": Example("""\
 version: 1
 name: shop
-required: []
 programs:
   api: {command: [/opt/api], required: true}
"""),
    "E063": Example("""\
 version: 1
 name: shop
 programs:
   api: {command: [/opt/api]}
-probes: {listen: "0.0.0.0:8080", metrics: "127.0.0.1:8080"}
+probes: {listen: "0.0.0.0:8080", metrics: "127.0.0.1:9091"}
"""),
    "E064": Example("""\
 version: 1
 name: shop
 programs:
-  api: {command: [/opt/café/api]}
+  api: {command: [/opt/cafe/api]}
"""),
    "E065": Example("""\
 version: 1
 name: shop
 programs:
   api:
     command: [/opt/api]
-    ready: {tcp: 8000, http: "http://127.0.0.1:8000/livez"}
+    ready: {http: "http://127.0.0.1:8000/livez"}
"""),
    "E066": Example("""\
 version: 1
 name: shop
 programs:
   api:
     command: [/opt/api]
-    ready: {tcp: 8000, for: 5s}
+    ready: {tcp: 8000}
"""),
    "E067": Example("""\
 version: 1
 name: shop
 programs:
   api:
     command: [/opt/api]
     ready: {log: listening}
-    live: {period: 2s}
+    live: {tcp: 8000, period: 2s}
"""),
    "E068": Example("""\
 version: 1
 name: shop
 programs:
-  migrate: {command: [/opt/migrate], oneshot: true, on_exit: restart}
+  migrate: {command: [/opt/migrate], oneshot: true, on_exit: exit}
"""),
    "E069": Example("""\
 version: 1
 name: shop
 programs:
   migrate: {command: [/opt/migrate], oneshot: true}
-  api: {command: [/opt/api], after: {migrate: {bind: true}}}
+  api: {command: [/opt/api], after: [migrate]}
"""),
    "E070": Example("""\
 version: 1
 name: shop
 programs:
   api:
     command: [/opt/api]
-    ready: {file: /opt/shop/ready}
+    ready: {file: "${run}/api-ready"}
"""),
    "E071": Example("""\
 version: 1
 name: shop
 programs:
   api: {command: [/opt/api], ready: {file: "${run}/api"}}
-  worker: {command: [/opt/worker], ready: {file: "${run}/api"}}
+  worker: {command: [/opt/worker], ready: {file: "${run}/worker"}}
"""),
    "E072": Example(
        """\
 version: 1
 name: shop
 programs:
   api:
     command: [/opt/api]
-    restart: {backoff: 1m}
+    restart: {backoff: 1m, cap: 5m}
""",
        note="Without `cap` the longest pause is 30s.",
    ),
    "E073": Example(
        """\
 version: 1
 name: shop
 programs:
   db:
     command: [/opt/db]
     stop: {timeout: 60s}
-stop: {grace: 60s}
+stop: {grace: 67s}
""",
        note="It may take 60s, a second to die, and 6s for the probe server.",
    ),
    "E074": Example("""\
 version: 1
 name: shop
 programs:
   migrate:
     command: [/opt/migrate]
     oneshot: true
-    live: {tcp: 8000}
"""),
    "E075": Example("""\
 version: 1
 name: shop
 programs:
   migrate: {command: [/opt/migrate], oneshot: true}
   api: {command: [/opt/api]}
-signals: {HUP: [migrate]}
+signals: {HUP: [api]}
"""),
    "E076": Example("""\
 version: 1
 name: shop
 programs:
   api:
     command: [/opt/api]
-    ready: {unix: /run/shop/the/socket/of/the/application/programming/interface/that/the/front/door/of/the/shop/talks/to/api.sock}
+    ready: {unix: /run/shop/api.sock}
"""),
}
